from __future__ import annotations

import io
from pathlib import Path

import pytest

from dragons.audit.pack import FORMAT, PACK, Line, Pack, Selection, open_pack, parse_line
from dragons.audit.verify import verify_file
from dragons.control import export as module
from dragons.control.export import export_pack
from dragons.core.clock import format_time, parse_time
from dragons.core.errors import InvalidInputError, NotFoundError
from dragons.core.ids import SESSION, new_id
from dragons.core.statement import is_signed_by
from dragons.core.vocabulary import Kind
from dragons.evidence.checkpoint import parse_note, verify_checkpoint
from dragons.evidence.receipt import RECEIPT, Header
from dragons.liveness.heartbeat import HEARTBEAT, Heartbeat
from tests.support.expect import fails
from tests.support.plane import Agent, Plane, Tenancy, assert_valid, make_manifest
from tests.support.plane import export as export_file

T0 = 1_800_000_000_000
LEDGER = Selection(kind="ledger")


@pytest.fixture
def agent(plane: Plane, acme: Tenancy) -> Agent:
    """An instance that worked; there is a checkpoint, and somebody else's work before and after."""
    other = acme.started(acme.ready("notifier"))
    acme.work(other)
    acme.sweep()
    made = acme.started(acme.ready())
    plane.clock.advance(1_000)
    acme.work(made)
    plane.clock.advance(1)
    acme.close(made)
    plane.clock.advance(1_000)
    acme.work(other)
    return made


def selections(agent: Agent) -> list[Selection]:
    return [
        LEDGER,
        Selection(kind="session", session_id=agent.session_id),
        Selection(kind="agent", agent="reconciler"),
        Selection(kind="window", since=format_time(T0 + 1), until=format_time(T0 + 1_500)),
    ]


def body_of(tenancy: Tenancy, selection: Selection, now_ms: int | None = None) -> Pack:
    at = tenancy.now_ms if now_ms is None else now_ms
    with tenancy.plane.store.read() as reader:
        return export_pack(reader, tenancy.ledger, tenancy.tenant_id, selection, io.BytesIO(), now_ms=at)


def lines_of(path: Path) -> list[Line]:
    with open_pack(path) as pack:
        return [parse_line(line) for line in pack.lines()]


def headers(path: Path, *, selected: bool) -> list[Header]:
    return [
        line.record.header.body(RECEIPT, Header)
        for line in lines_of(path)
        if not isinstance(line.gap, list) and line.selected is selected
    ]


def test_every_selection_verifies_and_is_signed_by_the_ledger(acme: Tenancy, agent: Agent) -> None:
    for selection in selections(agent):
        report = assert_valid(acme, selection)
        assert report.tree_size == acme.size()
        path = export_file(acme, selection)
        with open_pack(path) as pack:
            head = pack.head
        assert (head.format, head.redacted) == (FORMAT, True)
        assert is_signed_by(head.statement, acme.ledger.key_id, acme.ledger.public_key)
        body = head.statement.body(PACK, Pack)
        assert (body.tenant_id, body.selection) == (acme.tenant_id, selection)
        end = verify_checkpoint(head.end, acme.tenant_id, [acme.ledger.public_key])
        assert end is not None
        assert (end.size, end.root.hex()) == (body.tree_size, body.root)
        assert end.size == acme.size()


def test_the_returned_body_is_the_signed_one(acme: Tenancy, agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "one.zip"
    with acme.plane.store.read() as reader, path.open("wb") as file:
        made = export_pack(reader, acme.ledger, acme.tenant_id, LEDGER, file, now_ms=acme.now_ms)
    with open_pack(path) as pack:
        assert pack.head.statement.body(PACK, Pack) == made
    assert (made.selected, made.first_position, made.last_position) == (acme.size(), 0, acme.size() - 1)
    assert verify_file(path, acme.pin, workers=1).valid


def test_each_selection_has_what_it_says(acme: Tenancy, agent: Agent) -> None:
    ledger, session, of_agent, window = (
        headers(export_file(acme, selection), selected=True) for selection in selections(agent)
    )
    assert ledger == acme.receipts()
    assert session == acme.receipts(session_id=agent.session_id)
    assert [header.kind for header in session] == [Kind.SESSION_OPENED, Kind.WORK, Kind.SESSION_CLOSED]
    assert of_agent == acme.receipts(agent="reconciler")
    assert Kind.MANIFEST_REGISTERED in {header.kind for header in of_agent}
    assert [header.kind for header in window] == [Kind.WORK, Kind.SESSION_CLOSED]


def test_what_the_selection_rests_on_comes_along(acme: Tenancy, agent: Agent) -> None:
    path = export_file(acme, Selection(kind="session", session_id=agent.session_id))
    context = {header.kind for header in headers(path, selected=False)}
    assert {
        Kind.TENANT_CREATED, Kind.KEY_REGISTERED, Kind.CATALOGUE_PUBLISHED, Kind.MANIFEST_REGISTERED,
        Kind.VERSION_ACTIVATED, Kind.AGENT_DOCKED, Kind.LEASE_ISSUED,
    } <= context  # fmt: skip
    # Nobody else's work: only the hashes that stand for it.
    assert not context & {Kind.WORK, Kind.SESSION_OPENED, Kind.SESSION_CLOSED}
    assert any(isinstance(line.gap, list) for line in lines_of(path))
    assert not headers(export_file(acme, LEDGER), selected=False)


def test_a_window_is_half_open_and_shows_its_neighbours(acme: Tenancy, agent: Agent) -> None:
    _, work, closed = acme.receipts(session_id=agent.session_id)
    assert work.issued_at < closed.issued_at
    path = export_file(acme, Selection(kind="window", since=work.issued_at, until=closed.issued_at))
    assert headers(path, selected=True) == [work]
    shown = {header.seq for header in headers(path, selected=False)}
    assert {work.seq - 1, closed.seq} <= shown
    assert closed.seq + 1 not in shown


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "selection",
    [
        Selection(kind="session", session_id=new_id(SESSION, 1)),
        Selection(kind="agent", agent="stranger"),
        Selection(kind="window", since=format_time(T0 + 3_000), until=format_time(T0 + 4_000)),
        Selection(kind="window", since=format_time(0), until=format_time(T0)),
    ],
)
def test_what_selects_nothing_is_missing(acme: Tenancy, agent: Agent, selection: Selection) -> None:
    with fails(NotFoundError, "selection_empty"):
        body_of(acme, selection)


@pytest.mark.parametrize(
    ("selection", "code"),
    [
        (Selection(kind="ledger", agent="reconciler"), "selection_malformed"),
        (Selection(kind="session"), "selection_malformed"),
        (Selection(kind="session", session_id="lse_" + "0" * 32), "id_malformed"),
        (Selection(kind="agent"), "selection_malformed"),
        (Selection(kind="agent", agent="Reconciler@v1"), "agent_name_malformed"),
        (Selection(kind="window", since=format_time(T0)), "selection_malformed"),
        (Selection(kind="window", since=format_time(T0), until=format_time(T0)), "selection_malformed"),
        (Selection(kind="window", since=format_time(T0), until="2027-99-01T00:00:00.000Z"), "time_malformed"),
    ],
)
def test_what_is_no_selection_is_an_error(acme: Tenancy, selection: Selection, code: str) -> None:
    with fails(InvalidInputError, code):
        body_of(acme, selection)


def test_nothing_is_written_for_an_empty_selection(acme: Tenancy) -> None:
    file = io.BytesIO()
    with acme.plane.store.read() as reader, fails(NotFoundError, "selection_empty"):
        selection = Selection(kind="agent", agent="reconciler")
        export_pack(reader, acme.ledger, acme.tenant_id, selection, file, now_ms=acme.now_ms)
    assert not file.getvalue()


def test_nobody_exports_what_another_tenant_has(acme: Tenancy, globex: Tenancy, agent: Agent) -> None:
    for selection in selections(agent)[1:3]:
        with fails(NotFoundError, "selection_empty"):
            body_of(globex, selection)
    assert body_of(globex, LEDGER).tree_size == globex.size() < acme.size()


# --- time, start and heartbeats -------------------------------------------------------------------


def test_a_pack_is_never_dated_before_what_it_holds(acme: Tenancy, agent: Agent) -> None:
    newest_ms = parse_time(acme.receipts()[-1].issued_at)
    for now_ms in (0, newest_ms - 3_600_000, newest_ms - 1, newest_ms, newest_ms + 1):
        assert body_of(acme, LEDGER, now_ms).exported_at == format_time(max(now_ms, newest_ms))


def test_a_pack_starts_at_the_checkpoint_below_it(acme: Tenancy, agent: Agent) -> None:
    (below,) = acme.plane.read(lambda reader: list(reader.checkpoint_sizes(acme.tenant_id)))
    acme.sweep()
    with open_pack(export_file(acme, selections(agent)[1])) as pack:
        assert isinstance(pack.head.start, str)
        assert parse_note(pack.head.start).checkpoint.size == below
        assert pack.head.consistency
    with open_pack(export_file(acme, LEDGER)) as pack:
        assert not isinstance(pack.head.start, str)
        assert not pack.head.consistency


def beats_of(tenancy: Tenancy, selection: Selection) -> dict[str, tuple[int, int]]:
    with open_pack(export_file(tenancy, selection)) as pack:
        found = pack.heartbeats()
    return {one.instance_id: (one.accepted, one.last.body(HEARTBEAT, Heartbeat).sequence) for one in found}


def test_the_last_heartbeat_of_what_is_shown_comes_along(acme: Tenancy, agent: Agent) -> None:
    for selection in selections(agent):
        assert not beats_of(acme, selection)
    other = acme.started(make_manifest("notifier"))
    acme.beat(agent, 3)
    acme.beat(agent, 7)
    acme.beat(other, 1)
    mine = {agent.instance_id: (2, 7)}
    whole, session, of_agent, window = (beats_of(acme, selection) for selection in selections(agent))
    assert whole == {**mine, other.instance_id: (1, 1)}
    assert session == of_agent == window == mine
    for selection in selections(agent):
        assert_valid(acme, selection)


def test_the_newest_heartbeats_are_kept_when_there_are_many(
    plane: Plane, acme: Tenancy, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEARTBEATS_MAX", 2)
    agents = [acme.started(make_manifest()) for _ in range(3)]
    for one in reversed(agents):
        plane.clock.advance(1_000)
        acme.beat(one, 1)
    assert set(beats_of(acme, LEDGER)) == {one.instance_id for one in agents[:2]}
    assert_valid(acme, LEDGER)
