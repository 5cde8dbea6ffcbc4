"""People are told by the real program: over HTTP and SMTP, again after a failure, and after a restart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dragons.sdk.home import write_secret
from tests.functional.cli.conftest import Program, start_plane, stop_plane
from tests.support.receivers import (
    SECRET,
    HttpReceiver,
    MailServer,
    http_receiver,
    mail_server,
    make_certificate,
)


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with http_receiver() as made:
        yield made


@contextmanager
def told(home: Path, channels: str) -> Iterator[Program]:
    """A control plane with these channels."""
    control = home / "control"
    control.mkdir(0o700, parents=True, exist_ok=True)
    (control / "notifiers.yaml").write_text(f"channels: {{{channels}}}")
    plane = start_plane(home, "--name", "Acme", "--operator", "Ada Li")
    try:
        yield Program(home)
    finally:
        stop_plane(plane)
        assert "hunter2" not in plane.log.read_text()
        assert SECRET not in plane.log.read_text()


def made_home(folder: Path) -> Path:
    """A home with the secrets of its channels."""
    home = folder / "home"
    Program(home).run("init", "--name", "Acme", "--operator", "Ada Li")
    write_secret(home / "control" / "hook.secret", SECRET.encode())
    write_secret(home / "control" / "mail.password", b"hunter2")
    return home


def test_a_channel_is_tried(tmp_path: Path, receiver: HttpReceiver) -> None:
    home = made_home(tmp_path)
    certificate = make_certificate(tmp_path)
    with mail_server(certificate, login=("dragons", "hunter2")) as server:
        hook = f'hook: {{type: webhook, url: "{receiver.url}/hunter2", secret_file: hook.secret}}'
        with told(home, f"{hook}, {mail_channel(server, certificate.cert)}") as program:
            listed = {one["name"]: one for one in program.json("notifiers", "list")["notifiers"]}
            assert listed["hook"]["where"] == receiver.url
            assert "hunter2" not in str(listed)
            assert program.json("notifiers", "test", "hook")["status"] == "delivered"
            assert program.json("notifiers", "test", "mail")["status"] == "delivered"
            receiver.script[:] = [500]
            refused = program.json("notifiers", "test", "hook", expected=1)
            assert (refused["status"], refused["detail"]) == ("waiting", "answered 500")
            assert program.error("notifiers", "test", "pager", expected=3)["code"] == "channel_missing"
            shown = program.json("notifiers", "messages", "--limit", "3")["messages"]
            assert [one["status"] for one in shown] == ["waiting", "delivered", "delivered"]
            assert len(program.json("receipts", "list", "--kind", "notified")["receipts"]) == 2
        (mail,) = server.mails
    assert mail.encrypted
    assert mail.message["subject"] == "[Dragons] test message"
    assert all(post.is_signed() for post in receiver.posts)
    # The refused one is tried again when its time has come.
    assert {post.path for post in receiver.posts} == {"/hunter2"}
    assert len({post.headers["webhook-id"] for post in receiver.posts}) == 2
    receiver.script[:] = [200]
    with told(home, hook) as program:
        # The one that was refused still waits: it is sent by itself, or at once because somebody asks.
        assert program.json("notifiers", "test", "hook")["status"] == "delivered"
        shown = program.json("notifiers", "messages")["messages"]
        assert {one["message_id"]: one["status"] for one in shown}[refused["message_id"]] == "delivered"


def mail_channel(server: MailServer, ca_file: Path) -> str:
    return (
        f"mail: {{type: email, host: localhost, port: {server.port}, security: starttls, from: d@example.org, "
        f"to: [ada@example.org], username: dragons, password_file: mail.password, ca_file: {ca_file}}}"
    )


@pytest.mark.parametrize(
    ("text", "code", "exit_code"),
    [
        (
            "channels: {hook: {type: webhook, url: https://example.org/, secret_file: none}}",
            "key_file_missing",
            2,
        ),
        ("channels: {hook: {type: slack, url: https://hooks.slack.com/hunter2}}", "notifiers_invalid", 2),
        ("channels: {}\ntemplates: {test: {text: '{agnet}'}}", "template_invalid", 2),
    ],
)
def test_a_wrong_configuration_keeps_the_control_plane_from_starting(
    tmp_path: Path, text: str, code: str, exit_code: int
) -> None:
    home = made_home(tmp_path)
    (home / "control" / "notifiers.yaml").write_text(text)
    told_error = Program(home).error("up", "--port", "0", expected=exit_code)
    assert told_error["code"] == code
    assert "hunter2" not in str(told_error)
