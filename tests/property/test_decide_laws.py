"""The decision allows exactly when every fact is good, and an expired no stays a no."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dragons.authority.decide import CLOCK_DRIFT_MS_MAX, Allow, Deny, Holding, Now, Situation, decide, hold
from dragons.authority.revocation import STALE_AFTER_MS
from dragons.core.clock import format_time
from dragons.core.vocabulary import OrganismState, Reason, Risk
from tests.property.builders import BOOT_MS, MINUTE_MS, NOW_MS, make_holding, make_lease, make_situation, name

CAPABILITIES = ["read:payments", "write:ledger", "pay:invoice"]
PATH = (
    "operator:o",
    "dock:d",
    "agent:a",
    "version:a@v1",
    "instance:i",
    f"lease:{name('lse', 1)}",
    "lease:parent",
)
LIFE_MS = 15 * MINUTE_MS
NEAR = st.integers(-2, 2)
AFTER = st.sampled_from([-10_000, 0, STALE_AFTER_MS, LIFE_MS]).flatmap(
    lambda base: NEAR.map(lambda near: base + near)
)
SKEW = st.sampled_from([-3_600_000, -CLOCK_DRIFT_MS_MAX, 0, 0, 0, CLOCK_DRIFT_MS_MAX, 3_600_000]).flatmap(
    lambda base: NEAR.map(lambda near: base + near)
)
AGE = st.sampled_from([0, 0, STALE_AFTER_MS]).flatmap(lambda base: NEAR.map(lambda near: base + near))

HOLDINGS = st.builds(
    make_holding,
    scope=st.frozensets(st.sampled_from(CAPABILITIES), min_size=1),
    tenant_id=st.sampled_from([name("tnt", 1)] * 3 + [name("tnt", 2)]),
    epoch=st.sampled_from([3, 3, 3, 2, 4]),
    not_before_ms=st.sampled_from([NOW_MS - 10_000, NOW_MS, NOW_MS + 1]),
    boot_deadline_ms=st.sampled_from([BOOT_MS + LIFE_MS, BOOT_MS + LIFE_MS, BOOT_MS + 1_000]),
    path=st.just(PATH),
)
SITUATIONS = st.builds(
    make_situation,
    state=st.sampled_from([OrganismState.RUNNING] * 3 + list(OrganismState)),
    revoked=st.frozensets(st.sampled_from(["lease:other", "agent:b", "x"]))
    | st.frozensets(st.sampled_from(PATH), max_size=1),
    risks=st.dictionaries(st.sampled_from(CAPABILITIES), st.sampled_from(list(Risk)), min_size=1),
)


@st.composite
def questions(draw: st.DrawFn) -> tuple[str, Holding, Situation, Now, bool]:
    now = Now(NOW_MS + draw(AFTER), 0)
    now = Now(now.wall_ms + draw(SKEW), now.wall_ms - NOW_MS + BOOT_MS)
    situation: Any = draw(SITUATIONS)
    dated = make_situation(
        state=situation.state,
        revoked=situation.revoked,
        risks=situation.risks,
        as_of_boot_ms=now.boot_ms - draw(AGE),
    )
    return draw(st.sampled_from(CAPABILITIES)), draw(HOLDINGS), dated, now, draw(st.booleans())


def all_facts_are_good(
    capability: str, holding: Holding, situation: Situation, now: Now, online: bool
) -> bool:
    return (
        now.boot_ms - STALE_AFTER_MS <= situation.as_of_boot_ms <= now.boot_ms
        and -CLOCK_DRIFT_MS_MAX
        <= (now.wall_ms - now.boot_ms) - holding.wall_minus_boot_ms
        <= CLOCK_DRIFT_MS_MAX
        and holding.not_before_ms <= now.wall_ms < holding.expires_ms
        and now.boot_ms < holding.boot_deadline_ms
        and holding.tenant_id == situation.tenant_id
        and holding.epoch == situation.epoch
        and situation.state in {OrganismState.RUNNING, OrganismState.DEGRADED}
        and not set(holding.path) & situation.revoked
        and capability in holding.scope
        and capability in situation.risks
        and (online or situation.risks[capability] is not Risk.HIGH)
    )


@given(questions())
def test_an_action_is_allowed_exactly_when_every_fact_is_good(
    question: tuple[str, Holding, Situation, Now, bool],
) -> None:
    capability, holding, situation, now, online = question
    verdict = decide(capability, holding, situation, now, online=online)
    assert isinstance(verdict, Allow) is all_facts_are_good(*question)
    if isinstance(verdict, Allow):
        assert verdict == Allow(holding.lease_id, holding.expires_ms)
    else:
        assert isinstance(verdict.reason, Reason)


@given(questions())
def test_without_a_lease_nothing_is_ever_allowed(question: tuple[str, Holding, Situation, Now, bool]) -> None:
    capability, _, situation, now, online = question
    assert isinstance(decide(capability, None, situation, now, online=online), Deny)


@given(questions())
def test_the_control_plane_never_denies_what_an_agent_may_do_alone(
    question: tuple[str, Holding, Situation, Now, bool],
) -> None:
    capability, holding, situation, now, _ = question
    if isinstance(decide(capability, holding, situation, now, online=False), Allow):
        assert isinstance(decide(capability, holding, situation, now, online=True), Allow)


@given(questions(), st.sampled_from(PATH))
def test_one_more_revocation_never_allows_more(
    question: tuple[str, Holding, Situation, Now, bool], revoked: str
) -> None:
    capability, holding, situation, now, online = question
    more = make_situation(
        state=situation.state,
        risks=situation.risks,
        as_of_boot_ms=situation.as_of_boot_ms,
        revoked=situation.revoked | {revoked},
    )
    assert isinstance(decide(capability, holding, more, now, online=online), Deny)


@given(questions(), st.integers(0, 10 * LIFE_MS))
def test_what_expired_stays_expired(
    question: tuple[str, Holding, Situation, Now, bool], later_ms: int
) -> None:
    capability, holding, situation, now, online = question
    verdict = decide(capability, holding, situation, now, online=online)
    if isinstance(verdict, Deny) and verdict.reason in {Reason.LEASE_EXPIRED, Reason.CLOCK_JUMPED}:
        fresh = make_situation(risks=situation.risks, as_of_boot_ms=now.boot_ms + later_ms)
        later = Now(now.wall_ms + later_ms, now.boot_ms + later_ms)
        assert isinstance(decide(capability, holding, fresh, later, online=online), Deny)


@given(questions(), st.tuples(*[st.integers(0, LIFE_MS)] * 2))
def test_what_is_allowed_now_and_later_is_allowed_in_between(
    question: tuple[str, Holding, Situation, Now, bool], steps: tuple[int, int]
) -> None:
    capability, holding, situation, now, online = question

    def allowed(after_ms: int) -> bool:
        when = Now(now.wall_ms + after_ms, now.boot_ms + after_ms)
        return isinstance(decide(capability, holding, situation, when, online=online), Allow)

    if allowed(0) and allowed(sum(steps)):
        assert allowed(steps[0])


@given(
    st.integers(-LIFE_MS, 2 * LIFE_MS),
    st.integers(0, 2 * LIFE_MS),
    st.integers(-CLOCK_DRIFT_MS_MAX, CLOCK_DRIFT_MS_MAX),
)
def test_a_lease_never_outlives_its_remaining_life_at_receipt(
    received_ms: int, after_ms: int, drift_ms: int
) -> None:
    lease = make_lease(expires_at=format_time(NOW_MS + LIFE_MS))
    holding = hold(lease, (), Now(NOW_MS + received_ms, BOOT_MS))
    when = Now(NOW_MS + received_ms + after_ms + drift_ms, BOOT_MS + after_ms)
    verdict = decide("read:payments", holding, make_situation(as_of_boot_ms=when.boot_ms), when, online=False)
    if isinstance(verdict, Allow):
        assert after_ms < LIFE_MS - received_ms
        assert when.wall_ms < NOW_MS + LIFE_MS
