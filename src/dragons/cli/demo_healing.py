"""The demo's second half: work that goes on by itself until it can't, and then waits for a person.

Two small programs are dispatched. One stalls once and is replaced; the other crashes until what it needs is
there, is isolated, and is released by the operator. Thresholds are seconds here and minutes in life.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dragons.cli.exits import Exit
from dragons.cli.stage import Stage
from dragons.cli.telephone import Telephone

if TYPE_CHECKING:
    from dragons.wire.fleet import FleetMember

# How the server is started for it: a second is long when a stall is four.
PACE = {"DRAGONS_HEARTBEAT_SECONDS": "1", "DRAGONS_SWEEP_SECONDS": "1"}
RESTARTS_MAX = 2
_POLICY = (
    "--degrade-after", "4s", "--autoheal-after", "15s", "--restarts-max", str(RESTARTS_MAX),
    "--restart-window", "10m", "--backoff-first", "1s",
)  # fmt: skip
_CALL_SECONDS_MAX = 30

_EXPORTER = '''\
"""Exports a page at a time. On page 4 the other side once never answers."""

import time
from pathlib import Path

folder = Path(__file__).parent
done, hung = folder / "pages-done", folder / "hung"
first = int(done.read_text()) + 1 if done.exists() else 1
for page in range(first, 1_000):
    if page == 4 and not hung.exists():
        hung.touch()
        time.sleep(86_400)
    done.write_text(str(page))
    print(f"page {page} is exported", flush=True)
    time.sleep(0.5)
'''
_IMPORTER = '''\
"""Imports the orders that another program was to leave beside it."""

from pathlib import Path

for order in Path(__file__).with_name("orders.csv").read_text().splitlines():
    print(f"imported {order}")
'''


class Healing:
    """The steps, in order; each leaves what the next one needs."""

    def __init__(self, stage: Stage, work: Path, out: Path, fingerprint: Callable[[], str]) -> None:
        self.stage = stage
        self.exporter = work / "exporter.py"
        self.importer = work / "importer.py"
        self.pack = out / "incident.zip"
        self.fingerprint = fingerprint
        self.telephone: Telephone | None = None
        self.dispatch_id = ""
        self.stalled_id = ""
        self.incident_id = ""

    def steps(self) -> list[Callable[[], None]]:
        """What happens, in order."""
        return [
            self.start,
            self.dispatch,
            self.degrade,
            self.crash,
            self.heal,
            self.refuse,
            self.release,
            self.tell,
            self.verify,
        ]

    def close(self) -> None:
        """Leave nothing running."""
        telephone, self.telephone = self.telephone, None
        if telephone is not None:
            telephone.close()

    def start(self) -> None:
        stage = self.stage
        stage.title("The control plane starts again, on the same ledger; a policy with seconds for minutes")
        self.telephone = Telephone()
        self.telephone.connect(stage.home / "control")
        stage.start(PACE)
        stage.dragons("policies", "set", "*", *_POLICY)
        stage.say(f"  Who is told of a quarantine: a webhook of this demo, {self.telephone.url}")

    def dispatch(self) -> None:
        self.stage.title("A program is dispatched: the node runs it. On page 4 its other side never answers")
        self.exporter.write_text(_EXPORTER, encoding="utf-8")
        self._order(self.exporter, "export the month")

    def degrade(self) -> None:
        stage = self.stage
        stage.title("It stalls: its heart beats, but nothing new came of it for 4 s")
        stage.until(lambda: self._state("exporter") == "degraded", "the stalled program was not degraded")
        member = self._members("exporter")[0]
        self.stalled_id = member.instance_id
        shown = stage.dragons("fleet")
        stage.expect("degraded" in shown.stdout, "the fleet does not show that it is degraded")
        stage.expect("no verified progress" in shown.stdout, "the fleet does not show why")
        stage.expect(member.lease_status == "valid", "its lease is not what is wrong")

    def crash(self) -> None:
        stage = self.stage
        stage.title("Meanwhile another one is dispatched, which crashes at every start: its input is missing")
        self.importer.write_text(_IMPORTER, encoding="utf-8")
        self.dispatch_id = self._order(self.importer, "import the orders")

    def heal(self) -> None:
        stage = self.stage
        stage.title("The first goes on in a new instance; the second was restarted twice, then isolated")
        stage.until(self._is_replaced, "the stalled program was not started again")
        stage.until(lambda: self._state("importer") == "quarantined", "what crashes was not quarantined")
        shown = stage.dragons("fleet")
        healed = self._members("exporter")[0]
        stage.expect((healed.epoch, healed.restarts) == (2, 1), "the new instance is not the second")
        for word in ("running", "quarantined", f"{RESTARTS_MAX} restarts within 10 min"):
            stage.expect(word in shown.stdout, f"the fleet does not show {word!r}")
        call = self.telephone.wait(_CALL_SECONDS_MAX) if self.telephone else {}
        stage.expect(call.get("type") == "dragons.quarantined", "nobody was told")
        stage.say(f"  The webhook was called, signed: {call['data']['subject']}")
        stage.expect(call["data"]["dispatch_id"] == self.dispatch_id, "it was told of something else")

    def refuse(self) -> None:
        stage = self.stage
        stage.title("What is quarantined stays so: starting it by hand is refused, and that is on the record")
        words = (
            "run",
            "--agent",
            "importer",
            "--dispatch",
            self.dispatch_id,
            "--",
            "python",
            str(self.importer),
        )
        refused = stage.dragons(*words, expected=Exit.NO)
        stage.expect("[organism_quarantined]" in refused.stderr, "it was refused for another reason")

    def release(self) -> None:
        stage = self.stage
        stage.title("A person finds the cause, mends it, and releases the agent: a signed intervention")
        stage.dragons("dispatch", "logs", self.dispatch_id, shows=lambda line: not line.startswith("  "))
        orders = self.importer.with_name("orders.csv")
        orders.write_text("A-1,3.50\nA-2,1.95\n", encoding="utf-8")
        stage.say("  The orders are put there.")
        stage.dragons("agents", "release", "importer", "--reason", "the orders are there now")
        client = stage.client()
        stage.until(
            lambda: client.dispatch(self.dispatch_id).view.state == "completed",
            "the dispatch did not go on to its end",
        )
        shown = stage.dragons("dispatch", "show", self.dispatch_id)
        stage.expect("completed: exit status 0" in shown.stdout, "it is not shown as completed")

    def tell(self) -> None:
        stage = self.stage
        stage.title("Every incident is told from the ledger, receipt by receipt")
        listed = stage.dragons("incidents", "list")
        for word in ("healed by epoch 2", "released_by_operator"):
            stage.expect(word in listed.stdout, f"no incident ended with {word!r}")
        found = stage.client().incidents("importer").incidents
        self.incident_id = next(one.incident_id for one in found if one.state == "quarantined")
        self.pack.unlink(missing_ok=True)
        # Facts are indented deeper than what happened.
        told = stage.dragons(
            "incidents", "show", self.incident_id, "--pack", str(self.pack),
            shows=lambda line: not line.startswith(" " * 20),
        )  # fmt: skip
        for word in ("autohealing → quarantined", "an operator's release", "the dispatch is completed"):
            stage.expect(word in told.stdout, f"the incident does not tell of {word!r}")

    def verify(self) -> None:
        stage = self.stage
        stage.title("And the proof of it verifies offline, like any other")
        stage.stop()
        self.close()
        stage.say("  (The control plane, its node and what the node ran are stopped.)")
        stage.dragons("verify", str(self.pack), "--root", self.fingerprint())

    def _order(self, program: Path, goal: str) -> str:
        """Dispatch `program` as an agent of its name; the dispatch's id."""
        words = ("dispatch", "create", "--agent", program.stem, "--goal", goal, "--", "python", str(program))
        self.stage.dragons(*words)
        return self.stage.client().dispatches(program.stem).dispatches[0].dispatch_id

    def _members(self, agent: str) -> list[FleetMember]:
        return self.stage.client().fleet(agent).members

    def _state(self, agent: str) -> str:
        return next((one.state for one in self._members(agent)), "")

    def _is_replaced(self) -> bool:
        found = self._members("exporter")
        return bool(found) and found[0].instance_id != self.stalled_id and found[0].state == "running"
