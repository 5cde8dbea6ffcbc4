from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from dragons.core.clock import SystemClock
from dragons.core.errors import ForbiddenError, InvalidInputError
from dragons.core.keys import PublicKey
from dragons.core.vocabulary import Outcome
from dragons.node.launcher import Launcher
from dragons.node.playbook import run as subject
from dragons.node.playbook.machine import Ending
from dragons.node.playbook.run import PlaybookOptions, PlaybookResult, run_playbook
from dragons.sdk.home import Home, write_secret
from dragons.wire.authority import Granted, Launch
from dragons.wire.evidence import Receipts
from tests.unit.node.playbook.conftest import PLAYBOOK, RUNNER, write_book
from tests.unit.sdk.kit import URL, Plane

CLOCK: Any = SystemClock()
MODEL = 'on_crash: {model: {provider: openai, url: "http://m.example", model: m, key_env: MODEL_KEY}}\n'


class Client:
    """Grants what is asked for, and shows an empty ledger."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.transport = self.exchange = self
        self.url = URL
        self.asked: list[Launch] = []
        self.error: ForbiddenError | None = None

    def launch(self, request: Launch, _: object) -> Granted:
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        key = PublicKey(request.instance_key)
        return self.plane.granted(self.plane.lease(request.instance_id, key, scope=sorted(request.scope)))

    def receipts(self, *_: object, **__: object) -> Receipts:
        return Receipts(receipts=[], next_after=-1)


@pytest.fixture
def client(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr(subject, "prepare_playbook", lambda *_, **__: None)
    monkeypatch.setattr(subject, "send_leftovers", lambda *_: None)
    return Client(plane)


@pytest.fixture
def launcher(client: Client, plane: Plane, tmp_path: Path) -> Launcher:
    config = {"url": URL, "tenant_id": plane.tenant_id, "root_fingerprint": "f"}
    write_secret(tmp_path / "home" / "config.json", msgspec.json.encode(config))
    given: Any = client
    return Launcher(Home(tmp_path / "home"), given, CLOCK, lambda _: None)


def test_a_run_from_its_launch_to_its_closing(
    launcher: Launcher, client: Client, plane: Plane, tmp_path: Path
) -> None:
    folder = write_book(tmp_path / "shop", service="print('done')")
    result = run_playbook(launcher, PlaybookOptions(folder, goal="sell"))
    assert (result.ending, result.exit_code, result.starts) == (Ending.COMPLETED, 0, 1)
    assert client.asked[0].scope == sorted(RUNNER)
    assert client.asked[0].delegate_scope == []
    assert [one.outcome for one in plane.closings] == [Outcome.COMPLETED]
    assert result.session_id == plane.sessions[0].session_id
    assert result.receipt_id
    assert (result.waiting, result.postmortem, result.report) == (0, "", None)


def test_a_run_that_gives_up_ends_with_the_service_s_status(
    launcher: Launcher, plane: Plane, tmp_path: Path
) -> None:
    result = run_playbook(launcher, PlaybookOptions(write_book(tmp_path / "shop")))
    assert (result.ending, result.exit_code, result.why) == (Ending.FAILED, 3, "1 restarts did not help")
    assert plane.closings[0].outcome is Outcome.FAILED
    assert Path(result.postmortem).is_file()


def test_a_refused_launch_says_what_to_do(launcher: Launcher, client: Client, tmp_path: Path) -> None:
    client.error = ForbiddenError("manifest_unrecorded", "Denied: changed playbook.yaml.")
    with pytest.raises(ForbiddenError, match=r"playbook\.yaml") as caught:
        run_playbook(launcher, PlaybookOptions(write_book(tmp_path / "shop")))
    assert "operator" in caught.value.fix


@pytest.mark.parametrize(
    ("more", "declared", "code"),
    [
        ("notify: [{channel: slack}]\n", "notify:slack", "notifiers_missing"),
        (MODEL, "ask:model", "model_key_missing"),
    ],
)
def test_what_would_be_missed_after_a_crash_is_missed_before(
    launcher: Launcher, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    more: str, declared: str, code: str,
) -> None:  # fmt: skip
    monkeypatch.delenv("MODEL_KEY", raising=False)
    folder = write_book(tmp_path / "shop", PLAYBOOK + more, more=(declared,))
    with pytest.raises(InvalidInputError) as caught:
        run_playbook(launcher, PlaybookOptions(folder))
    assert caught.value.code == code
    assert client.asked == []


@pytest.mark.parametrize(
    ("ending", "status", "code"),
    [
        (Ending.COMPLETED, 0, 0),
        (Ending.STOPPED, 143, 0),
        (Ending.FAILED, 3, 3),
        (Ending.FAILED, 0, 1),
        (Ending.UNAUTHORIZED, 0, 1),
    ],
)
def test_exit_codes(ending: Ending, status: int, code: int) -> None:
    fields: dict[str, Any] = dict.fromkeys(PlaybookResult.__dataclass_fields__, "")
    assert PlaybookResult(**fields | {"ending": ending, "exit_status": status}).exit_code == code
