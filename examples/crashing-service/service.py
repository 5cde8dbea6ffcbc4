"""A small price service: HTTP on 127.0.0.1, prices from a file of orders that it works through.

It is an ordinary program and knows nothing of Dragons. It crashes for a real reason: `data/orders.csv` has a
record whose price is no number, and every start comes to it again.
"""

import csv
import json
import os
import sys
import threading
import time
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ORDERS = Path(__file__).with_name("data") / "orders.csv"
PAUSE_SECONDS = float(os.environ.get("PAUSE_SECONDS", "0.2"))


class Prices:
    """The newest price of each article, shared by the threads of the server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: dict[str, int] = {}

    def take(self, record: dict[str, str]) -> None:
        cents = int(Decimal(record["price"]) * 100)
        with self._lock:
            self._newest[record["article"]] = cents

    def shown(self) -> dict[str, int]:
        with self._lock:
            return dict(self._newest)


def handler_of(prices: Prices) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"ok": True} if self.path == "/health" else prices.shown()).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def main() -> int:
    prices = Prices()
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), handler_of(prices))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"serving prices on port {server.server_address[1]}", flush=True)
    with ORDERS.open(newline="") as file:
        for number, record in enumerate(csv.DictReader(file), start=1):
            time.sleep(PAUSE_SECONDS)
            print(f"order {number}: {record['article']} at {record['price']}", flush=True)
            prices.take(record)
    print("all orders are taken in", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
