"""A session without I/O of its own: its goal, its decisions, its claims. Threads and event loops share it.

An action begins only after an allow, and every action that began is committed to the local store
before its end is reported to the agent. Never records a denial less than once; equal denials within a
minute are counted together, the first of them at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any

from dragons.authority.decide import Allow, Deny
from dragons.core.capability import scope_of
from dragons.core.errors import ConflictError, DragonsError, ForbiddenError, InvalidInputError
from dragons.core.vocabulary import Outcome, Reason
from dragons.sdk import calls
from dragons.sdk.action import TEXT_LENGTH_MAX, Action, describe
from dragons.sdk.errors import ActionDenied, ControlPlaneUnreachable, SessionStateError
from dragons.sdk.forks import Belonging
from dragons.sdk.instance import Instance
from dragons.sdk.once import Step, StepMemory, denial_of, step_name
from dragons.sdk.statements import Cycle, Evidence, StepName
from dragons.sdk.steps import Steps
from dragons.sdk.waiting import UNTIL_MS_DEFAULT, waiting_of
from dragons.wire.authority import Authorize, Authorized

DENIALS_TOGETHER_MS = 60_000
DENIALS_KEPT_MAX = 1_000
# After a failed attempt to catch up, the next one waits: a denied action must not take seconds each time.
CATCH_UP_PAUSE_MS = 2_000
_SESSION_EXISTS = "session_exists"


@dataclass(slots=True)
class _Repeated:
    """Denials equal to one that is on the record, since `since_boot_ms`."""

    action: Action
    denied: Deny
    since_boot_ms: int
    first_ms: int = 0
    last_ms: int = 0
    count: int = 0


class SessionCore:
    """The state of one session of an instance."""

    def __init__(
        self,
        instance: Instance,
        goal: str,
        *,
        scope: Sequence[str] | None = None,
        parent_session_id: str = "",
        shared_session_id: str = "",
    ) -> None:
        if not 0 < len(goal) <= TEXT_LENGTH_MAX:
            raise InvalidInputError(
                "goal_malformed",
                f"A goal has 1 to {TEXT_LENGTH_MAX} characters.",
                fix="Say what the work is for.",
            )
        self.instance = instance
        self.goal = goal
        self.session_id = shared_session_id
        self.shared = bool(shared_session_id)
        self.operations: dict[str, int] = {}
        self.denied: dict[str, str] = {}
        self._scope = None if scope is None else scope_of(scope)
        self._parent_session_id = parent_session_id
        self._open = False
        self._belonging = Belonging()
        self._lock = Lock()
        self._repeated: dict[tuple[str, ...], _Repeated] = {}
        self.steps = StepMemory(instance.place.store)
        self._caught_up_boot_ms = -CATCH_UP_PAUSE_MS

    @property
    def scope(self) -> list[str]:
        """What the session may do: as asked for, else all of the lease."""
        return list(self.instance.authority.lease.scope) if self._scope is None else self._scope

    def open_steps(self) -> Steps[None]:
        """Commit to the goal; ActionDenied when the control plane refuses it."""
        yield from self.instance.refresh_steps()
        if not self.shared:
            instance = self.instance
            opening = instance.stating.session(
                self.goal,
                self.scope,
                instance.authority.plane_ms(),
                parent_session_id=self._parent_session_id,
            )
            instance.place.store.commit([opening.made.payload], [])
            try:
                opened = yield calls.open_session(opening.made.entry.statement)
            except DragonsError as error:
                if isinstance(error, ForbiddenError) and error.code in set(Reason):
                    why = error.message.removeprefix("Denied: ").rstrip(".")
                    raise ActionDenied(error.code, why, action="The session") from error
                if error.code != _SESSION_EXISTS:
                    raise
            else:
                instance.place.store.acknowledge(instance.instance_id, [(opening.made.entry, opened.receipt)])
            self.session_id = opening.session_id
        self._open = True

    def prepare(self, capability: str, resource: str, arguments: Mapping[str, Any] | None) -> Action:
        """An action that is well formed; nothing is decided yet."""
        self.check()
        return Action(capability, resource, arguments or {})

    def prepare_step(
        self,
        capability: str,
        name: StepName,
        resource: str,
        arguments: Mapping[str, Any] | None,
    ) -> Step:
        """A step that is well formed; nothing is decided yet."""
        self.check()
        return Step(capability, resource, arguments or {}, name)

    def prepare_resolution(
        self,
        name: StepName,
        happened: bool,  # noqa: FBT001 - named by everybody who calls it for an agent
        evidence: Mapping[str, Path | str | bytes],
        result: Mapping[str, Any] | None,
    ) -> Step:
        """What the agent says of a step in doubt; nothing is decided yet."""
        self.check()
        return self.steps.resolution(name, happened=happened, evidence=evidence, result=result)

    def receipt_of(self, claim_id: str) -> str:
        """The receipt of a claim of this instance; raises what kept it from having one."""
        place = self.instance.place
        found = place.store.receipt(claim_id)
        if found is not None:
            return found.receipt_id
        for refused in place.store.refused(self.instance.instance_id):
            if refused.entry.name == claim_id:
                raise ConflictError(refused.code, f"The control plane refused the claim: {refused.detail}.")
        raise ControlPlaneUnreachable(place.url, "the claim waits to be sent", maybe_recorded=True)

    def step_name(self, task: str, step: str, task_scope: str) -> StepName:
        """The name and key of a step in this instance's dispatch, or of its agent."""
        lease = self.instance.authority.lease
        return step_name(task, step, task_scope, dispatch_id=lease.dispatch_id, agent=lease.agent)

    def begin_steps(self, action: Action) -> Steps[None]:
        """Decide and begin; ActionDenied, on the record, when the action may not happen."""
        self.check()
        authority, decision_id = self.instance.authority, ""
        decided = authority.authorize(action.capability)
        if isinstance(decided, Deny) and decided.reason is Reason.LEASE_EXPIRED:
            # The launcher may have renewed it just now; when it is gone, the denial stands.
            with suppress(DragonsError):
                self.instance.follow()
            decided = authority.authorize(action.capability)
        if isinstance(decided, Deny) and decided.reason is Reason.AUTHORITY_STALE:
            decided = yield from self._catch_up(action.capability, decided)
        if not isinstance(decided, Deny) or decided.reason is Reason.ONLINE_CHECK_REQUIRED:
            if self._scope is not None and action.capability not in self._scope:
                decided = Deny(Reason.SCOPE_EXCEEDED, f"{action.capability} is not in the session's scope")
            elif isinstance(decided, Deny) or isinstance(action, Step):
                decided, decision_id = yield from self._ask(action)
        if isinstance(decided, Deny):
            self._note_denial(action, decided)
            raise denial_of(action, decided)
        action.begin(authority.plane_ms(), self.instance.place.clock.boot_ms(), decision_id)

    def begin_waiting(self, reason: str, until: datetime | None) -> int:
        """Declare that the agent waits, until an hour from now unless told otherwise."""
        self.check()
        if until is not None and until.tzinfo is None:
            raise InvalidInputError(
                "waiting_malformed", "The waiting's end has no time zone.", fix="Use datetime.now(UTC) + …"
            )
        now_ms = self.instance.authority.plane_ms()
        until_ms = now_ms + UNTIL_MS_DEFAULT if until is None else int(until.timestamp() * 1000)
        return self.instance.waits.begin(waiting_of(reason, until_ms, now_ms))

    def end_waiting(self, number: int) -> None:
        """The waiting is over. In a forked child nothing is over."""
        if self._belonging.here:
            self.instance.waits.end(number)

    def finish(self, action: Action, error: BaseException | None) -> str:
        """The action is over: commit what came of it, to be sent; returns the claim's id.

        In a forked child nothing is over.
        """
        if not self._belonging.here:
            return ""
        outcome, ending = action.ending(error)
        boot_ms = self.instance.place.clock.boot_ms()
        # Both times on one base, also when a renewal corrected the control plane's time in between.
        elapsed_ms = boot_ms - action.started_boot_ms
        step = action if isinstance(action, Step) else None
        claim_id = self._commit(
            Cycle(
                capability=action.capability,
                resource=action.resource,
                arguments=action.arguments,
                started_ms=action.started_ms,
                ended_ms=action.started_ms + elapsed_ms,
                elapsed_ms=elapsed_ms,
                outcome=outcome,
                ending=ending,
                evidence=action.evidence,
                decision_id=action.decision_id,
                reason="" if step is None else step.reason,
                name=None if step is None else step.name,
            )
        )
        if step is not None:
            self.steps.ended(step, failed=error is not None)
        with self._lock:
            self.operations[action.capability] = self.operations.get(action.capability, 0) + 1
        return claim_id

    def close(
        self,
        error: BaseException | None,
        *,
        outcome: Outcome | None = None,
        summary: Mapping[str, Any] | None = None,
        evidence: Sequence[Evidence] = (),
    ) -> None:
        """End the session: commit counted denials and the closing, to be sent."""
        if not self._open or not self._belonging.here:
            # The store failed before; the control plane will abandon the session, which is the truth.
            # Or a child leaves its parent's block: the session goes on.
            return
        self._open = False
        self.flush_denials(all_of_them=True)
        if self.shared:
            return
        instance = self.instance
        ended = _outcome_of(error) if outcome is None else outcome
        status: dict[str, Any] = {"status": ended.value}
        if error is not None and ended is Outcome.FAILED:
            status["error"] = describe(error)
        content: dict[str, Any] = {"goal": self.goal, "outcome": status}
        if summary is not None:
            content["summary"] = dict(summary)
        made = instance.stating.closing(
            self.session_id, content, ended, list(evidence), instance.authority.plane_ms()
        )
        instance.place.store.commit([made.payload], [made.entry])

    def flush_denials(self, *, all_of_them: bool = False) -> None:
        """Record counted denials whose minute is over."""
        now_ms = self.instance.place.clock.boot_ms()
        with self._lock:
            over = [
                key
                for key, one in self._repeated.items()
                if all_of_them or now_ms - one.since_boot_ms >= DENIALS_TOGETHER_MS
            ]
            ended = [self._repeated.pop(key) for key in over]
        for one in ended:
            if one.count:
                self._commit(_denial(one.action, one.denied, one.first_ms, one.last_ms, one.count))

    def _catch_up(self, capability: str, denied: Deny) -> Steps[Allow | Deny]:
        # A process that was stopped, or kept its own threads from running, is only a request behind.
        now_ms = self.instance.place.clock.boot_ms()
        if now_ms - self._caught_up_boot_ms < CATCH_UP_PAUSE_MS:
            return denied
        try:
            yield from self.instance.refresh_steps()
        except DragonsError:
            self._caught_up_boot_ms = self.instance.place.clock.boot_ms()
            return denied
        return self.instance.authority.authorize(capability)

    def _ask(self, action: Action) -> Steps[tuple[Allow | Deny, str]]:
        step = action if isinstance(action, Step) else None
        question = (
            Authorize(session_id=self.session_id, action=action.capability)
            if step is None
            else self.steps.question(self.session_id, step)
        )
        try:
            answer: Authorized = yield calls.authorize(question)
        except DragonsError as error:
            if step is not None and isinstance(error, ConflictError):
                raise
            if step is not None:
                self.steps.unanswered(question)
            known = isinstance(error, ForbiddenError) and error.code in set(Reason)
            reason = Reason(error.code) if known else Reason.AUTHORITY_STALE
            return Deny(reason, f"the control plane did not decide: {error.code}"), ""
        if step is not None:
            self.steps.take_answer(step, answer)
        if answer.allowed and answer.decision_id:
            lease = self.instance.authority.lease
            return Allow(lease.lease_id, 0), answer.decision_id
        reason = Reason(answer.reason) if answer.reason in set(Reason) else Reason.ONLINE_CHECK_REQUIRED
        return Deny(reason, answer.detail), ""

    def _note_denial(self, action: Action, denied: Deny) -> None:
        authority, boot_ms = self.instance.authority, self.instance.place.clock.boot_ms()
        now_ms = authority.plane_ms()
        self.flush_denials()
        with self._lock:
            self.denied.setdefault(action.capability, denied.reason.value)
            key: tuple[str, ...] = (action.capability, denied.reason.value, action.resource)
            if len(self._repeated) >= DENIALS_KEPT_MAX:
                # An agent could invent resources without end, each with a claim of its own.
                key = key[:2]
            known = self._repeated.get(key)
            if known is not None:
                known.first_ms = known.first_ms or now_ms
                known.last_ms = now_ms
                known.count += 1
                return
            self._repeated[key] = _Repeated(action, denied, boot_ms)
        self._commit(_denial(action, denied, now_ms, now_ms, 1))

    def _commit(self, cycle: Cycle) -> str:
        made = self.instance.stating.claim(self.session_id, self.goal, cycle)
        try:
            self.instance.place.store.commit([made.payload], [made.entry])
        except DragonsError:
            # What can't be recorded may not go on.
            self._open = False
            raise
        return made.entry.name

    def check(self) -> None:
        """SessionStateError unless the session may be used, here and now."""
        self._belonging.check()
        if not self._open:
            raise SessionStateError(
                "session_not_open", "The session is not open.", fix="Act inside `with open_session(...)`."
            )


def _denial(action: Action, denied: Deny, first_ms: int, last_ms: int, count: int) -> Cycle:
    return Cycle(
        capability=action.capability,
        resource=action.resource,
        arguments=action.arguments,
        started_ms=first_ms,
        ended_ms=last_ms,
        elapsed_ms=last_ms - first_ms,
        outcome=Outcome.DENIED,
        ending={"reason": denied.reason.value, "detail": denied.detail},
        reason=denied.reason.value,
        count=count,
    )


def _outcome_of(error: BaseException | None) -> Outcome:
    if error is None or (isinstance(error, SystemExit) and error.code in {None, 0}):
        return Outcome.COMPLETED
    return Outcome.FAILED
