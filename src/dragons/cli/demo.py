"""`dragons demo`: the whole product on this machine, with real commands and their real output.

Starts a control plane in a temporary home, governs the example agent, refuses a changed copy of it,
exports the evidence, verifies it offline and breaks it; then has programs fail, heals one, isolates the
other and proves that too. Ends with 0 only when every step came out
as it should. Never touches the user's own home.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from dragons.cli.command import START, command
from dragons.cli.context import Cli
from dragons.cli.exits import Exit
from dragons.cli.stage import Stage, Surprise
from dragons.cli.tampering import Tampered, change_one_character
from dragons.core.errors import NotFoundError

SCOPE = ("read:statement", "read:payments", "write:ledger", "write:report")
_ENTRIES = 1_250
_STEPS = 19
_CHANGED_FILE = "rules.py"


def register(app: typer.Typer) -> None:
    """Add `dragons demo`."""
    command(app, "demo", example="dragons demo --out dragons-demo", data=False, panel=START)(demo)


def demo(
    _cli: Cli,
    *,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the evidence pack stays.")] = Path(
        "dragons-demo"
    ),
    keep_home: Annotated[
        bool, typer.Option("--keep-home", help="Also keep the demo's home, in DIR/home.")
    ] = False,
) -> int:
    """Show the whole product on this machine: govern an agent, prove what it did, break the proof, heal work."""
    example = find_example()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dragons-demo-") as folder:
        home = (out / "home").absolute() if keep_home else Path(folder) / "home"
        if keep_home and home.exists():
            shutil.rmtree(home)
        stage = Stage(home, steps=_STEPS)
        story = Story(stage, example, Path(folder), out)
        # Here, because help needs no HTTP client.
        from dragons.cli.demo_healing import Healing

        healing = Healing(stage, Path(folder), out, lambda: story.fingerprint)
        try:
            for step in (*story.steps(), *healing.steps()):
                step()
        except Surprise as surprise:
            stage.say(f"\nThe demo did not come out as it should: {surprise}")
            return Exit.NO
        finally:
            stage.close()
            healing.close()
    story.where_next(home if keep_home else None)
    return Exit.OK


def find_example(start: Path = Path(__file__)) -> Path:
    """`examples/reconciler` of the checkout that this file, or the current folder, lies in."""
    for place in (*start.resolve().parents, Path.cwd(), *Path.cwd().parents):
        example = place / "examples" / "reconciler"
        if (example / "agent.yaml").is_file() and (place / "pyproject.toml").is_file():
            # Shown in commands: short where the demo is started in the checkout.
            return example.relative_to(Path.cwd()) if example.is_relative_to(Path.cwd()) else example
    raise NotFoundError(
        "example_missing",
        "The demo governs examples/reconciler, which only a checkout of the repository has.",
        fix="Clone the repository and run `make demo` in it.",
    )


class Story:
    """The steps of the demo's first half, in order; each leaves what the next one needs."""

    def __init__(self, stage: Stage, example: Path, work: Path, out: Path) -> None:
        self.stage = stage
        self.example = example
        self.work = work
        self.pack = out / "evidence.zip"
        self.broken = out / "evidence-altered.zip"
        self.fingerprint = ""
        self.session_id = ""

    def steps(self) -> list[Callable[[], None]]:
        """What happens, in order."""
        return [
            self.start,
            self.generate,
            self.publish,
            self.register,
            self.dock,
            self.work_under_lease,
            self.refuse_changed_copy,
            self.export,
            self.verify,
            self.alter,
        ]

    def start(self) -> None:
        stage = self.stage
        stage.title("A control plane starts in a home of its own")
        stage.start()
        self.fingerprint = stage.dragons("keys", "fingerprint").stdout.strip()
        stage.say(
            "  That is the root fingerprint: what an auditor pins, and the only thing an auditor must be told."
        )

    def generate(self) -> None:
        self.stage.title("An agent needs work: a month of bank statements and payments is invented")
        data = self.work / "data"
        self.stage.program(
            "python",
            "make_data.py",
            "--seed",
            "1",
            "--entries",
            str(_ENTRIES),
            "--out",
            str(data),
            cwd=self.example,
        )
        truth = json.loads((data / "truth.json").read_text(encoding="utf-8"))
        planted = sum(len(found) for kind, found in truth.items() if kind != "matches")
        self.stage.say(
            f"  {len(truth['matches'])} matches and {planted} planted discrepancies in {_ENTRIES} entries."
        )

    def publish(self) -> None:
        self.stage.title("The tenant says what each capability means")
        self.stage.dragons("capabilities", "publish", str(self.example / "capabilities.yaml"))

    def register(self) -> None:
        self.stage.title("The agent gets an identity: digests of its code, config and capabilities, signed")
        self.stage.dragons("manifests", "register", str(self.example), "--activate")

    def dock(self) -> None:
        self.stage.title("An operator docks it: up to this scope, and send:email is not in it")
        scope = [word for name in SCOPE for word in ("--scope", name)]
        self.stage.dragons("docks", "create", "--agent", "reconciler", *scope, "--ttl", "15m")

    def work_under_lease(self) -> None:
        stage = self.stage
        stage.title("It works under a lease; it also tries to send an email, which no lease allows")
        report = self.work / "run.json"
        done = stage.dragons(*self._run(self.example, "--receipt", str(report)))
        stage.expect("denied: send:email" in done.stdout, "the email was not denied")
        result = json.loads(report.read_text(encoding="utf-8"))
        self.session_id = result["session_id"]
        stage.expect(result["replay"] == "pass", f"the replay came out as {result['replay']!r}")
        stage.expect("send:email" in result["denied"], "the denial is not in the receipt")

    def refuse_changed_copy(self) -> None:
        stage = self.stage
        stage.title(f"One line of a copy of its code is changed ({_CHANGED_FILE}): that is another identity")
        copy = self.work / "changed"
        shutil.copytree(self.example, copy, ignore=shutil.ignore_patterns("__pycache__"))
        changed = copy / _CHANGED_FILE
        changed.write_text(changed.read_text(encoding="utf-8") + "# one harmless line\n", encoding="utf-8")
        refused = stage.dragons(*self._run(copy), expected=Exit.IDENTITY)
        stage.expect(_CHANGED_FILE in refused.stderr, f"the refusal does not name {_CHANGED_FILE}")
        stage.say("  Nothing ran, and the refusal names the file.")

    def export(self) -> None:
        self.stage.title("The evidence of the session becomes one file")
        self.pack.unlink(missing_ok=True)
        self.stage.dragons("packs", "export", "--session", self.session_id, "--out", str(self.pack))

    def verify(self) -> None:
        self.stage.title("A stranger verifies it offline, with nothing but the pinned fingerprint")
        self.stage.stop()
        self.stage.say("  (The control plane is stopped.)")
        self.stage.dragons("verify", str(self.pack), "--root", self.fingerprint)

    def alter(self) -> None:
        stage = self.stage
        stage.title("Somebody alters one character of one receipt, with a correct ZIP around it")
        done: Tampered = change_one_character(self.pack, self.broken)
        stage.say(f"  In receipt seq {done.seq}, {done.field}: {done.before} became {done.after}")
        failed = stage.dragons("verify", str(self.broken), "--root", self.fingerprint, expected=Exit.NO)
        stage.expect(f"index {done.index}" in failed.stdout, f"the verdict does not name index {done.index}")
        stage.say(f"  The break is located: index {done.index}. Everything before it still stands.")

    def where_next(self, home: Path | None) -> None:
        """Where to look now."""
        say = self.stage.say
        say("\nEvery step came out as it should. Where to look next:")
        say(f"  {self.pack}: unzip it and open verify.html in any browser; the page needs no network")
        say(f"  dragons verify {self.pack} --root {self.fingerprint} --replay")
        say(f"  dragons verify {self.broken} --root {self.fingerprint}")
        say(f"  dragons verify {self.broken.with_name('incident.zip')} --root {self.fingerprint} --replay")
        if home is not None:
            say(f"  dragons up --home {home}, then: dragons receipts list --home {home}")
        else:
            say(
                "  dragons up, then register an agent of your own; dragons receipts list shows what is recorded"
            )
        say("  docs/ and spec/: how it works, precisely enough to write another verifier")

    def _run(self, folder: Path, *more: str) -> list[str]:
        data = self.work / "data"
        scope = [word for name in SCOPE for word in ("--scope", name)]
        return [
            "run", "--agent", "reconciler", "--goal", "reconcile payments for statement.xml",
            *scope, "--ttl", "15m", *more, "--",
            "python", str(folder / "agent.py"), "--statement", str(data / "statement.xml"),
            "--payments", str(data / "payments.db"), "--out", str(self.work / "out"), "--also-notify",
        ]  # fmt: skip
