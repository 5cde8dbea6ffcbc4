import io

import msgspec
import pytest

from bench.peer_process import serve
from bench.peers import Order


class Worker:
    def twice(self, number: int) -> float:
        return 2.0 * number


def answers(*orders: Order) -> list[bytes]:
    out = io.BytesIO()
    serve(Worker(), io.BytesIO(b"".join(msgspec.json.encode(order) + b"\n" for order in orders)), out)
    return out.getvalue().splitlines()


def test_every_order_has_one_answer() -> None:
    assert answers(Order("twice", {"number": 4}), Order("twice", {"number": 5})) == [b"8.0", b"10.0"]


def test_an_unknown_order_ends_the_process() -> None:
    with pytest.raises(AttributeError):
        answers(Order("thrice", {}))
