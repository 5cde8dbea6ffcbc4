"""Work and its evidence from the command line: run, receipts, sessions, leases, ledger, packs, verify, replay."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dragons.audit.page import build_page
from dragons.wire import authority, evidence
from tests.functional.cli.conftest import PROGRAM, Program

AGENT = """\
import os
import sys
from dragons.sdk import ActionDenied, open_session

with open_session(goal=os.environ.get("GOAL", "greet everybody")) as session:
    for number in range(3):
        with session.action("read:payments", resource=f"row-{number}", arguments={"n": number}) as act:
            act.add_evidence("row", b"row %d" % number)
            act.set_result({"row": number})
    try:
        with session.action("send:email", resource="mailto:a@example.com", arguments={}):
            sys.exit("this must not run")
    except ActionDenied as denied:
        print(f"denied: {denied.reason}")
print("standard output is the program's own")
sys.exit(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
"""
CATALOGUE = """\
capabilities:
  read:payments: {description: Read payments}
  send:email: {description: Send an email}
"""


@dataclass
class Ran:
    """A run that ended, and what it left."""

    folder: Path
    receipt: dict[str, Any]
    done: subprocess.CompletedProcess[str]
    pin: str


@pytest.fixture(scope="module")
def ran(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """An agent `greeter`, registered, docked to read:payments, and run once."""
    folder = tmp_path_factory.mktemp("agents") / "greeter"
    folder.mkdir()
    (folder / "agent.yaml").write_text(
        "agent: greeter\nentrypoint: [python, main.py]\ncapabilities: [read:payments]\n"
    )
    (folder / "main.py").write_text(AGENT)
    catalogue = folder.parent / "catalogue.yaml"
    catalogue.write_text(CATALOGUE)
    program.json("capabilities", "publish", str(catalogue))
    program.json("manifests", "register", str(folder), "--activate")
    program.json(
        "docks", "create", "--agent", "greeter", "--scope", "read:payments", "--ttl", "5m", "--instances", "9"
    )
    file = folder.parent / "receipt.json"
    done = program.run(*run_words(folder, "--receipt", str(file)))
    pin = program.run("keys", "fingerprint").stdout.strip()
    return Ran(folder, json.loads(file.read_text()), done, pin)


def run_words(folder: Path, *options: str, arguments: tuple[str, ...] = ()) -> list[str]:
    return [
        "run", "--agent", "greeter", "--goal", "greet everybody", "--scope", "read:payments", "--ttl", "2m", *options,
        "--", sys.executable, str(folder / "main.py"), *arguments,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def pack(program: Program, ran: Ran, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packs") / "evidence.zip"
    value = program.json("packs", "export", "--session", ran.receipt["session_id"], "--out", str(out))
    assert value["path"] == str(out)
    assert value["withheld"] == 0
    assert value["payloads"] >= 5
    return out


def test_the_activation_receipt(ran: Ran) -> None:
    out, err = ran.done.stdout, ran.done.stderr
    assert out == "denied: capability_not_leased\nstandard output is the program's own\n"
    assert "Dragons · Activation Receipt" in err
    assert "replay          pass · third-party verifiable" in err
    assert "action          read:payments · 3 ops" in err
    assert "denied          send:email (capability_not_leased)" in err
    receipt = ran.receipt
    assert receipt["replay"] == "pass"
    assert receipt["operations"] == 3
    assert receipt["denied"] == {"send:email": "capability_not_leased"}
    assert receipt["agent"] == "greeter@v1"
    assert receipt["states"][-1] == "stopped"
    for name in ("receipt_id", "chain_root", "lease_id", "instance_id", "manifest_hash"):
        assert receipt[name] in err


def test_the_programs_exit_status_is_the_commands(program: Program, ran: Ran, tmp_path: Path) -> None:
    file = tmp_path / "receipt.json"
    done = program.run(*run_words(ran.folder, "--receipt", str(file), arguments=("9",)), expected=9)
    assert json.loads(file.read_text())["exit_status"] == 9
    assert "error:" not in done.stderr


def test_a_goal_of_the_programs_own_is_a_session_of_its_own(
    ran: Ran, program: Program, tmp_path: Path
) -> None:
    file = tmp_path / "receipt.json"
    own = Program(program.home, {"GOAL": "greet nobody"})
    done = own.run(*run_words(ran.folder, "--receipt", str(file)))
    receipt = json.loads(file.read_text())
    assert len(receipt["sessions"]) == 2
    assert receipt["replay"] == "pass"
    assert all(session_id in done.stderr for session_id in receipt["sessions"])


def test_a_changed_program_is_refused(program: Program, ran: Ran, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(ran.folder, copy)
    (copy / "main.py").write_text(AGENT + "# changed\n")
    file = tmp_path / "receipt.json"
    words = run_words(copy, "--receipt", str(file))
    done = program.run(*words, expected=7)
    assert not done.stdout
    assert "main.py" in done.stderr
    assert "[manifest_unrecorded]" in done.stderr
    assert not file.exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["run", "--agent", "greeter"], 2),
        (["run", "--goal", "x", "--agent", "greeter"], 2),
        (["run", "--goal", "x", "--agent", "greeter", "--", "no-such-program-anywhere"], 2),
        (["run", "--goal", "x", "--ttl", "never", "--", "true"], 2),
        (["run", "--goal", "x", "--dir", "nowhere"], 3),
    ],
)
def test_runs_that_never_start(program: Program, ran: Ran, words: list[str], code: int) -> None:
    done = program.run(*words, expected=code)
    assert "error: " in done.stderr
    assert "Activation Receipt" not in done.stderr


def test_a_scope_beyond_the_dock_is_denied(program: Program, ran: Ran) -> None:
    words = run_words(ran.folder)
    words[words.index("read:payments")] = "send:email"
    done = program.run(*words, expected=1)
    assert "capability_not" in done.stderr


def test_a_lease_longer_than_the_dock_allows_says_what_helps(program: Program, ran: Ran) -> None:
    words = run_words(ran.folder)
    words[words.index("2m")] = "1h"
    done = program.run(*words, expected=1)
    assert "[ttl_exceeded]" in done.stderr
    assert "--ttl" in done.stderr


def test_receipts(program: Program, ran: Ran) -> None:
    listed = msgspec.convert(
        program.json("receipts", "list", "--agent", "greeter", "--limit", "500"), evidence.Receipts
    )
    kinds = {view.kind for view in listed.receipts}
    assert {"lease.issued", "session.opened", "work", "session.closed"} <= kinds
    newest = program.json("receipts", "list", "--limit", "1")["receipts"]
    assert newest[0]["seq"] == program.json("ledger", "show")["size"] - 1
    oldest = program.json("receipts", "list", "--after", "-1", "--limit", "2")["receipts"]
    assert [view["kind"] for view in oldest] == ["tenant.created", "key.registered"]
    work = program.json("receipts", "list", "--kind", "work", "--session", ran.receipt["session_id"])[
        "receipts"
    ]
    detail = msgspec.convert(program.json("receipts", "show", work[0]["receipt_id"]), evidence.ReceiptDetail)
    assert detail.view.header["action"] in {"read:payments", "send:email"}
    shown = program.run("receipts", "show", ran.receipt["receipt_id"]).stdout
    assert ran.receipt["chain_root"] in shown
    assert program.error("receipts", "show", f"rcp_{2:032x}", expected=3)
    assert program.error("receipts", "list", "--kind", "gossip", expected=2)
    assert program.error("receipts", "list", "--limit", "501", expected=2)


def test_following_receipts(program: Program, ran: Ran) -> None:
    done = program.run("receipts", "follow", "--after", "-1", "--limit", "3", "-o", "json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["seq"] for event in events] == [0, 1, 2]
    lines = program.run("receipts", "follow", "--after", "0", "--limit", "2").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2"]


def test_sessions_and_leases(program: Program, ran: Ran) -> None:
    session_id = ran.receipt["session_id"]
    shown = program.json("sessions", "show", session_id)
    view = msgspec.convert(shown["session"], evidence.SessionView)
    assert (view.agent.partition("@")[0], view.outcome) == ("greeter", "completed")
    assert shown["receipts"][0]["kind"] == "session.opened"
    assert session_id in {
        one["session_id"] for one in program.json("sessions", "list", "--agent", "greeter")["sessions"]
    }
    assert session_id not in program.run("sessions", "list", "--open").stdout
    assert session_id in program.run("sessions", "show", session_id).stdout
    lease = msgspec.convert(program.json("leases", "show", ran.receipt["lease_id"]), authority.LeaseDetail)
    assert lease.view.scope == ["read:payments"]
    assert ran.receipt["lease_id"] in program.run("leases", "list", "--agent", "greeter").stdout
    assert program.error("sessions", "show", f"ses_{2:032x}", expected=3)


def test_the_ledger(program: Program, ran: Ran, tmp_path: Path) -> None:
    note = tmp_path / "kept.note"
    program.json("ledger", "checkpoint", "--out", str(note))
    assert note.read_text().startswith("dragons/tnt_")
    program.json("tokens", "list")
    program.run(*run_words(ran.folder))
    assert program.json("ledger", "consistency", str(note))["consistent"] is True
    assert "the past is as it was" in program.run("ledger", "consistency", str(note)).stdout
    note.write_text(note.read_text().replace("dragons/tnt_0", "dragons/tnt_1"))
    assert program.error("ledger", "consistency", str(note), expected=2)["code"] == "checkpoint_untrusted"
    assert program.error("ledger", "consistency", str(tmp_path / "none"), expected=3)
    found = program.json("ledger", "fsck")
    assert found["sound"] is True
    assert found["receipts"] > 10


def test_a_pack_verifies(program: Program, ran: Ran, pack: Path) -> None:
    report = program.json("verify", str(pack), "--root", ran.pin)
    assert report["valid"] is True
    assert {verdict["status"] for verdict in report["verdicts"].values()} == {"pass", "not_asked"}
    assert program.run("packs", "verify", str(pack), "--root", ran.pin).stdout.startswith("VALID")
    assert program.json("verify", str(pack), "--root", f"sha256:{ran.pin.upper()}")["valid"] is True
    assert program.run("verify", str(pack), "--root", "ab" * 32, expected=1).stdout.startswith("NOT VALID")
    asked = program.json("verify", str(pack), "--root", ran.pin, "--witnesses", "1", expected=1)
    assert asked["verdicts"]["witnesses"]["status"] == "fail"
    assert program.error("verify", str(pack), expected=2)["code"] == "root_missing"


def test_the_pack_brings_its_page(program: Program, ran: Ran, pack: Path, tmp_path: Path) -> None:
    redacted = tmp_path / "redacted.zip"
    program.json(
        "packs", "export", "--session", ran.receipt["session_id"], "--out", str(redacted), "--redacted"
    )
    for file in (pack, redacted):
        with zipfile.ZipFile(file) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        assert entries.pop("verify.html") == build_page(entries)
        assert ("payloads.jsonl" in entries) is (file is pack)


def test_a_pack_is_replayed(program: Program, ran: Ran, pack: Path) -> None:
    out = program.run("verify", str(pack), "--root", ran.pin, "--replay").stdout
    assert out.index("greet everybody") < out.index("row-0") < out.index("row-2") < out.index("VALID")
    assert "capability_not_leased" in out
    events = program.json("packs", "replay", str(pack), "--root", ran.pin)["events"]
    actions = [event for event in events if event["event"] == "action"]
    assert [one["resource"] for one in actions if one["action"] == "read:payments"] == [
        "row-0",
        "row-1",
        "row-2",
    ]
    assert (
        program.json("packs", "show", str(pack))["pack"]["selection"]["session_id"]
        == ran.receipt["session_id"]
    )


def test_selections(program: Program, ran: Ran, tmp_path: Path) -> None:
    for number, words in enumerate((["--agent", "greeter"], ["--ledger"], ["--since", "1h"])):
        out = tmp_path / f"{number}.zip"
        program.json("packs", "export", *words, "--out", str(out))
        assert program.json("verify", str(out), "--root", ran.pin)["valid"] is True, words
    redacted = tmp_path / "redacted.zip"
    program.json(
        "packs", "export", "--session", ran.receipt["session_id"], "--out", str(redacted), "--redacted"
    )
    assert program.json("verify", str(redacted), "--root", ran.pin)["valid"] is True
    strict = program.json("verify", str(redacted), "--root", ran.pin, "--require-payloads", expected=1)
    assert strict["verdicts"]["redaction"]["status"] == "fail"
    assert program.error("packs", "export", "--agent", "nobody", "--out", str(tmp_path / "x.zip"), expected=3)
    assert not (tmp_path / "x.zip").exists()


def test_erased_payloads_are_gone_and_the_rest_still_verifies(
    program: Program, ran: Ran, tmp_path: Path
) -> None:
    file = tmp_path / "receipt.json"
    program.run(*run_words(ran.folder, "--receipt", str(file)))
    session_id = json.loads(file.read_text())["session_id"]
    program.run("sessions", "erase", session_id, "--reason", "a person asked", stdin="n\n", expected=130)
    erased = program.json("sessions", "erase", session_id, "--reason", "a person asked", "--yes")
    assert erased["destroyed"] >= 5
    out = tmp_path / "erased.zip"
    assert program.json("packs", "export", "--session", session_id, "--out", str(out))["payloads"] == 0
    report = program.json("verify", str(out), "--root", ran.pin, "--require-payloads")
    assert report["verdicts"]["redaction"]["facts"]["erased"] == erased["destroyed"]
    assert program.error("sessions", "erase", f"ses_{2:032x}", "--reason", "x", "--yes", expected=3)


def test_an_altered_pack_fails_at_its_place(program: Program, ran: Ran, pack: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.zip"
    with zipfile.ZipFile(pack) as before, zipfile.ZipFile(cut, "w") as after:
        for name in before.namelist():
            data = before.read(name)
            if name == "receipts.jsonl":
                data = b"".join(line for line in data.splitlines(keepends=True)[:-1])
            after.writestr(name, data)
    report = program.json("verify", str(cut), "--root", ran.pin, expected=1)
    assert report["valid"] is False
    places = [v["first_offending"]["index"] for v in report["verdicts"].values() if "first_offending" in v]
    assert [place for place in places if place is not None]


def test_verification_needs_no_network(ran: Ran, pack: Path) -> None:
    # Any use of a socket ends the process with 99; worker processes inherit nothing, so one process judges.
    guard = (
        "import os, sys\n"
        "sys.addaudithook(lambda event, _: os._exit(99) if event.startswith('socket.') else None)\n"
        "from dragons.cli.main import run\n"
        f"sys.exit(run(['verify', {str(pack)!r}, '--root', {ran.pin!r}, '--workers', '1', '--replay']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", guard], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "VALID" in done.stdout


def test_the_guard_against_sockets_works() -> None:
    guard = (
        "import os, sys, socket\n"
        "sys.addaudithook(lambda event, _: os._exit(99) if event.startswith('socket.') else None)\n"
        "socket.socket()\n"
    )
    assert subprocess.run([sys.executable, "-c", guard], check=False).returncode == 99


def test_verification_works_where_there_is_no_network(ran: Ran, pack: Path) -> None:
    probe = subprocess.run(["unshare", "-rn", "true"], check=False, capture_output=True)
    if probe.returncode != 0:
        pytest.skip(f"no network namespaces here: {probe.stderr.decode().strip()}")
    words = ["unshare", "-rn", *PROGRAM, "verify", str(pack), "--root", ran.pin]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("VALID")


def test_verification_works_with_the_base_install_only(ran: Ran, pack: Path) -> None:
    # The servers' packages can't be imported in this process, as if they were not installed.
    blocked = [
        "fastapi",
        "sqlalchemy",
        "uvicorn",
        "pydantic_settings",
        "structlog",
        "uvloop",
        "httptools",
        "starlette",
        "httpx2",
    ]
    program = (
        "import sys\n"
        f"for name in {blocked!r}:\n    sys.modules[name] = None\n"
        "from dragons.cli.main import run\n"
        f"sys.exit(run(['verify', {str(pack)!r}, '--root', {ran.pin!r}]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
