"""The event feed over real HTTP: nothing lost, nothing twice, resumed, cut, ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import msgspec
import pytest

from dragons import compose
from dragons.control.records import record_of
from dragons.core.vocabulary import Kind
from dragons.wire.evidence import ReceiptView
from tests.support.server import Plane, Tenant, serving


def follow(
    plane: Plane, tenant: Tenant, query: str = "", role: str = "auditor", **headers: str
) -> Iterator[tuple[int, str, ReceiptView]]:
    """Each event as its id, kind and receipt, until the stream ends."""
    sent = {"authorization": f"Bearer {tenant.tokens[role]}", **headers}
    with (
        httpx2.Client(timeout=20, trust_env=False) as http,
        http.stream("GET", f"{plane.url}/v1/events{query}", headers=sent) as response,
    ):
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in response.iter_lines():
            name, _, value = line.partition(": ")
            if line and name:
                fields[name] = value
            elif fields:
                if "data" in fields:
                    view = msgspec.json.decode(fields["data"], type=ReceiptView)
                    yield int(fields["id"]), fields["event"], view
                fields = {}


@pytest.fixture
def tenant(plane: Plane) -> Tenant:
    return plane.tenant()


def test_events_are_the_ledger(plane: Plane, tenant: Tenant) -> None:
    instance = tenant.launch()
    instance.work(instance.open(), 5)
    listed = tenant.get("/v1/receipts?limit=500")["receipts"]
    events = follow(plane, tenant)
    for one in listed:
        number, kind, view = next(events)
        assert (number, kind) == (one["seq"], one["kind"])
        assert msgspec.to_builtins(view) == one
    events.close()


def test_it_resumes_where_it_stopped(plane: Plane, tenant: Tenant) -> None:
    tenant.launch()
    for query, headers in (
        ("?after=2", {}),
        ("?after=0", {"last-event-id": "2"}),
        ("", {"last-event-id": "2"}),
    ):
        events = follow(plane, tenant, query, **headers)
        assert next(events)[0] == 3
        events.close()


def test_nothing_is_lost_or_repeated_while_others_write(plane: Plane, tenant: Tenant) -> None:
    """Two readers that reconnect all the time see each receipt once, while two writers append."""
    instances = [tenant.launch() for _ in range(2)]
    sessions = [one.open() for one in instances]
    begin = tenant.get("/v1/ledger")["size"]
    total = begin + 2 * 20 * 5
    seen: list[list[int]] = [[], []]

    def write(place: int) -> None:
        for _ in range(20):
            instances[place].work(sessions[place], 5)

    def read(place: int) -> None:
        mine = seen[place]
        while not mine or mine[-1] < total - 1:
            last = mine[-1] if mine else begin - 1
            for count, (number, _, _) in enumerate(follow(plane, tenant, f"?after={last}")):
                mine.append(number)
                if number == total - 1 or count > 17 * (place + 1):
                    break

    threads = [threading.Thread(target=work, args=(n,)) for work in (write, read) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert seen == [list(range(begin, total))] * 2


def test_an_event_comes_without_waiting_for_the_next_look(tmp_path: Path) -> None:
    """The feed looks by itself every 60 s, longer than the client waits for a line."""
    with serving(tmp_path, feed_poll_seconds=60) as slow:
        tenant = slow.tenant()
        events = follow(slow, tenant)
        while next(events)[0] < 2:
            continue
        tenant.post("/v1/catalogue", tenant.catalogue(1))
        assert next(events)[1] == "catalogue.published"
        events.close()


def test_another_processs_receipts_are_noticed(tmp_path: Path) -> None:
    with serving(tmp_path, feed_poll_seconds=0.05) as plane:
        tenant = plane.tenant()
        events = follow(plane, tenant, "?after=2")
        other = compose.build_store(plane.settings, plane.clock)
        try:
            with other.read() as reader:
                last = reader.receipt_at(tenant.tenant_id, 2)
            assert last is not None
            statement = record_of(last).statement
            other.write(lambda tx: tx.append(tenant.tenant_id, Kind.KEY_REGISTERED, statement)).result(10)
            assert next(events)[0] == 3
        finally:
            other.close()
            events.close()


@pytest.mark.parametrize("how", ["token", "key"])
def test_a_feed_is_cut_with_its_credential(tmp_path: Path, how: str) -> None:
    with serving(tmp_path, feed_poll_seconds=0.1) as plane:
        tenant = plane.tenant()
        made = tenant.post("/v1/tokens", {"role": "auditor", "label": "feed"})
        tenant.tokens["feed"] = made["token"]
        events = follow(plane, tenant, role="feed")
        next(events)
        if how == "token":
            tenant.send("DELETE", f"/v1/tokens/{made['view']['token_id']}")
        else:
            tenant.post("/v1/keys/revocations", tenant.key_revocation(tenant.operator.key_id))
        # It ends by itself: the list is finished, and no read of it ran into the client's limit.
        kinds = [kind for _, kind, _ in events]
        # Nothing that was recorded after the revocation is shown to it.
        assert "key.revoked" not in kinds


def test_it_ends_cleanly_on_shutdown(tmp_path: Path) -> None:
    found: list[int] = []
    seen = threading.Event()
    with serving(tmp_path, feed_poll_seconds=60) as plane:
        tenant = plane.tenant()
        events = follow(plane, tenant)
        found.append(next(events)[0])

        def rest() -> None:
            for number, _, _ in events:
                found.append(number)
                if number == 2:
                    seen.set()

        thread = threading.Thread(target=rest)
        thread.start()
        seen.wait(20)
    thread.join(20)
    # The stream ended in order: a broken one would have raised.
    assert not thread.is_alive()
    assert found == [0, 1, 2]
