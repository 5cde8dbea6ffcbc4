"""One running instance: its key, its authority, its place in the local store, and what it says.

Everything that needs the control plane is a generator of calls (`dragons.sdk.steps`), so threads and
event loops share it. Never lets work begin on a view that it did not verify.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from dragons.authority.lease import TTL_SECONDS_DEFAULT
from dragons.core.clock import Clock, parse_time
from dragons.core.errors import ConflictError, DragonsError, ForbiddenError
from dragons.core.ids import new_jitter, uuid7_hex
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.vocabulary import Reason
from dragons.identity.manifest import Manifest
from dragons.liveness.heartbeat import Progress, Waiting
from dragons.sdk import calls
from dragons.sdk.authority import Authority, Span, read_now, span_since
from dragons.sdk.errors import with_fix
from dragons.sdk.localstore import Holder, LocalStore, new_owner
from dragons.sdk.outbox import Drained, drain_steps
from dragons.sdk.statements import Child, Ending, Stating
from dragons.sdk.steps import Steps
from dragons.sdk.transport import Possession
from dragons.sdk.waiting import Waits
from dragons.wire.authority import Delegate, Granted

RECEIPTS = "receipts"
# A lease that lapsed may be renewed late, within the policy's grace; nobody waits longer than this for it.
RENEWAL_MS_MAX = 24 * 3600 * 1000


class Place(NamedTuple):
    """Where an instance works: which control plane, which local store, by which clock."""

    url: str
    store: LocalStore
    clock: Clock


class Instance:
    """An instance as its own process knows it.

    `keeps` is True where this process holds the lease: it renews, sends heartbeats and gives the
    lease back. A process that was attached to another's instance only works under it.
    """

    def __init__(self, instance_id: str, signer: LocalSigner, place: Place, *, keeps: bool) -> None:
        self.instance_id = instance_id
        self.signer = signer
        self.place = place
        self.keeps = keeps
        self.credential = Possession("", signer)
        self.authority = Authority(instance_id, signer.public_key, place.clock)
        self.interval_seconds = 1
        self.observe: Callable[[], Progress | None] = self.observe_receipts
        self.last_beat_boot_ms = -1
        self.states: list[str] = []
        self.granted: Granted | None = None
        self.span: Span | None = None
        self.renewing = keeps
        # How the program ended that this instance was, where somebody watched it to its end.
        self.ending: Ending | None = None
        self.waits = Waits()
        self.declared: Callable[[int], Waiting | None] = self._own_waiting
        # Takes over what the launcher renewed, where there is a launcher.
        self.follow: Callable[[], None] = lambda: None
        # Where the instance before this one had got to, as its launcher handed it on.
        self.handover: dict[str, Any] | None = None
        self._beats = 0
        self._owner = new_owner()
        self._jitter = new_jitter()

    @property
    def stating(self) -> Stating:
        """Who states, under the newest lease."""
        return Stating(self.authority.lease, self.signer)

    def accept(self, granted: Granted, span: Span) -> None:
        """Go on under a verified lease: the first, or a renewal."""
        self.authority.take_grant(granted, span)
        self.granted, self.span = granted, span
        self.credential.token = granted.token
        self.interval_seconds = max(1, granted.interval_seconds)
        self._jitter = new_jitter()
        if self.keeps:
            expires_ms = parse_time(self.authority.lease.expires_at)
            holder = Holder(
                self.instance_id, self.place.url, self.signer.seed(), granted.token, expires_ms, ended=False
            )
            self.place.store.hold(holder)

    def renew_due_ms(self) -> int:
        """When to renew, on CLOCK_BOOTTIME: at half of the lease's life ±10 %."""
        return self.authority.renew_due_ms(self._jitter)

    def refresh_steps(self) -> Steps[None]:
        """Fetch the revocations until the view is whole."""
        whole = False
        while not whole:
            sent = read_now(self.place.clock)
            try:
                view = yield calls.revocations(self.authority.known_revocations)
            except DragonsError as error:
                self.authority.take_refusal("view", error)
                raise
            whole = self.authority.take_view(view, span_since(sent, self.place.clock))

    def renew_steps(self) -> Steps[Granted]:
        """Extend the lease; its life is counted from when the request was sent."""
        sent = read_now(self.place.clock)
        try:
            granted: Granted = yield calls.renew()
        except DragonsError as error:
            self.authority.take_refusal("renewal", error)
            raise
        self.accept(granted, span_since(sent, self.place.clock))
        return granted

    def ends_renewal(self, error: DragonsError) -> bool:
        """True when this failed renewal was the last: the answer is final, or the lease is over for a day."""
        final = isinstance(error, ForbiddenError) and error.code in set(Reason)
        if final or self.authority.lapsed_ms() >= RENEWAL_MS_MAX:
            self.renewing = False
        return not self.renewing

    def beat_steps(self) -> Steps[None]:
        """Send one heartbeat and learn what the control plane makes of it."""
        self._beats += 1
        at_ms = self.authority.plane_ms()
        beat = self.stating.heartbeat(self._beats, at_ms, self.observe(), self.declared(at_ms))
        answer = yield calls.beat([beat])
        if answer.accepted:
            self.last_beat_boot_ms = self.place.clock.boot_ms()
        self._learn(answer.state, answer.epoch)
        self.authority.take_answer(answer.refused.get("0", ""))

    def watch_steps(self) -> Steps[None]:
        """Learn the organism state, which may change without this instance's doing."""
        view = yield calls.instance(self.instance_id)
        self._learn(view.state, view.epoch)

    def drain_steps(self, *, alone: bool = False) -> Steps[Drained]:
        """Send what waits in the local store."""
        place = self.place
        return (yield from drain_steps(place.store, self.instance_id, self._owner, place.clock, alone=alone))

    def send_steps(self) -> Steps[None]:
        """As `drain_steps`; raises what stopped it."""
        drained = yield from self.drain_steps()
        if drained.error is not None:
            raise drained.error

    def end_steps(self) -> Steps[Drained]:
        """Send the rest; then give the lease back and destroy the stored key, unless something waits."""
        drained = yield from self.drain_steps(alone=self.keeps)
        if self.keeps and not drained.waiting:
            release = self.stating.release(self.authority.plane_ms(), self.ending)
            try:
                yield calls.record("/v1/leases/releases", release)
            except DragonsError as error:
                drained = drained._replace(error=drained.error or _unless_over(error))
        if self.keeps:
            self.place.store.end_holder(self.instance_id)
        return drained

    def delegate_steps(
        self, manifest: Manifest, scope: Sequence[str], ttl_seconds: int = TTL_SECONDS_DEFAULT
    ) -> Steps[Instance]:
        """A child instance with a key of its own, under a part of this lease."""
        signer = LocalSigner.generate(KeyRole.INSTANCE)
        child = Child(manifest.agent, uuid7_hex(self.authority.plane_ms()), signer.public_key)
        sent = read_now(self.place.clock)
        granted = yield from self.grant_steps(child, manifest, scope, ttl_seconds)
        made = Instance(child.instance_id, signer, self.place, keeps=True)
        made.accept(granted, span_since(sent, self.place.clock))
        return made

    def grant_steps(
        self, child: Child, manifest: Manifest, scope: Sequence[str], ttl_seconds: int = TTL_SECONDS_DEFAULT
    ) -> Steps[Granted]:
        """A part of this lease for a child that made its key elsewhere; only the public half is known here."""
        delegation = self.stating.delegation(child, list(scope), self.authority.plane_ms(), ttl_seconds)
        try:
            granted: Granted = yield calls.delegate(Delegate(delegation=delegation, manifest=manifest))
        except ForbiddenError as error:
            raise with_fix(error) from error
        return granted

    def _learn(self, state: str, epoch: int) -> None:
        self.authority.take_state(state, epoch)
        if state and [state] != self.states[-1:]:
            self.states.append(state)

    def _own_waiting(self, at_ms: int) -> Waiting | None:
        return self.waits.now(at_ms)

    def observe_receipts(self) -> Progress | None:
        """Progress by the receipts of work on the record that this instance had not done lately."""
        known = self.place.store.progress(self.instance_id)
        if not known.receipts:
            return None
        return Progress(sequence=known.receipts, digest=known.chain_root, source=RECEIPTS)


def _unless_over(error: DragonsError) -> DragonsError | None:
    """None when the lease had ended anyway, so that there was nothing to give back."""
    return None if isinstance(error, ForbiddenError | ConflictError) else error
