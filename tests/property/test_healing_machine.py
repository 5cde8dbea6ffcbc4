"""A control plane that heals, under everything that goes wrong: never two holders, nothing forgotten.

Programs crash, freeze, stall and go on acting after they were replaced; nodes die, lose answers, carry out
orders late or not at all and report twice; operators lay hand on whatever there is; the store is opened
anew between any two writes. In the end the world behaves, and every dispatch that is not over runs.
"""

from __future__ import annotations

import random
import tempfile
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dragons.control.denials import Refused
from dragons.control.nodes import Dead, OrderResult, report_node
from dragons.control.organism import organism_of
from dragons.control.policies import now_of
from dragons.control.ports import Appended, Reader
from dragons.control.rows import DispatchRow, OrderRow
from dragons.control.standing import compute_mtboi, ended, standing_of
from dragons.core.errors import ConflictError
from dragons.core.hashing import sha256_hex
from dragons.core.vocabulary import OrganismState
from dragons.liveness.heartbeat import Progress
from dragons.liveness.organism import due_ms
from tests.property.healing_world import Node, Program, mtboi_of_receipts, shaky_plane
from tests.property.kept import assert_kept
from tests.support.governed import make_manifest
from tests.support.plane import Agent, Tenancy, assert_sound

S = OrganismState
AGENTS = ("reconciler", "notifier")
NODES = ("here", "there")
TTL_SECONDS = 300
ROUNDS = 200
PICKS = st.integers(0, 30)
SHAKES = st.just(0) | st.integers(0, 63)
STEPS = [1, 1_000, 5_999, 6_000, 20_000, 30_000, 61_000, 121_000, 331_000]
STEPS_MS = st.sampled_from(STEPS)
HOWS = [*["launch"] * 4, "fails", "unknown", "dies"]
TURNS = 80


MISCHIEF = [
    *[""] * 6, *["crash"] * 6, *["freeze"] * 3, *["give back"] * 2, *["node dies"] * 2, *["release"] * 3,
    "redispatch", "redispatch", "quarantine", "quarantine", "done", "stop",
]  # fmt: skip


class HealingMachine(RuleBasedStateMachine):
    """The real plane and the real world."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.plane = shaky_plane(self.folder.name)
        self.acme: Tenancy = self.plane.tenant()
        self.nodes = {name: Node(name) for name in NODES}
        self.programs: list[Program] = []
        self.told: dict[int, str] = {}
        self.digests = 0

    @property
    def now_ms(self) -> int:
        return self.plane.clock.now_ms()

    @initialize(restarts_max=st.integers(0, 3), seconds=st.sampled_from([1, 30]))
    def begin(self, restarts_max: int, seconds: int) -> None:
        for name in AGENTS:
            self.acme.ready(name, ["read:payments"])
        self.acme.publish_policy(
            agent="*", degrade_after_seconds=60, autoheal_after_seconds=120, lease_grace_seconds=seconds,
            heal_timeout_seconds=60, restarts_max=restarts_max, restart_window_seconds=600,
            backoff_first_seconds=5, backoff_longest_seconds=20,
        )  # fmt: skip
        for which in range(2):
            self.order(which, which)
            self.report(which, loses=False, shakes=0)
            self.carry_out(which, 0, "launch", 0)

    def hold(self, appended: Appended) -> None:
        self.told[appended.seq] = appended.chain_root

    # --- operators ----------------------------------------------------------------------------------

    @precondition(lambda self: len(self.dispatches()) < 4)
    @rule(which=st.integers(0, 1), node=st.integers(0, 1))
    def order(self, which: int, node: int) -> None:
        with suppress(ConflictError):
            self.acme.dispatch(AGENTS[which], target=NODES[node], ttl_seconds=TTL_SECONDS)

    def intervene(self, which: int, number: int | None, act: str, shakes: int) -> None:
        self.plane.shakes = shakes
        with suppress(ConflictError):
            if number is None or not self.programs:
                self.hold(self.acme.intervene_agent(AGENTS[which], act))
            else:
                self.hold(self.acme.intervene(self.pick(number).agent.instance_id, act))

    # --- nodes --------------------------------------------------------------------------------------

    @rule(which=st.integers(0, 1), loses=st.booleans(), shakes=SHAKES)
    def report(self, which: int, *, loses: bool, shakes: int) -> None:
        """A node reports; its answer may be lost, so that it says the same again."""
        node = self.nodes[NODES[which]]
        self.plane.shakes = shakes
        running = [one for one in self.programs if one.alive and one.node == node.name]
        said = node.report(running)
        orders = self.plane.write(lambda tx: report_node(tx, self.acme.issuer, self.acme.caller, said))
        if not loses:
            node.heard(orders)

    @rule(
        which=st.integers(0, 1), number=PICKS, shakes=SHAKES,
        how=st.sampled_from(["launch", "launch", "launch", "fails", "unknown", "dies"]),
    )  # fmt: skip
    def carry_out(self, which: int, number: int, how: str, shakes: int) -> None:
        """A node carries out an order that it holds, which may be an old one."""
        node = self.nodes[NODES[which]]
        if not node.inbox:
            return
        self.plane.shakes = shakes
        # Mostly the oldest; sometimes one that waits on, until it is an old one.
        order = node.inbox.pop(number % len(node.inbox))
        if how == "fails":
            node.results.append(OrderResult(order.order_id, "failed", "no program"))
        elif order.kind == "stop":
            for one in self.programs:
                if one.agent.instance_id == order.instance_id:
                    one.alive = False
            node.results.append(OrderResult(order.order_id, "done", "killed"))
        else:
            self.start(node, order, how)

    def start(self, node: Node, order: OrderRow, how: str) -> None:
        """The launch; its program starts (`launch`), its answer is lost (`unknown`), or it crashes (`dies`)."""
        forbidden = self.plane.read(lambda reader: self.is_held(reader, order))
        try:
            found = self.acme.launch(
                make_manifest(order.agent), dispatch_id=order.dispatch_id, epoch=order.epoch,
                node=node.name, ttl_seconds=TTL_SECONDS,
            )  # fmt: skip
        except ConflictError:
            found = None
        if not isinstance(found, Agent):
            node.results.append(OrderResult(order.order_id, "failed", "refused"))
            return
        assert not forbidden
        self.programs.append(Program(found, node.name, alive=how == "launch"))
        if how == "unknown":
            node.results.append(OrderResult(order.order_id, "failed", "no answer"))
        elif how == "dies":
            node.dead.append(Dead(found.instance_id, "signal 9"))

    def node_dies(self, which: int) -> None:
        """A node's process dies, and with it what runs there."""
        node = self.nodes[NODES[which]]
        node.forget()
        for one in self.programs:
            one.alive = one.alive and one.node != node.name

    @rule(
        mischief=st.sampled_from(MISCHIEF), number=PICKS, step_ms=STEPS_MS, shakes=SHAKES,
        how=st.sampled_from(HOWS),
        lost=st.sampled_from([0, 0, 0, 1, 2]),
    )  # fmt: skip
    def turn(self, mischief: str, number: int, step_ms: int, how: str, shakes: int, lost: int) -> None:
        """The usual course of things: something goes wrong, time passes, programs beat, nodes do their work."""
        self.do_mischief(mischief, number, shakes)
        self.advance(step_ms, 1, shakes)
        for one in self.programs:
            if one.alive and not one.frozen:
                self.acme.renew(one.agent)
                self.beat(one, progress=True)
        for which, node in enumerate(self.nodes.values()):
            self.report(which, loses=lost == which + 1, shakes=shakes)
            for _ in range(len(node.inbox)):
                self.carry_out(which, 0, how, shakes)

    def do_mischief(self, what: str, number: int, shakes: int) -> None:
        which = number % 2
        if what in {"crash", "give back", "done"}:
            self.end(number, what)
        elif what == "freeze":
            self.pick(4 * number + 1).frozen = True
        elif what == "node dies":
            self.node_dies(which)
        elif what:
            self.intervene(which, None if number % 3 else number, what, shakes)

    # --- programs -----------------------------------------------------------------------------------

    def pick(self, number: int) -> Program:
        """Mostly one that lives, of them mostly the newest."""
        alive = [one for one in self.programs if one.alive]
        found = alive if alive and number % 4 else self.programs
        return found[-1 - number // 4 % len(found)]

    @precondition(lambda self: self.programs)
    @rule(number=PICKS, progress=st.booleans(), renews=st.booleans(), shakes=SHAKES)
    def act(self, number: int, *, progress: bool, renews: bool, shakes: int) -> None:
        """A program does what it can: whether it may is not its to judge."""
        one = self.pick(number)
        if not one.alive:
            return
        self.plane.shakes = shakes
        if renews:
            self.acme.renew(one.agent)
        self.beat(one, progress=progress)
        may = self.plane.read(lambda reader: self.is_holder(reader, one))
        opened = self.acme.open(one.agent)
        assert isinstance(opened, Refused) is not may
        if isinstance(opened, Appended):
            self.hold(opened)
            self.acme.work(one.agent)

    def beat(self, one: Program, *, progress: bool) -> None:
        may = self.plane.read(lambda reader: self.is_holder(reader, one))
        one.beats += 1
        self.digests += 1
        digest = sha256_hex(f"{self.digests}".encode())
        seen = {"progress": Progress(sequence=one.beats, digest=digest, source="files")} if progress else {}
        assert self.acme.beat(one.agent, one.beats, **seen).accepted == int(may)

    def end(self, number: int, how: str) -> None:
        one = self.pick(4 * number + 1)
        if not one.alive:
            return
        one.alive = False
        if how == "crash":
            self.nodes[one.node].dead.append(Dead(one.agent.instance_id, "exit status 1"))
            return
        with suppress(ConflictError):
            self.acme.release(one.agent, outcome="completed" if how == "done" else "failed", detail=how)

    # --- time ---------------------------------------------------------------------------------------

    @rule(step_ms=STEPS_MS, sweeps=st.integers(0, 2), shakes=SHAKES)
    def advance(self, step_ms: int, sweeps: int, shakes: int) -> None:
        self.plane.clock.advance(step_ms)
        self.plane.shakes = shakes
        for _ in range(sweeps):
            self.acme.sweep()

    @rule(away=st.booleans())
    def sweep(self, *, away: bool) -> None:
        self.acme.sweep(outage_after_ms=30_000 if away else 10**15)

    # --- what holds ---------------------------------------------------------------------------------

    def dispatches(self) -> list[DispatchRow]:
        return self.plane.read(lambda reader: list(reader.dispatches(self.acme.tenant_id)))

    def is_holder(self, reader: Reader, one: Program) -> bool:
        standing = standing_of(reader, self.acme.tenant_id, one.agent.instance_id)
        return ended(reader, standing, self.now_ms) is None

    def is_held(self, reader: Reader, order: OrderRow) -> bool:
        dispatch = reader.dispatch(self.acme.tenant_id, order.dispatch_id)
        assert dispatch is not None
        return reader.hold(self.acme.tenant_id, order.agent) is not None or dispatch.state != "open"

    @invariant()
    def there_is_one_holder_at_most(self) -> None:
        with self.plane.store.read() as reader:
            for dispatch in reader.dispatches(self.acme.tenant_id):
                inside = [one for one in self.programs if one.agent.lease.agent == dispatch.agent]
                holders = [
                    one for one in inside
                    if one.agent.grant.instance.dispatch_id == dispatch.dispatch_id
                    and self.is_holder(reader, one)
                ]  # fmt: skip
                assert len(holders) <= 1

    @invariant()
    def starts_are_one_at_a_time_and_wait_for_the_old(self) -> None:
        with self.plane.store.read() as reader:
            orders = [one for one in reader.orders(self.acme.tenant_id) if one.kind == "start"]
            assert len({one.dispatch_id for one in orders}) == len(orders)
            for order in orders:
                assert not self.is_held(reader, order)
                for one in self.programs:
                    if one.agent.grant.instance.dispatch_id == order.dispatch_id:
                        assert not one.may_act(reader, order.due_ms)

    @invariant()
    def whatever_can_change_has_its_timer(self) -> None:
        with self.plane.store.read() as reader:
            tenant_id = self.acme.tenant_id
            timers = {(row.kind, row.key): row.due_ms for row in reader.timers_due(tenant_id, 2**62, 10_000)}
            orders = {one.order_id for one in reader.orders(tenant_id) if one.kind == "start"}
            assert {key for kind, key in timers if kind == "order"} == orders
            for row in reader.instances(tenant_id, live=True):
                lease = reader.lease(tenant_id, row.lease_id)
                assert lease is not None
                organism = organism_of(row, lease, reader.dispatch(tenant_id, row.dispatch_id))
                due = due_ms(organism, now_of(reader, tenant_id, row.agent, self.now_ms))
                if due is not None:
                    assert timers["organism", row.instance_id] <= max(due, self.now_ms)
                elif row.state is S.AUTOHEALING:
                    assert any(
                        one.dispatch_id == row.dispatch_id and one.kind == "start"
                        for one in reader.orders(tenant_id)
                    )

    @rule()
    def mtboi_is_what_the_receipts_say(self) -> None:
        for name in AGENTS:
            found = self.plane.read(
                lambda reader, name=name: compute_mtboi(reader, self.acme.tenant_id, name, self.now_ms)
            )
            assert found == mtboi_of_receipts(self.acme, name)

    # --- in the end ---------------------------------------------------------------------------------

    def behave(self) -> None:
        """One round of a world in which everybody does what is expected of them."""
        self.plane.clock.advance(5_000)
        for name in AGENTS:
            with suppress(ConflictError):
                self.acme.intervene_agent(name, "release")
        self.acme.sweep()
        for which in range(len(NODES)):
            self.report(which, loses=False, shakes=0)
            while self.nodes[NODES[which]].inbox:
                self.carry_out(which, 0, "launch", 0)
        for one in self.programs:
            if one.alive:
                self.acme.renew(one.agent)
                self.beat(one, progress=True)

    def is_busy(self) -> bool:
        return any(one.ended_ms is None for one in self.dispatches())

    def is_well(self) -> bool:
        rows = self.plane.read(lambda reader: list(reader.instances(self.acme.tenant_id)))
        well = {row.dispatch_id for row in rows if row.state is S.RUNNING}
        return all(one.ended_ms is not None or one.dispatch_id in well for one in self.dispatches())

    def teardown(self) -> None:
        try:
            if not self.programs:
                return
            for node in self.nodes.values():
                node.forget()
            for one in self.programs:
                # What is left of a node that died does not live; what lives is known to its node.
                one.alive = False
            for _ in range(ROUNDS):
                self.behave()
                self.there_is_one_holder_at_most()
                self.starts_are_one_at_a_time_and_wait_for_the_old()
                if self.is_well():
                    break
            assert self.is_well()
            self.whatever_can_change_has_its_timer()
            self.mtboi_is_what_the_receipts_say()
            assert_kept(self.acme, self.told)
            assert_sound(self.plane, self.acme)
        finally:
            self.plane.store.close()
            self.folder.cleanup()


TestHealingMachine = HealingMachine.TestCase
TestHealingMachine.settings = settings(
    max_examples=max(1, settings().max_examples // 8),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


# Seeds of histories with many epochs.
@pytest.mark.parametrize("seed", [4, 7, 10, 24])
def test_a_long_history_keeps_the_promises(seed: int) -> None:
    """What a machine that is drawn rule by rule seldom comes to: many epochs, one trouble after another."""
    chance = random.Random(seed)
    machine = HealingMachine()
    machine.begin(chance.randrange(1, 4), chance.choice([1, 30]))
    for _ in range(TURNS):
        if not machine.is_busy():
            machine.order(chance.randrange(2), chance.randrange(2))
        machine.turn(
            mischief=chance.choice(MISCHIEF), number=chance.randrange(30), step_ms=chance.choice(STEPS),
            how=chance.choice(HOWS), shakes=chance.choice([0, 0, chance.randrange(64)]),
            lost=chance.choice([0, 0, 0, 1, 2]),
        )  # fmt: skip
        machine.there_is_one_holder_at_most()
        machine.starts_are_one_at_a_time_and_wait_for_the_old()
        machine.whatever_can_change_has_its_timer()
    epochs = max(one.agent.lease.epoch for one in machine.programs)
    machine.teardown()
    assert epochs >= 3
