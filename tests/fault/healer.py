"""A control plane that replaces an instance, and is killed in the middle of it. Run by the tests beside it.

    healer.py FOLDER heal MOMENT COMMIT
    healer.py FOLDER sweep MILLISECONDS

FOLDER is a home of `tests.support.home` whose one instance of a dispatch has stalled. `heal` takes it out of
service and launches the next; it is killed at the COMMITth commit: before it is made (`lost`), when it is
made and nobody was told (`silent`), or when it was told (`told`). COMMIT 0 kills nothing. Each line of
output is a step that was answered, or `seq chain_root`.

`sweep` says `ready`, waits for a line, and sweeps at that time until nothing is due, one timer at a time.
Its line of output is how many timers it fired.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from sqlalchemy import event

from dragons.control import sweep as sweeping
from dragons.control.nodes import NodeReport, OrderResult, report_node
from dragons.control.ports import Appended
from dragons.control.rows import OrderRow
from dragons.core.clock import ManualClock
from tests.fault.appender import say
from tests.support.home import open_home
from tests.support.plane import Agent, Plane, Tenancy, make_manifest

MINUTE_MS = 60_000
# When the scenario begins, and by how much it has moved the clock at its end.
START_MS = 1_800_000_000_000
HEALED_MS = 61 * MINUTE_MS
STEPS = ("degraded", "healing", "stop taken", "killed", "start taken", "launched", "opened", "worked", "beat")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(plane: Plane, moment: str, commit: int) -> None:
    """Kill this process at the `commit`th commit from now on."""
    seen = 0

    def count(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == commit:
            die()

    if moment == "lost":
        event.listen(plane.store._writing, "commit", count)  # type: ignore[attr-defined]
    elif moment == "silent":
        plane.store._writer._on_group = count  # type: ignore[attr-defined]


def report(tenancy: Tenancy, *results: OrderResult) -> list[OrderRow]:
    """What the node `here` says; it holds nothing."""
    said = NodeReport("here", (), results=results)
    return tenancy.plane.write(lambda tx: report_node(tx, tenancy.issuer, tenancy.caller, said))


def heal(tenancy: Tenancy, clock: ManualClock, moment: str, commit: int) -> None:
    """Each step is one write, and said when it was answered."""
    answered = 0

    def done(step: str, receipt: Appended | None = None) -> None:
        nonlocal answered
        answered += 1
        if receipt is not None:
            say(f"{receipt.seq} {receipt.chain_root}")
        say(step)
        if moment == "told" and answered == commit:
            die()

    clock.advance(30 * MINUTE_MS)
    tenancy.sweep()
    done("degraded")
    clock.advance(30 * MINUTE_MS)
    tenancy.sweep()
    done("healing")
    (stop,) = report(tenancy)
    done("stop taken")
    report(tenancy, OrderResult(stop.order_id, "done", "killed"))
    done("killed")
    (start,) = report(tenancy)
    done("start taken")
    agent = tenancy.launch(make_manifest(), dispatch_id=start.dispatch_id, epoch=start.epoch, node="here")
    if not isinstance(agent, Agent):
        raise TypeError(agent)
    done("launched")
    opened = tenancy.open(agent)
    done("opened", opened if isinstance(opened, Appended) else None)
    worked = tenancy.work(agent)
    done("worked", getattr(worked, "appended", None))
    tenancy.beat(agent, 1)
    done("beat")


def sweep_all(tenancy: Tenancy) -> None:
    sweeping.TIMERS_MAX = 1
    say("ready")
    sys.stdin.readline()
    fired = 0
    while swept := tenancy.sweep().timers:
        fired += swept
    say(f"fired {fired}")


def main(folder: Path, what: str, *arguments: str) -> None:
    clock = ManualClock(START_MS)
    tenancy = open_home(folder, clock)
    if what == "sweep":
        clock.advance(int(arguments[0]))
        sweep_all(tenancy)
    else:
        kill_at(tenancy.plane, arguments[0], int(arguments[1]))
        heal(tenancy, clock, arguments[0], int(arguments[1]))
    tenancy.plane.store.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
