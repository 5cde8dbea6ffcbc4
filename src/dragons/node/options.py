"""What `dragons run` is asked to do, and what it has to show for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dragons.audit.verdicts import Report
from dragons.authority.lease import TTL_SECONDS_DEFAULT
from dragons.core.vocabulary import Outcome

# Why a program was stopped when somebody asked for it.
STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """One run. `agent_dir` is a folder with agent.yaml; without it the program itself is the agent.

    `auto_register` lets an agent that was never seen be registered by the operator's key at hand,
    `register` also a changed one. `capabilities` are what a single program declares. `supervised` says
    that nobody sits at this run: no terminal and no input. `epoch` is what an order named, 0 for the
    next one; `handover` tells the program where the instance before it had got to. `watch` are files
    and folders whose changes count as progress. `folder` is where a program runs that has no folder of
    its own, and `environment` what it is given instead of ours; absent, both are the launcher's.
    """

    goal: str
    agent: str = ""
    command: tuple[str, ...] = ()
    agent_dir: Path | None = None
    capabilities: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()
    delegate_scope: tuple[str, ...] = ()
    ttl_seconds: int = TTL_SECONDS_DEFAULT
    dispatch_id: str = ""
    epoch: int = 0
    handover: Mapping[str, Any] | None = None
    supervised: bool = False
    watch: tuple[Path, ...] = ()
    folder: Path | None = None
    environment: Mapping[str, str] | None = None
    auto_register: bool = True
    register: bool = False
    replay: bool = True


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended, and what it wrote, as digests.

    `exit_status` is as a shell says it: 128 and the number of the signal that ended it, if one did.
    """

    exit_status: int
    signal: str
    duration_ms: int
    stdout_sha256: str
    stdout_bytes: int
    stderr_sha256: str
    stderr_bytes: int
    stopped_because: str = ""

    @property
    def outcome(self) -> Outcome:
        """Completed only when the program itself says so."""
        good = self.exit_status == 0 and not self.signal and not self.stopped_because
        return Outcome.COMPLETED if good else Outcome.FAILED

    def describe(self) -> str:
        """`exit status 3`, `killed by SIGSEGV`, and why it was stopped if it was."""
        how = f"killed by {self.signal}" if self.signal else f"exit status {self.exit_status}"
        if not self.stopped_because:
            return how
        why = "on demand" if self.stopped_because == STOPPED else f"because of {self.stopped_because}"
        return f"stopped {why}: {how}"


@dataclass(frozen=True, slots=True)
class RunResult:
    """Everything that an activation receipt shows. What is not on the record is empty.

    `actions` counts completed and failed actions by capability, `denied` names reasons by capability,
    `replay` is pass, fail, or why no replay was made; `waiting` receipts could not be sent yet.
    `progress` are the sources that progress was seen by.
    """

    goal: str
    command: tuple[str, ...]
    ended: Ended
    agent: str
    version: str
    manifest_hash: str
    instance_id: str
    lease_id: str
    scope: tuple[str, ...]
    session_id: str
    receipt_id: str
    chain_root: str
    replay: str
    states: tuple[str, ...]
    heartbeat_age_ms: int
    waiting: int
    actions: dict[str, int] = field(default_factory=dict)
    denied: dict[str, str] = field(default_factory=dict)
    sessions: tuple[str, ...] = ()
    progress: tuple[str, ...] = ()
    reports: tuple[Report, ...] = ()

    @property
    def exit_code(self) -> int:
        """What the command ends with: the program's own code, never 0 when it was stopped."""
        code = self.ended.exit_status
        return code if code or not self.ended.stopped_because else 1

    @property
    def operations(self) -> int:
        """How many actions were carried out."""
        return sum(self.actions.values())
