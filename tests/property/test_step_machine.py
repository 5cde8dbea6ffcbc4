"""A step that happens once, whatever dies and whatever comes late: instances of many epochs of one dispatch.

Everything that an instance does between asking and reporting may be its last, its claims may arrive in any
order, late and twice. There is never a second completed receipt, and no body runs a second time unless an
agent has said on the record that the step did not happen.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dragons.control.authorize import Authorized
from dragons.control.denials import Refused
from dragons.control.steps import StepStands, StepWish
from dragons.core.ids import CLAIM, new_id
from dragons.core.statement import Envelope
from dragons.core.vocabulary import Kind, Outcome, Reason
from dragons.evidence.receipt import Claim
from dragons.evidence.step import STEP_HAPPENED, STEP_NOT_HAPPENED, dispatch_step_key
from tests.support.governed import make_manifest
from tests.support.plane import Agent, Plane, Tenancy, assert_sound

KEY = dispatch_step_key("dsp_" + "0" * 32, "may", "post-1")
PICKS = st.integers(0, 30)
ACTIONS = st.sampled_from(["write:ledger", "write:ledger", "pay:supplier"])


@dataclass
class Body:
    """A step's body that was allowed and has not ended."""

    agent: Agent
    action: str
    decision_id: str
    started_at: str


@dataclass
class Sent:
    """A claim that its instance has signed; it may be delivered at any time, and again."""

    agent: Agent
    body: Claim
    statement: Envelope


class StepMachine(RuleBasedStateMachine):
    """One dispatch, its instances, their bodies and their claims."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.plane = Plane(Path(self.folder.name) / "control.db")
        self.acme: Tenancy = self.plane.tenant()
        self.agents: list[Agent] = []
        self.bodies: list[Body] = []
        self.sent: list[Sent] = []
        self.begun = 0
        self.denied = 0
        self.completed = ""

    @initialize()
    def first(self) -> None:
        manifest = self.acme.ready(scope=["write:ledger", "pay:supplier"], instances_max=50)
        self.agents.append(self.acme.started(manifest))

    @property
    def newest(self) -> Agent:
        return self.agents[-1]

    @precondition(lambda self: len(self.agents) < 5 and len(self.agents) <= self.begun)
    @rule()
    def replace_instance(self) -> None:
        """The newest is fenced by a successor; it may not know, and go on."""
        self.plane.clock.advance(1_000)
        dispatch_id = self.acme.instance(self.newest).dispatch_id
        self.agents.append(self.acme.started(make_manifest(), dispatch_id=dispatch_id))

    @rule(pick=PICKS, action=ACTIONS)
    def ask(self, pick: int, action: str) -> None:
        """Mostly the newest asks, sometimes one that was fenced."""
        agent = self.newest if pick % 4 else self.agents[pick % len(self.agents)]
        self.plane.clock.advance(100)
        found = self.acme.authorize(agent, action, wish=StepWish(KEY, new_id(CLAIM, 1)))
        if agent is not self.newest:
            assert isinstance(found, Refused)
        elif self.completed:
            assert isinstance(found, StepStands)
            assert (found.refused, found.row.receipt_id) == (None, self.completed)
        elif isinstance(found, Authorized):
            self.begun += 1
            self.bodies.append(Body(agent, action, found.decision_id, self.acme.now))
        else:
            assert isinstance(found, StepStands)
            assert found.refused is not None
            assert found.refused.reason is Reason.STEP_IN_DOUBT

    @precondition(lambda self: self.bodies)
    @rule(
        pick=PICKS,
        outcome=st.sampled_from([Outcome.COMPLETED, Outcome.COMPLETED, Outcome.FAILED]),
        claims=st.integers(1, 2),
        delivered=st.integers(0, 2),
    )
    def end_body(self, pick: int, outcome: Outcome, claims: int, delivered: int) -> None:
        """A body ends; an agent that errs claims it more than once. Some of it arrives at once."""
        body = self.bodies.pop(pick % len(self.bodies))
        for _ in range(claims):
            self._sign(body, outcome=outcome)
        for _ in range(min(claims, delivered)):
            self.deliver(0, again=False)

    @precondition(lambda self: self.bodies)
    @rule(pick=PICKS)
    def die(self, pick: int) -> None:
        """The process of a body is killed: nothing of it is ever heard."""
        if pick % 3 == 0:
            self.bodies.pop(pick % len(self.bodies))

    @precondition(lambda self: self.begun)
    @rule(happened=st.booleans(), dies=st.booleans())
    def resolve(self, happened: bool, dies: bool) -> None:
        """The newest says how a doubtful step ended, rightly or wrongly, or dies over it."""
        self.plane.clock.advance(100)
        row = self.plane.read(lambda reader: reader.step(self.acme.tenant_id, KEY))
        if row is None or not row.decision_id:
            return
        wish = StepWish(KEY, new_id(CLAIM, 1), resolves=row.decision_id)
        found = self.acme.authorize(self.newest, "write:ledger", wish=wish)
        if self.completed:
            assert isinstance(found, StepStands)
            return
        assert isinstance(found, Authorized)
        if dies:
            return
        body = Body(self.newest, "write:ledger", found.decision_id, self.acme.now)
        if happened:
            self._sign(body, reason=STEP_HAPPENED)
        else:
            self._sign(body, outcome=Outcome.FAILED, reason=STEP_NOT_HAPPENED)

    @precondition(lambda self: self.sent)
    @rule(pick=PICKS, again=st.sampled_from([False, False, True]))
    def deliver(self, pick: int, *, again: bool) -> None:
        """A claim arrives: in any order, and maybe again later."""
        sent = self.sent.pop(-1 - pick % len(self.sent))
        self.sent += [sent] * again
        self.plane.clock.advance(100)
        denials = len(self.acme.denials())
        known = self.plane.read(
            lambda reader: reader.receipt_by_claim(self.acme.tenant_id, sent.body.claim_id)
        )
        found = self.acme.append(sent.agent, sent.statement)
        if isinstance(found, Refused):
            # On the record: as a receipt of its own, or counted with its equals.
            counted = self.plane.read(lambda reader: reader.denials(self.acme.tenant_id))
            assert len(self.acme.denials()) > denials or any(
                one.reason == found.reason.value for one in counted
            )
        elif sent.body.outcome is Outcome.COMPLETED and known is None:
            assert not self.completed
            self.completed = found.appended.receipt_id
        elif sent.body.reason == STEP_NOT_HAPPENED and known is None:
            self.denied += 1

    @precondition(lambda self: any(one.agent is self.newest for one in self.bodies))
    @rule(pick=PICKS)
    def newest_loses_its_session(self, pick: int) -> None:
        """What awaits its report in a session is abandoned when the session ends."""
        if pick % 4:
            return
        self.bodies = [one for one in self.bodies if one.agent is not self.newest]
        self.sent = [one for one in self.sent if one.agent is not self.newest]
        self.acme.close(self.newest)
        self.acme.open(self.newest)

    @invariant()
    def nothing_is_completed_twice(self) -> None:
        if not self.agents:
            return
        receipts = [one for one in self.acme.receipts(Kind.WORK) if one.outcome is Outcome.COMPLETED]
        assert [one.receipt_id for one in receipts] == [self.completed] * bool(self.completed)
        assert self.begun <= 1 + self.denied, "a body ran again, and nobody had said why"

    def teardown(self) -> None:
        if self.agents:
            assert_sound(self.plane, self.acme)
        self.plane.store.close()
        self.folder.cleanup()

    def _sign(self, body: Body, **changes: object) -> None:
        self.plane.clock.advance(10)
        statement = self.acme.claim(
            body.agent,
            body.action,
            decision_id=body.decision_id,
            step_key=KEY,
            started_at=body.started_at,
            **changes,
        )
        self.sent.append(Sent(body.agent, statement.body("claim", Claim), statement))


TestStepMachine = StepMachine.TestCase
TestStepMachine.settings = settings(
    max_examples=max(1, settings().max_examples // 2),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
