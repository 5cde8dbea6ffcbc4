"""Identity and authority from the command line: catalogue, manifest, activation, dock, lease, keys, tokens."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import msgspec
import pytest

from dragons.wire import authority, base, identity
from tests.functional.cli.conftest import Program

CATALOGUE = """\
capabilities:
  read:payments:
    description: Read payments
  write:ledger:
    description: Write the ledger
    risk: medium
  send:email:
    description: Send an email
"""


@pytest.fixture(scope="module")
def clerk(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An agent's folder, registered and active as clerk@v1, with a catalogue published."""
    folder = tmp_path_factory.mktemp("agents") / "clerk"
    folder.mkdir()
    (folder / "agent.yaml").write_text(
        "agent: clerk\nentrypoint: [python, main.py]\ncapabilities: [read:payments, write:ledger]\n"
    )
    (folder / "main.py").write_text("print('hello')\n")
    (folder.parent / "capabilities.yaml").write_text(CATALOGUE)
    program.json("capabilities", "publish", str(folder.parent / "capabilities.yaml"))
    program.json("manifests", "register", str(folder), "--activate")
    return folder


def test_the_catalogue(program: Program, clerk: Path) -> None:
    view = msgspec.convert(program.json("capabilities", "list"), authority.CatalogueView)
    assert set(view.capabilities) == {"read:payments", "write:ledger", "send:email"}
    assert view.version >= 1
    out = program.run("capabilities", "list").stdout
    assert [line.split()[0] for line in out.splitlines()] == ["CAPABILITY", *sorted(view.capabilities)]
    assert "medium" in program.run("capabilities", "show", "write:ledger").stdout
    assert program.error("capabilities", "show", "no:thing", expected=3)["code"] == "capability_missing"


def test_publishing_again_makes_the_next_version(program: Program, clerk: Path) -> None:
    before = program.json("capabilities", "list")["version"]
    recorded = program.json("capabilities", "publish", str(clerk.parent / "capabilities.yaml"))
    assert msgspec.convert(recorded, base.Recorded).receipt_id.startswith("rcp_")
    assert program.json("capabilities", "list")["version"] == before + 1


def test_a_manifest_is_registered_once(program: Program, clerk: Path) -> None:
    again = msgspec.convert(program.json("manifests", "register", str(clerk)), identity.Registered)
    assert (again.name, again.created) == ("clerk@v1", False)
    measured = program.json("manifests", "measure", str(clerk))
    assert measured["manifest_hash"] == again.manifest_hash
    for name in ("clerk", "clerk@v1", again.manifest_hash):
        detail = program.json("manifests", "show", name)
        assert detail["view"]["manifest_hash"] == again.manifest_hash
        assert detail["manifest"] == measured["manifest"]
    assert program.error("manifests", "show", "clerk@v99", expected=3)["code"] == "version_missing"
    assert program.error("manifests", "show", "nobody", expected=3)


def test_a_difference_is_named(program: Program, clerk: Path, tmp_path: Path) -> None:
    assert program.json("manifests", "diff", "clerk@v1", str(clerk))["equal"] is True
    copy = tmp_path / "copy"
    shutil.copytree(clerk, copy)
    (copy / "main.py").write_text("print('other')\n")
    (copy / "more.py").write_text("")
    found = program.json("manifests", "diff", "clerk@v1", str(copy), expected=1)
    assert (found["changed"], found["added"], found["removed"]) == (["main.py"], ["more.py"], [])
    assert "main.py" in program.run("manifests", "diff", "clerk@v1", str(copy), expected=1).stdout


def test_versions_go_forward_and_back(program: Program, clerk: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(clerk, copy)
    (copy / "agent.yaml").write_text(
        (copy / "agent.yaml").read_text().replace("agent: clerk", "agent: walker")
    )
    program.json("manifests", "register", str(copy), "--activate")
    assert program.error("agents", "rollback", "walker", expected=3)["code"] == "version_missing"
    (copy / "main.py").write_text("print('v2')\n")
    assert program.json("manifests", "register", str(copy))["name"] == "walker@v2"
    assert program.json("agents", "list")["agents"]
    program.json("agents", "activate", "walker@v2", "--reason", "faster")
    program.json("agents", "rollback", "walker", "--reason", "too fast")
    history = msgspec.convert(program.json("agents", "history", "walker"), identity.History)
    assert [(a.name, a.rollback) for a in history.activations] == [
        ("walker@v1", False),
        ("walker@v2", False),
        ("walker@v1", True),
    ]
    assert history.activations[2].reason == "too fast"
    assert "too fast" in program.run("agents", "history", "walker").stdout
    shown = program.json("agents", "show", "walker")
    assert {view["name"]: view["active"] for view in shown["versions"]} == {
        "walker@v1": True,
        "walker@v2": False,
    }
    assert "No instance is running." in program.run("agents", "show", "walker").stdout
    assert program.error("agents", "activate", "walker@v9", expected=3)
    assert program.error("agents", "activate", "walker", expected=2)["code"] == "version_malformed"
    assert program.error("agents", "show", "nobody", expected=3)
    assert program.error("agents", "stop", "walker", expected=1)["code"] == "nothing_to_stop"


def test_docks(program: Program, clerk: Path) -> None:
    made = program.json("docks", "create", "--agent", "clerk", "--scope", "write:ledger", "--scope", "read:payments", "--ttl", "10m", "--expires", "30d")  # fmt: skip
    view = msgspec.convert(program.json("docks", "show", made["dock_id"]), authority.DockView)
    assert (view.agent, view.scope, view.ttl_seconds_max) == ("clerk", ["read:payments", "write:ledger"], 600)
    assert view.not_after
    listed = program.json("docks", "list", "--agent", "clerk")["docks"]
    assert made["dock_id"] in {dock["dock_id"] for dock in listed}
    assert "read:payments · write:ledger" in program.run("docks", "list").stdout
    program.json("docks", "revoke", made["dock_id"], "--reason", "trial over")
    assert program.json("docks", "show", made["dock_id"])["status"] == "revoked"


@pytest.mark.parametrize(
    ("words", "exit_code"),
    [
        (["--agent", "clerk"], 2),
        (["--agent", "clerk", "--scope", "no:thing"], 2),
        (["--agent", "clerk", "--scope", "READ"], 2),
        (["--agent", "clerk", "--scope", "read:payments", "--ttl", "soon"], 2),
        (["--agent", "nobody", "--scope", "read:payments"], 3),
        (["--scope", "read:payments"], 2),
    ],
)
def test_docks_that_are_refused(program: Program, clerk: Path, words: list[str], exit_code: int) -> None:
    assert program.error("docks", "create", *words, expected=exit_code)


def test_unknown_docks_and_leases(program: Program, clerk: Path) -> None:
    unknown = f"{2:032x}"
    assert program.error("docks", "show", f"dck_{unknown}", expected=3)
    assert program.error("leases", "show", f"lse_{unknown}", expected=3)
    assert program.error("docks", "revoke", f"dck_{unknown}", "--reason", "x", expected=3)
    assert program.error("leases", "revoke", f"lse_{unknown}", "--reason", "x", expected=3)


def test_tokens(program: Program, tmp_path: Path) -> None:
    issued = msgspec.convert(
        program.json("tokens", "issue", "--role", "auditor", "--label", "audit", "--ttl", "1d"),
        identity.TokenIssued,
    )
    assert issued.token.startswith("dgt_")
    file = tmp_path / "auditor.token"
    kept = program.json("tokens", "issue", "--role", "auditor", "--label", "file", "--out", str(file))
    assert "token" not in kept
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    auditor = Program(program.home, {"DRAGONS_TOKEN_FILE": str(file)})
    assert auditor.json("agents", "list")
    assert auditor.error("tokens", "list", expected=4)
    listed = program.json("tokens", "list")["tokens"]
    assert {"audit", "file"} <= {token["label"] for token in listed}
    assert issued.token not in program.run("tokens", "list").stdout
    program.json("tokens", "revoke", kept["token_id"])
    assert auditor.error("agents", "list", expected=4)["code"] == "token_invalid"
    assert program.error("tokens", "revoke", f"tok_{2:032x}", expected=3)
    assert program.error("tokens", "issue", "--role", "king", "--label", "x", expected=2)


def test_an_exposed_token_is_refused(program: Program, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("dgt_x")
    file.chmod(0o644)
    exposed = Program(program.home, {"DRAGONS_TOKEN_FILE": str(file)})
    assert "chmod 600" in exposed.error("agents", "list", expected=4)["fix"]


def test_keys(program: Program, tmp_path: Path) -> None:
    keys = msgspec.convert(program.json("keys", "list"), identity.Keys).keys
    assert {key.role for key in keys} == {"operator", "issuer", "ledger"}
    first = next(key for key in keys if key.subject == "Ada Li")
    assert program.json("keys", "show", first.key_id)["roles"] == ["admin", "operator"]
    assert program.error("keys", "show", "opk_0", expected=3)
    out = tmp_path / "bob.pem"
    program.json("keys", "add-operator", "Bob", "--role", "operator", "--out", str(out))
    bob = next(key for key in program.json("keys", "list")["keys"] if key["subject"] == "Bob")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    program.json("keys", "revoke", bob["key_id"], "--reason", "left", "--compromised-since", "1h")
    assert program.json("keys", "show", bob["key_id"])["status"] == "revoked"
    assert program.error("keys", "revoke", bob["key_id"], "--reason", "left", expected=1)


def test_the_fingerprint_is_one_line(program: Program) -> None:
    line = program.run("keys", "fingerprint").stdout
    assert len(line.strip()) == 64
    root = next(program.home.glob("operator/*/root.pem"))
    assert program.run("keys", "fingerprint", "--root-key", str(root)).stdout == line
    assert program.json("keys", "fingerprint")["root_fingerprint"] == line.strip()


def test_key_changes_need_the_root_key(program: Program, tmp_path: Path) -> None:
    missing = str(tmp_path / "root.pem")
    found = program.error("keys", "rotate", "operator", "--root-key", missing, expected=3)
    assert found["code"] == "root_key_missing"
