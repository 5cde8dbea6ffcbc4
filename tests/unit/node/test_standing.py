from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dragons.core.clock import SystemClock
from dragons.core.errors import ConflictError, DragonsError, InvalidInputError
from dragons.liveness.dispatch import is_node_name
from dragons.node import standing
from dragons.sdk.home import Home, write_secret
from tests.unit.sdk.test_transport import Answer, Server, problem

TENANT = "tnt_1"
ISSUED = {
    "token": "dgt_new",
    "view": {
        "token_id": "tok_1", "role": "launcher", "label": "node n1", "key_id": "opk", "created_at": "t",
        "expires_at": "t", "status": "valid",
    },
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    write_secret(made.operator_folder(TENANT) / "token", b"dgt_people\n")
    return made


@pytest.fixture
def server():
    made = Server()
    yield made
    made.close()


def token(home: Home, server: Server) -> str:
    return standing.token_of(home, TENANT, "n1", server.url, SystemClock())


def test_the_machine_s_name_is_made_a_node_s(monkeypatch: pytest.MonkeyPatch) -> None:
    for host, name in (
        ("Web-1.Example", "web-1.example"),
        ("a b", "a-b"),
        ("_", "local"),
        ("x" * 80, "x" * 63),
    ):
        monkeypatch.setattr("socket.gethostname", lambda host=host: host)
        assert standing.usual_name() == name
        assert is_node_name(standing.usual_name())


def test_a_name_is_checked() -> None:
    assert standing.check_name("n1") == "n1"
    with pytest.raises(InvalidInputError) as caught:
        standing.check_name("N 1")
    assert caught.value.code == "node_name_malformed"


def test_a_name_is_held_by_one_process(home: Home) -> None:
    with standing.holding(home, TENANT, "n1"):
        with pytest.raises(ConflictError) as caught, standing.holding(home, TENANT, "n1"):
            pytest.fail("held twice")
        assert caught.value.code == "node_running"
        with standing.holding(home, TENANT, "n2"):
            pass
    with standing.holding(home, TENANT, "n1"):
        pass


def test_a_token_is_made_once_and_kept(home: Home, server: Server) -> None:
    server.script = [Answer(body=ISSUED)]
    assert token(home, server) == "dgt_new"
    assert server.seen[0][3]["authorization"] == "Bearer dgt_people"
    path = home.operator_folder(TENANT) / "nodes" / "n1.token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    server.script = [Answer(body={})]
    assert token(home, server) == "dgt_new"
    assert [seen[1] for seen in server.seen] == ["/v1/tokens", "/v1/ping"]


def test_a_token_that_ended_is_replaced(home: Home, server: Server) -> None:
    path = home.operator_folder(TENANT) / "nodes" / "n1.token"
    write_secret(path, b"dgt_old\n")
    server.script = [problem(401, "token_expired"), Answer(body=ISSUED)]
    assert token(home, server) == "dgt_new"
    assert path.read_bytes() == b"dgt_new\n"


def test_who_may_make_none_uses_its_own(home: Home, server: Server) -> None:
    server.script = [problem(403, "role_forbidden")]
    assert token(home, server) == "dgt_people"
    assert not (home.operator_folder(TENANT) / "nodes").exists()


def test_a_bound_process_knows_its_parent() -> None:
    program = (
        "import os, sys\nfrom dragons.node.standing import bind_to\nfrom dragons.core.errors import DragonsError\n"
        "try:\n    bind_to(int(sys.argv[1]))\nexcept DragonsError as error:\n    sys.exit(error.code)\n"
    )
    for parent, expected in ((os.getpid(), ""), (1, "parent_gone")):
        done = subprocess.run(
            [sys.executable, "-c", program, str(parent)], capture_output=True, text=True, check=False
        )
        assert done.stderr.strip() == expected


def test_binding_to_a_stranger_is_refused_here_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getppid", lambda: 4)

    class Libc:
        def __init__(self, *_: object, **__: object) -> None:
            self.prctl = lambda *_: 0

    monkeypatch.setattr("ctypes.CDLL", Libc)
    standing.bind_to(4)
    with pytest.raises(DragonsError):
        standing.bind_to(5)
