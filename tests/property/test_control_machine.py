"""A control plane under random orders, actions, restarts and time answers as the model says, and proves it.

Every answer is compared with `tests.property.model`; whatever was acknowledged stays; every pack verifies.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dragons.audit.pack import Selection
from dragons.authority.revocation import Target
from dragons.control.append import ClaimReceipt
from dragons.control.authorize import Authorized
from dragons.control.denials import Refused
from dragons.control.issue import Grant
from dragons.control.ports import Appended
from dragons.core.capability import scope_of
from dragons.core.clock import format_time
from dragons.core.errors import ConflictError, ForbiddenError
from dragons.core.hashing import sha256_hex
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.statement import Envelope
from dragons.core.vocabulary import OrganismState, Outcome
from dragons.evidence.receipt import CLAIM, Claim
from tests.property.kept import assert_kept
from tests.property.model import DELEGABLE, DEPTH_MAX, LIVE, MINUTE_MS, Dock, Instance, Model, Session
from tests.support.expect import fails
from tests.support.governed import CAPABILITIES, make_manifest
from tests.support.plane import Agent, Plane, Tenancy, assert_sound, assert_valid

AGENTS = ("reconciler", "notifier")
NAMES = sorted(CAPABILITIES)
PICKS = st.integers(0, 30)
SCOPES = st.frozensets(st.sampled_from(NAMES), min_size=1)
SECONDS = st.sampled_from([1, 60, 600, 900, 3_600])
WAITS_MS = st.sampled_from([0, 0, 0, 1_000, MINUTE_MS, 6 * MINUTE_MS])
STEPS_MS = st.sampled_from([1_000, 5 * MINUTE_MS, 10 * MINUTE_MS, 16 * MINUTE_MS, 31 * MINUTE_MS])


class ControlMachine(RuleBasedStateMachine):
    """The real plane, the model, and what both were told."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.plane = Plane(Path(self.folder.name) / "control.db")
        self.acme: Tenancy = self.plane.tenant()
        self.model = Model()
        self.hands: dict[str, Agent] = {}
        self.told: dict[int, str] = {}
        self.unsent: list[tuple[Instance, Session, str, str, int, Envelope]] = []
        self.deputy = LocalSigner.generate(KeyRole.OPERATOR)

    @property
    def now_ms(self) -> int:
        return self.plane.clock.now_ms()

    @initialize()
    def begin(self) -> None:
        self.acme.publish()
        self.acme.register_key(self.deputy, roles=["operator"])
        for name in AGENTS:
            manifest = make_manifest(name)
            self.acme.register(manifest)
            self.acme.activate(manifest)
            self.model.active[name] = 1
        for which in range(len(AGENTS)):
            self.dock(which, frozenset(NAMES), DELEGABLE, 3_600, 3, None, by_deputy=which == 1)
            self.launch(which, frozenset(), DELEGABLE, 900, None)
        self.delegate(0, DELEGABLE, 600, 1, 0)
        assert len(self.model.instances) == 3

    def pick(self, number: int, *, live: bool = False) -> Instance:
        found = (
            [one for one in self.model.instances if one.state is not OrganismState.STOPPED] if live else []
        )
        found = found or self.model.instances
        return found[number % len(found)]

    def pick_session(self, number: int) -> tuple[Instance, Session]:
        both = [(one, session) for one in self.model.instances for session in one.sessions.values()]
        begun = [(one, session) for one, session in both if not session.outcome]
        # Mostly one that is open; of them the newest first.
        found = both if not begun or number % 4 == 0 else begun
        return found[-1 - number // 4 % len(found)]

    def hold(self, appended: Appended) -> None:
        assert appended.seq not in self.told
        self.told[appended.seq] = appended.chain_root

    # --- operators -------------------------------------------------------------------------------

    @rule(
        which=st.integers(0, 1), scope=SCOPES, delegate=st.frozensets(st.sampled_from(sorted(DELEGABLE))),
        seconds=SECONDS, instances=st.integers(1, 3),
        life_ms=st.none() | st.sampled_from([5 * MINUTE_MS, 20 * MINUTE_MS]), by_deputy=st.booleans(),
    )  # fmt: skip
    def dock(
        self, which: int, scope: frozenset[str], delegate: frozenset[str], seconds: int, instances: int,
        life_ms: int | None, *, by_deputy: bool,
    ) -> None:  # fmt: skip
        signer = self.deputy if by_deputy else self.acme.operator
        self.plane.clock.advance(1)  # the newest dock is the first that is tried
        not_after_ms = None if life_ms is None else self.now_ms + life_ms
        changes: dict[str, Any] = {} if not_after_ms is None else {"not_after": format_time(not_after_ms)}
        limits = {"ttl_seconds_max": seconds, "instances_max": instances, **changes}
        gone = f"operator:{self.deputy.key_id}" in self.model.revoked
        if by_deputy and gone:
            with fails(ForbiddenError, "signer_not_valid"):
                self.acme.dock(AGENTS[which], scope, signer=signer)
            return
        dock_id = self.acme.dock(AGENTS[which], scope, delegate=delegate, signer=signer, **limits)
        made = Dock(
            dock_id, AGENTS[which], scope, delegate, seconds * 1_000, instances, signer.key_id, not_after_ms
        )
        self.model.docks.append(made)

    def activate(self, name: str) -> None:
        version = self.model.active[name] + 1
        manifest = make_manifest(name, code=f"print({version})".encode())
        self.acme.register(manifest, version)
        self.acme.activate(manifest, version, version - 1)
        self.model.active[name] = version

    @rule(
        kind=st.sampled_from([Target.LEASE] * 3 + [Target.INSTANCE] * 3 + [Target.DOCK, Target.VERSION, Target.OPERATOR]),
        number=PICKS,
    )  # fmt: skip
    def revoke(self, kind: Target, number: int) -> None:
        one = self.pick(number, live=True)
        target = {
            Target.LEASE: one.lease_id,
            Target.INSTANCE: one.instance_id,
            Target.DOCK: one.dock.dock_id,
            Target.VERSION: next(path for path in one.path if path.startswith("version:")).partition(":")[2],
            Target.OPERATOR: self.deputy.key_id,
        }[kind]
        entry = f"{kind.value}:{target}"
        if entry in self.model.revoked:
            return
        self.hold(self.acme.revoke(kind, target))
        self.model.revoked[entry] = self.now_ms

    @rule(number=PICKS, by_operator=st.booleans())
    def stop(self, number: int, *, by_operator: bool) -> None:
        """An operator stops an instance, or it gives its lease back itself."""
        (self.intervene if by_operator else self.release)(self.pick(number))

    def intervene(self, one: Instance) -> None:
        if one.state is OrganismState.STOPPED:
            with fails(ConflictError, "organism_stopped"):
                self.acme.intervene(one.instance_id)
            return
        self.hold(self.acme.intervene(one.instance_id))
        self.model.change(one, OrganismState.STOPPED, self.now_ms)

    # --- instances -------------------------------------------------------------------------------

    @rule(
        which=st.sampled_from([0, 0, 1]), scope=st.just(frozenset()) | SCOPES,
        delegate=st.frozensets(st.sampled_from(sorted(DELEGABLE))), seconds=SECONDS,
        again=st.none() | PICKS, change=st.sampled_from([""] * 6 + ["newer", "stale"]),
    )  # fmt: skip
    def launch(
        self, which: int, scope: frozenset[str], delegate: frozenset[str], seconds: int, again: int | None,
        change: str = "",
    ) -> None:  # fmt: skip
        name, now_ms = AGENTS[which], self.now_ms
        if change == "newer":
            self.activate(name)
        version = self.model.active[name]
        wanted = max(1, version - 1) if change == "stale" else version
        code = b"print(1)" if wanted == 1 else f"print({wanted})".encode()
        before = [one for one in self.model.instances if one.agent == name]
        replaces = before[again % len(before)].dispatch_id if before and again is not None else ""
        fits = self.model.fit(name, scope, delegate, seconds * 1_000, now_ms, replaces=replaces)
        if any(one.dispatch_id == replaces and one.state is OrganismState.QUARANTINED for one in before):
            fits = None
        found = self.acme.launch(
            make_manifest(name, code=code), scope=tuple(sorted(scope)), delegate_scope=tuple(sorted(delegate)),
            ttl_seconds=seconds, dispatch_id=replaces,
        )  # fmt: skip
        if fits is None or wanted != version:
            assert isinstance(found, Refused), found
            return
        assert isinstance(found, Agent), found
        self.take(found, fits, delegate)

    @rule(
        number=PICKS, scope=st.frozensets(st.sampled_from(sorted(DELEGABLE)), min_size=1) | SCOPES,
        seconds=SECONDS, which=st.sampled_from([1, 1, 0]), after_ms=WAITS_MS,
    )  # fmt: skip
    def delegate(self, number: int, scope: frozenset[str], seconds: int, which: int, after_ms: int) -> None:
        self.plane.clock.advance(after_ms)
        parent, name, now_ms = self.pick(number, live=True), AGENTS[which], self.now_ms
        not_after_ms = now_ms + seconds * 1_000
        allowed = (
            not list(self.model.ends(parent, now_ms))
            and parent.depth < DEPTH_MAX
            and scope <= (parent.scope | parent.delegate) & DELEGABLE
            and not_after_ms <= parent.expires_ms
        )
        limits = (not_after_ms, parent.expires_ms)
        fits = self.model.fit(name, scope, frozenset(), seconds * 1_000, now_ms, limits_ms=limits)
        version = self.model.active[name]
        manifest = make_manifest(name, code=f"print({version})".encode())
        hand = self.hands[parent.instance_id]
        found = self.acme.delegate(hand, manifest, scope_of(scope), ttl_seconds=seconds)
        if not allowed or fits is None:
            assert isinstance(found, Refused), found
            return
        assert isinstance(found, Agent), found
        self.take(found, fits, frozenset(), parent=parent, not_after_ms=not_after_ms)

    def take(
        self, found: Agent, fits: tuple[Dock, frozenset[str], int], delegate: frozenset[str], *,
        parent: Instance | None = None, not_after_ms: int | None = None,
    ) -> None:  # fmt: skip
        """A lease was issued: it is what the model said, and the model learns its names."""
        dock, scope, ends_ms = fits
        lease = found.lease
        assert (lease.dock_id, frozenset(lease.scope), lease.expires_ms) == (dock.dock_id, scope, ends_ms)
        version = f"version:{lease.agent}@v{self.model.active[lease.agent]}"
        own = {version, f"instance:{lease.instance_id}", f"lease:{lease.lease_id}"}
        above = set() if parent is None else parent.path
        dispatch_id = found.grant.instance.dispatch_id
        assert lease.epoch == self.model.epochs.get(dispatch_id, 0) + 1
        self.hands[lease.instance_id] = found
        self.model.add(
            Instance(
                lease.instance_id, lease.lease_id, lease.agent, dock, scope, delegate, self.now_ms, ends_ms,
                dispatch_id, lease.epoch, dock.entries | own | above, parent, not_after_ms,
                0 if parent is None else parent.depth + 1,
            ),
            self.now_ms,
        )  # fmt: skip
        self.open(self.model.instances[-1])

    @rule(number=PICKS, after_ms=WAITS_MS, beats=st.booleans(), renews=st.booleans())
    def keep_up(self, number: int, after_ms: int, *, beats: bool, renews: bool) -> None:
        """An instance sends a heartbeat, or renews its lease, or both."""
        self.plane.clock.advance(after_ms)
        one = self.pick(number, live=True)
        if beats or not renews:
            self.beat(one)
        if renews:
            self.renew(one)

    def renew(self, one: Instance) -> None:
        ends_ms = self.model.renewed_until(one, self.now_ms)
        found = self.acme.renew(self.hands[one.instance_id])
        if ends_ms is None:
            assert isinstance(found, Refused), found
            return
        assert isinstance(found, Grant), found
        assert (found.lease.expires_ms, frozenset(found.lease.scope)) == (ends_ms, one.scope)
        if one.expires_ms < self.now_ms:
            one.gaps.append((one.expires_ms, self.now_ms))
        one.issued_ms, one.expires_ms = self.now_ms, ends_ms
        self.model.settle(one, self.now_ms)

    def release(self, one: Instance) -> None:
        hand = self.hands[one.instance_id]
        if one.released_ms is not None:
            with fails(ConflictError, "lease_released"):
                self.acme.release(hand)
            return
        self.hold(self.acme.release(hand))
        if one.state in LIVE:
            self.model.change(one, OrganismState.STOPPED, self.now_ms)
        one.released_ms = self.now_ms

    def beat(self, one: Instance) -> None:
        hand = self.hands[one.instance_id]
        over = list(self.model.ends(one, self.now_ms))
        sequence = self.acme.instance(hand).beat_sequence + 1
        assert self.acme.beat(hand, sequence).accepted == (0 if over else 1)
        if not over:
            one.pulse_ms = self.now_ms
            self.model.settle(one, self.now_ms)

    # --- work ------------------------------------------------------------------------------------

    def open(self, one: Instance) -> None:
        hand = self.hands[one.instance_id]
        over = list(self.model.ends(one, self.now_ms))
        found = self.acme.open(hand)
        if over:
            assert isinstance(found, Refused), found
            return
        assert isinstance(found, Appended), found
        self.hold(found)
        one.sessions[hand.session_id] = Session(hand.session_id)

    @rule(
        number=PICKS, what=PICKS, after_ms=WAITS_MS, asks=st.booleans(), now=st.booleans(),
        fresh=st.booleans(),
    )  # fmt: skip
    def work(self, number: int, what: int, after_ms: int, *, asks: bool, now: bool, fresh: bool) -> None:
        """An instance acts, whether it may or not; its claim is sent now, or waits."""
        self.plane.clock.advance(after_ms)
        if fresh:
            self.open(self.pick(number, live=True))
        one, session = self.pick_session(number)
        usual = [*sorted(one.scope), *sorted(one.scope), *NAMES]
        action = usual[what % len(usual)]
        if asks:
            self.authorize(one, session, action)
        self.claim(one, session, action, sha256_hex(f"{what}".encode()))
        if now:
            self.send(-1)

    def authorize(self, one: Instance, session: Session, action: str) -> None:
        reasons = self.model.why_not(one, session, action, self.now_ms)
        found = self.acme.authorize(self.hands[one.instance_id], action, session.session_id)
        if reasons:
            assert isinstance(found, Refused), (found, reasons)
            assert found.reason in reasons
            return
        assert isinstance(found, Authorized), found
        session.decisions[found.decision_id] = action

    def claim(self, one: Instance, session: Session, action: str, digest: str) -> None:
        hand = self.hands[one.instance_id]
        hand.session_id = session.session_id
        decision = next((name for name, known in session.decisions.items() if known == action), "")
        changes = {"decision_id": decision} if decision else {}
        claim = self.acme.claim(hand, action, evidence=[digest], **changes)
        self.unsent.append((one, session, action, decision, self.now_ms, claim))

    @precondition(lambda self: bool(self.unsent))
    @rule(number=PICKS)
    def send(self, number: int) -> None:
        one, session, action, decision, began_ms, claim = self.unsent.pop(number % len(self.unsent))
        judged = self.model.judge_claim(one, session, action, decision, began_ms=began_ms, now_ms=self.now_ms)
        hand = self.hands[one.instance_id]
        if judged == "closed":
            with fails(ConflictError, "session_closed"):
                self.acme.append(hand, claim)
            return
        found = self.acme.append(hand, claim)
        if judged == "refused":
            assert isinstance(found, Refused), found
            return
        assert isinstance(found, ClaimReceipt), found
        assert ("late" if found.late else "ok") == judged
        self.hold(found.appended)
        session.decisions.pop(decision, None)
        if judged == "ok":
            self.model.work(one, claim.body(CLAIM, Claim).evidence[0], self.now_ms)
        again = self.acme.append(hand, claim)
        assert again == found._replace(known=True)

    @rule(number=PICKS, good=st.booleans())
    def close(self, number: int, *, good: bool) -> None:
        one, session = self.pick_session(number)
        hand = self.hands[one.instance_id]
        hand.session_id = session.session_id
        outcome = Outcome.COMPLETED if good else Outcome.FAILED
        if session.outcome:
            with fails(ConflictError, "session_closed"):
                self.acme.close(hand, outcome)
            return
        self.hold(self.acme.close(hand, outcome))
        session.outcome = outcome.value
        session.decisions.clear()

    # --- time, restarts, proof -------------------------------------------------------------------

    @rule(step_ms=STEPS_MS, sweeps=st.booleans(), restarts=st.booleans())
    def advance(self, step_ms: int, *, sweeps: bool, restarts: bool) -> None:
        self.plane.clock.advance(step_ms)
        if restarts:
            self.plane.reopen()
        if sweeps:
            self.sweep()

    def sweep(self) -> None:
        while self.acme.sweep().timers:
            pass
        self.model.sweep(self.now_ms, self.states())

    def states(self) -> dict[str, OrganismState]:
        rows = self.plane.read(lambda reader: reader.instances(self.acme.tenant_id))
        return {row.instance_id: row.state for row in rows}

    @rule(number=PICKS, kind=st.sampled_from(["session", "agent"]))
    def export(self, number: int, kind: str) -> None:
        one, session = self.pick_session(number)
        self.sweep()  # as every second: what time ended is on the record before somebody asks
        if kind == "session":
            assert_valid(self.acme, Selection(kind="session", session_id=session.session_id))
        else:
            assert_valid(self.acme, Selection(kind="agent", agent=one.agent))

    @invariant()
    def states_are_the_models(self) -> None:
        assert self.states() == {one.instance_id: one.state for one in self.model.instances}

    def teardown(self) -> None:
        try:
            self.sweep()
            assert_kept(self.acme, self.told)
            assert_sound(self.plane, self.acme)
        finally:
            self.plane.store.close()
            self.folder.cleanup()


TestControlMachine = ControlMachine.TestCase
TestControlMachine.settings = settings(
    max_examples=max(1, settings().max_examples // 3),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
