from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from dragons.cli.notifier import AGENT, Channels, check_channels, notifier_program
from dragons.core.clock import SystemClock
from dragons.core.errors import InvalidInputError, NotFoundError
from dragons.node.playbook.channel import Notice
from dragons.node.playbook.format import Channel
from tests.support.receivers import http_receiver, mail_server

MESSAGE, TENANT = "msg_" + "0" * 32, "tnt_" + "1" * 32
NOW_MS = 1_800_000_000_000


def configured(folder: Path, slack: str, port: int) -> Path:
    """A notifiers' file with a Slack webhook and a mail server."""
    secret = folder / "slack-url"
    secret.write_text(slack)
    secret.chmod(0o600)
    mail = {
        "type": "email", "host": "127.0.0.1", "port": port, "security": "none", "from": "dragons@example.org",
        "to": ["ada@example.org"],
    }  # fmt: skip
    path = folder / "notifiers.yaml"
    path.write_text(
        yaml.safe_dump({"channels": {"ops": {"type": "slack", "url_file": "slack-url"}, "on-call": mail}})
    )
    path.chmod(0o600)
    return path


def notice(kind: str, name: str) -> Notice:
    facts = {"agent": "shop"}
    return Notice(kind=kind, name=name, subject="shop could not be kept up", text="why\nand how", facts=facts)


def test_a_notice_arrives_at_slack_and_by_mail(tmp_path: Path) -> None:
    with http_receiver(200) as slack, mail_server() as mail:
        channels = Channels(configured(tmp_path, slack.url, mail.port), SystemClock())
        first = channels.send(notice("slack", "ops"), MESSAGE, TENANT, NOW_MS)
        second = channels.send(notice("email", "on-call"), MESSAGE, TENANT, NOW_MS)
    assert (first.delivered, second.delivered) == (True, True)
    assert "shop could not be kept up" in slack.posts[0].json["text"]
    assert mail.mails[0].message["subject"] == "shop could not be kept up"
    assert mail.mails[0].message.get_content().splitlines() == ["why", "and how"]


def test_a_receiver_that_refuses_is_no_exception(tmp_path: Path) -> None:
    with http_receiver(500) as slack:
        channels = Channels(configured(tmp_path, slack.url, 9), SystemClock())
        sent = channels.send(notice("slack", "ops"), MESSAGE, TENANT, NOW_MS)
    assert not sent.delivered
    assert "500" in sent.detail


@pytest.mark.parametrize(("kind", "name"), [("slack", "other"), ("slack", "on-call"), ("email", "ops")])
def test_a_channel_serves_its_own_kind_only(tmp_path: Path, kind: str, name: str) -> None:
    path = configured(tmp_path, "http://127.0.0.1:9", 9)
    with pytest.raises(InvalidInputError) as caught:
        Channels(path, SystemClock()).send(notice(kind, name), MESSAGE, TENANT, NOW_MS)
    assert caught.value.code == "channel_missing"
    with pytest.raises(InvalidInputError, match=str(path)):
        check_channels(path, [Channel(channel=kind, name=name)])  # type: ignore[arg-type]


def test_checking_reads_no_secret(tmp_path: Path) -> None:
    path = configured(tmp_path, "http://127.0.0.1:9", 9)
    (tmp_path / "slack-url").unlink()
    check_channels(path, [Channel(channel="slack", name="ops"), Channel(channel="email", name="on-call")])
    with pytest.raises(NotFoundError):
        check_channels(tmp_path / "none.yaml", [])


def test_its_identity_is_the_files_that_send() -> None:
    program = notifier_program(Path("n.yaml"))
    files = {file.path for file in program.manifest.code}
    assert {
        "notifier.py",
        "notices.py",
        "channel.py",
        "slack.py",
        "email.py",
        "webhook.py",
        "build.py",
    } <= files
    assert program.manifest.agent == AGENT
    assert program.manifest.capabilities == ["notify:email", "notify:slack", "notify:webhook"]
    assert program.command[0] == sys.executable
    assert program.notifiers.is_absolute()
