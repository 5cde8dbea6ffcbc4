"""A figure and what it is made of: whoever adds up the expansion comes to the figure."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dragons.control.mtboi import Expansion, Mtboi, expand_mtboi, fleet_mtboi, window_at
from dragons.control.standing import compute_mtboi
from dragons.core.errors import ConflictError
from dragons.core.vocabulary import Kind
from dragons.liveness.mtboi import WINDOW_MS, mean_seconds
from tests.support.plane import Agent, Plane, Tenancy

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def expanded(
    acme: Tenancy, agent: str | None = None, *, until_ms: int = 0, limit: int = 500
) -> list[Expansion]:
    """Every page."""
    window = window_at(until_ms or acme.now_ms)
    pages: list[Expansion] = []
    while not pages or pages[-1].more:
        page = len(pages)
        pages.append(
            acme.plane.read(
                lambda r, page=page: expand_mtboi(r, acme.tenant_id, agent, window, page=page, limit=limit)
            )
        )
    return pages


def test_a_span_names_the_receipts_that_began_and_ended_it(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    plane.clock.advance(HOUR_MS)
    (page,) = expanded(acme, "reconciler")
    (span,) = page.spans
    issued = acme.receipts(Kind.LEASE_ISSUED)[-1]
    assert (span.began_by, span.ended_by, span.counted_ms) == (issued.receipt_id, "", HOUR_MS)
    recorded = acme.intervene(agent.instance_id, "quarantine", reason="odd transfers")
    quarantined = acme.receipts(Kind.STATE_CHANGED)[-1]
    plane.clock.advance(HOUR_MS)
    acme.intervene(agent.instance_id, "release")
    (page,) = expanded(acme, "reconciler")
    (span,) = page.spans
    # Quarantine ended the running time, not the release that stopped the instance an hour later.
    assert (span.ended_by, span.counted_ms) == (quarantined.receipt_id, HOUR_MS)
    first, second = page.interventions
    assert (first.receipt_id, first.action, first.reason) == (
        recorded.receipt_id,
        "quarantine",
        "odd transfers",
    )
    assert (first.operator, first.instance_id) == (acme.operator.key_id, agent.instance_id)
    assert (second.action, page.mtboi) == ("release", Mtboi(HOUR_MS, 2))


def test_an_agents_intervention_counts_too(plane: Plane, acme: Tenancy) -> None:
    acme.started(acme.ready())
    acme.started(acme.ready("notifier"))
    plane.clock.advance(HOUR_MS)
    acme.intervene_agent("reconciler", "quarantine")
    (page,) = expanded(acme, "reconciler")
    assert [(hand.action, hand.instance_id, hand.agent) for hand in page.interventions] == [
        ("quarantine", "", "reconciler")
    ]
    assert acme.plane.read(lambda r: compute_mtboi(r, acme.tenant_id, "reconciler", acme.now_ms)) == 3_600
    of_all, each = plane.read(lambda r: fleet_mtboi(r, acme.tenant_id, window_at(acme.now_ms)))
    assert of_all == Mtboi(2 * HOUR_MS, 1)
    assert each == {"reconciler": Mtboi(HOUR_MS, 1), "notifier": Mtboi(HOUR_MS, 0)}


def test_a_figure_of_an_earlier_time_knows_nothing_of_what_came_later(plane: Plane, acme: Tenancy) -> None:
    agent = acme.started(acme.ready())
    plane.clock.advance(HOUR_MS)
    then_ms = acme.now_ms
    plane.clock.advance(HOUR_MS)
    acme.intervene(agent.instance_id)
    acme.started(acme.ready("notifier"))
    (page,) = expanded(acme, until_ms=then_ms)
    assert page.mtboi == Mtboi(HOUR_MS, 0)
    assert [span.ended_by for span in page.spans] == [""]
    assert not page.interventions


def test_what_left_the_window_does_not_count(plane: Plane, acme: Tenancy, globex: Tenancy) -> None:
    agent = acme.started(acme.ready(), ttl_seconds=3_600)
    plane.clock.advance(HOUR_MS)
    acme.intervene(agent.instance_id)
    plane.clock.advance(WINDOW_MS - HOUR_MS)
    (page,) = expanded(acme)
    assert page.mtboi == Mtboi(HOUR_MS, 1)
    plane.clock.advance(HOUR_MS // 2)
    assert expanded(acme)[0].mtboi == Mtboi(HOUR_MS // 2, 1)
    plane.clock.advance(HOUR_MS // 2 + 1)
    assert expanded(acme)[0].mtboi == Mtboi(0, 0)
    assert expanded(globex)[0] == expanded(globex)[0]._replace(spans=[], interventions=[], more=False)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["launch", "stop", "quarantine", "release", "agent-stop", "wait"]),
        st.integers(min_value=0, max_value=3 * DAY_MS),
    ),
    min_size=1,
    max_size=14,
)


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS, limit=st.integers(min_value=1, max_value=4))
def test_the_expansion_adds_up_to_the_figure(steps: list[tuple[str, int]], limit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        plane = Plane(Path(folder) / "control.db")
        try:
            _check_sums(_live(plane.tenant(), steps), limit)
        finally:
            plane.store.close()


def _live(acme: Tenancy, steps: list[tuple[str, int]]) -> Tenancy:
    """A tenant in which all of this happened; what an operator can't do at a moment is left out."""
    manifests = [acme.ready(), acme.ready("notifier")]
    agents: list[Agent] = []
    for step, wait_ms in steps:
        if step == "launch":
            agents.append(acme.started(manifests[len(agents) % 2]))
        elif step == "agent-stop":
            _tried(lambda: acme.intervene_agent("reconciler", "stop"))
        elif step != "wait" and agents:
            _tried(lambda step=step: acme.intervene(agents[-1].instance_id, step))
        acme.plane.clock.advance(wait_ms)
    return acme


def _check_sums(acme: Tenancy, limit: int) -> None:
    of_all, each = acme.plane.read(lambda r: fleet_mtboi(r, acme.tenant_id, window_at(acme.now_ms)))
    for agent, known in [(None, of_all), *((name, each.get(name)) for name in ("reconciler", "notifier"))]:
        pages = expanded(acme, agent, limit=limit)
        total_ms = sum(span.counted_ms for page in pages for span in page.spans)
        hands = [hand for page in pages for hand in page.interventions]
        assert pages[0].mtboi == Mtboi(total_ms, len(hands)) == (known or Mtboi(0, 0))
        assert pages[0].mtboi.seconds == mean_seconds(total_ms, len(hands))
        assert all(span.began_by for page in pages for span in page.spans)
        assert all(
            bool(one.ended_by) == (one.span.ended_ms is not None) for page in pages for one in page.spans
        )
        if agent is not None:
            found = acme.plane.read(
                lambda r, agent=agent: compute_mtboi(r, acme.tenant_id, agent, acme.now_ms)
            )
            assert found == pages[0].mtboi.seconds


def _tried(act: Callable[[], object]) -> None:
    with suppress(ConflictError):
        act()


def test_spans_of_dispatched_and_delegated_instances_are_proven_too(plane: Plane, acme: Tenancy) -> None:
    manifest, other = acme.ready(delegate=["send:email"]), acme.ready("notifier", ["send:email"])
    ordered = acme.started(manifest, dispatch_id=acme.dispatch(), node="here")
    parent = acme.started(manifest, delegate_scope=("send:email",))
    acme.beat(ordered, 1)
    acme.renew(ordered)
    child = acme.delegate(parent, other, ["send:email"])
    assert isinstance(child, Agent)
    plane.clock.advance(HOUR_MS)
    acme.intervene(ordered.instance_id, "redispatch")
    (page,) = expanded(acme)
    spans = {one.span.instance_id: one for one in page.spans}
    issued = {header.instance_id: header.receipt_id for header in acme.receipts(Kind.LEASE_ISSUED)}
    for agent in (ordered, parent, child):
        assert spans[agent.instance_id].began_by == issued[agent.instance_id]
    assert spans[ordered.instance_id].ended_by
    assert not spans[child.instance_id].ended_by
