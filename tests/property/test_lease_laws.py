"""Leases only narrow: what fits a chain of leases fits its top."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from dragons.authority.lease import DEPTH_MAX, Lease, refuse_outside_dock, refuse_outside_parent, renew_at_ms
from dragons.core.capability import scope_of
from dragons.core.clock import format_time, parse_time
from dragons.core.hashing import ZERO, sha256_hex
from tests.property.builders import MINUTE_MS, NOW_MS, make_child, make_dock, make_lease

POOL = ["a:x", "b:x", "c:x", "d:x"]
SCOPES = st.sets(st.sampled_from(POOL)).map(scope_of)
TIMES = st.integers(-10, 10).map(lambda number: NOW_MS + number * MINUTE_MS)
HASH = sha256_hex(b"parent")


@st.composite
def under(draw: st.DrawFn, parent: Lease) -> Lease:
    """A child of `parent` that often fits: mostly a part of it, sometimes more."""
    extra = st.sampled_from([[]] * 6 + [[one] for one in POOL])
    both = [*parent.scope, *parent.delegate_scope]
    part = st.sets(st.sampled_from(both)) if both else st.just(set())
    further = st.sets(st.sampled_from(parent.delegate_scope)) if parent.delegate_scope else st.just(set())
    shift = st.sampled_from([0, 0, 0, -1, 1])
    return make_child(
        parent,
        HASH,
        scope=scope_of([*draw(part), *draw(extra)]),
        delegate_scope=scope_of([*draw(further), *draw(extra)]),
        depth=parent.depth + draw(st.sampled_from([1] * 8 + [0, 2])),
        not_before=format_time(parse_time(parent.not_before) + draw(shift)),
        expires_at=format_time(parse_time(parent.expires_at) + draw(shift)),
    )


@st.composite
def families(draw: st.DrawFn) -> tuple[Lease, Lease, Lease]:
    top = make_lease(scope=draw(SCOPES), delegate_scope=draw(SCOPES), depth=draw(st.integers(0, DEPTH_MAX)))
    parent = draw(under(top))
    return top, parent, draw(under(parent))


@given(families())
def test_a_child_that_fits_has_nothing_more_than_its_parent(family: tuple[Lease, Lease, Lease]) -> None:
    parent, child, _ = family
    assume(refuse_outside_parent(child, parent, HASH) is None)
    assert set(child.scope) <= {*parent.scope, *parent.delegate_scope}
    assert set(child.delegate_scope) <= set(parent.delegate_scope)
    assert child.expires_at <= parent.expires_at
    assert child.not_before >= parent.not_before
    assert child.depth == parent.depth + 1 <= DEPTH_MAX


@given(families())
def test_a_grandchild_that_fits_has_nothing_more_than_its_grandparent(
    family: tuple[Lease, Lease, Lease],
) -> None:
    top, parent, child = family
    assume(
        refuse_outside_parent(parent, top, HASH) is None
        and refuse_outside_parent(child, parent, HASH) is None
    )
    assert set(child.scope) <= {*top.scope, *top.delegate_scope}
    assert set(child.delegate_scope) <= set(top.delegate_scope)
    assert parse_time(child.expires_at) <= parse_time(top.expires_at)
    assert parse_time(child.not_before) >= parse_time(top.not_before)
    assert child.tenant_id == top.tenant_id
    assert child.depth == top.depth + 2 <= DEPTH_MAX


@given(families())
def test_a_child_with_anything_more_is_refused(family: tuple[Lease, Lease, Lease]) -> None:
    parent, child, _ = family
    wider = (
        not set(child.scope) <= {*parent.scope, *parent.delegate_scope}
        or not set(child.delegate_scope) <= set(parent.delegate_scope)
        or child.expires_at > parent.expires_at
        or child.not_before < parent.not_before
        or child.depth != parent.depth + 1
        or child.depth > DEPTH_MAX
    )
    assert (refuse_outside_parent(child, parent, HASH) is not None) is wider


@given(
    st.tuples(SCOPES, SCOPES),
    st.tuples(SCOPES, SCOPES),
    TIMES,
    TIMES,
    st.tuples(st.integers(1, 1200), st.none() | TIMES),
)
def test_a_lease_fits_its_dock_exactly_when_it_is_no_wider(
    leased: tuple[list[str], list[str]],
    allowed: tuple[list[str], list[str]],
    issued: int,
    expires: int,
    limits: tuple[int, int | None],
) -> None:
    (scope, delegate), (docked, docked_delegate), (ttl, end) = leased, allowed, limits
    lease = make_lease(
        scope=scope,
        delegate_scope=delegate,
        issued_at=format_time(issued),
        not_before=format_time(issued - 10_000),
        expires_at=format_time(expires),
    )
    bound = {} if end is None else {"not_after": format_time(end)}
    dock = make_dock(scope=docked, delegate_scope=docked_delegate, ttl_seconds_max=ttl, **bound)
    fits = (
        set(scope) <= set(docked)
        and set(delegate) <= set(docked_delegate)
        and issued < expires <= issued + ttl * 1000
        and (end is None or expires <= end)
    )
    assert (refuse_outside_dock(lease, dock, ZERO) is None) is fits


@given(st.integers(1, 7 * 24 * 3600), st.floats(-2, 2))
def test_a_lease_is_renewed_well_before_it_ends(ttl_seconds: int, jitter: float) -> None:
    life_ms = ttl_seconds * 1000
    at = renew_at_ms(make_lease(expires_at=format_time(NOW_MS + life_ms)), jitter) - NOW_MS
    assert 0.4 * life_ms - 1 <= at <= 0.6 * life_ms
