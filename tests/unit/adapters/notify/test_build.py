"""Channels are built with their secrets from files and variables, and show none of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragons.adapters.notify.build import Notifiers, Secrets, build_notifier, load_notifiers, where
from dragons.adapters.notify.config import EmailChannel, SlackChannel, WebhookChannel, parse_config
from dragons.adapters.notify.slack import Slack
from dragons.control.messages import Channel
from dragons.core.clock import ManualClock
from dragons.core.errors import DragonsError, InvalidInputError, NotFoundError
from tests.support.receivers import SECRET, http_receiver, mail_server
from tests.unit.adapters.notify.messages import message, private

CLOCK = ManualClock()
HOOK = WebhookChannel(url="https://ops.example.org/hunter2", secret_env="HOOK")


def secrets(folder: Path, **environment: str) -> Secrets:
    return Secrets(folder, environment)


def mail(**changes: object) -> EmailChannel:
    fields = {"host": "localhost", "sender": "d@example.org", "to": ["ada@example.org"], "security": "none"}
    return EmailChannel(**{**fields, **changes})  # type: ignore[arg-type]


def test_each_kind_sends(tmp_path: Path) -> None:
    with http_receiver() as receiver, mail_server() as server:
        private(tmp_path / "hook", f"{SECRET}\n")
        private(tmp_path / "slack", f"{receiver.url}/slack\n")
        channels = [
            WebhookChannel(url=f"{receiver.url}/hook", secret_file="hook"),
            WebhookChannel(url_env="URL", secret_env="HOOK"),
            SlackChannel(url_file="slack"),
            mail(port=server.port),
        ]
        known = secrets(tmp_path, URL=f"{receiver.url}/variable", HOOK=SECRET)
        for channel in channels:
            assert build_notifier(channel, CLOCK, secrets=known).send(message()).delivered, channel
    assert [post.path for post in receiver.posts] == ["/hook", "/variable", "/slack"]
    assert [post.is_signed() for post in receiver.posts[:2]] == [True, True]
    assert len(server.mails) == 1


def test_it_is_built_with_a_configuration_and_a_clock_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with http_receiver() as receiver:
        monkeypatch.setenv("SLACK", receiver.url)
        assert build_notifier(SlackChannel(url_env="SLACK"), CLOCK).send(message()).delivered


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_secret_that_others_read_is_refused(tmp_path: Path, mode: int) -> None:
    private(tmp_path / "s", SECRET)
    (tmp_path / "s").chmod(mode)
    with pytest.raises(DragonsError) as caught:
        build_notifier(
            WebhookChannel(url="https://x.example/", secret_file="s"), CLOCK, secrets=secrets(tmp_path)
        )
    assert (caught.value.code, "chmod 600" in caught.value.fix) == ("key_file_exposed", True)


@pytest.mark.parametrize(
    ("content", "code"),
    [(None, "key_file_missing"), (b"", "secret_malformed"), (b" \n", "secret_malformed"),
     (b"\xff\xfe", "secret_malformed"), (b"x" * 20_000, "secret_malformed"), (b"hunter2", "webhook_secret_invalid")],
)  # fmt: skip
def test_a_secret_that_is_none(tmp_path: Path, content: bytes | None, code: str) -> None:
    if content is not None:
        (tmp_path / "s").touch(0o600)
        (tmp_path / "s").write_bytes(content)
    with pytest.raises(DragonsError) as caught:
        build_notifier(
            WebhookChannel(url="https://x.example/", secret_file="s"), CLOCK, secrets=secrets(tmp_path)
        )
    assert (caught.value.code, bool(caught.value.fix)) == (code, True)
    assert "Ed25519" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_variable_that_is_not_set(tmp_path: Path) -> None:
    for environment in ({}, {"HOOK": " "}):
        with pytest.raises(InvalidInputError, match="HOOK is not set"):
            build_notifier(HOOK, CLOCK, secrets=Secrets(tmp_path, environment))


def test_clear_text_stays_on_this_machine(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as caught:
        build_notifier(mail(host="mail.example.org"), CLOCK, secrets=secrets(tmp_path))
    assert caught.value.code == "mail_unencrypted"
    with pytest.raises(InvalidInputError) as caught:
        build_notifier(
            WebhookChannel(url="http://ops.example.org/", secret_env="HOOK"),
            CLOCK,
            secrets=secrets(tmp_path, HOOK=SECRET),
        )
    assert caught.value.code == "address_invalid"


@pytest.mark.parametrize(("security", "port"), [("starttls", 587), ("tls", 465), ("none", 25)])
def test_the_usual_port_is_shown(tmp_path: Path, security: str, port: int) -> None:
    assert where(mail(security=security), secrets(tmp_path)) == f"localhost:{port} to ada@example.org"
    assert where(mail(security=security, port=9), secrets(tmp_path)) == "localhost:9 to ada@example.org"


def test_where_shows_no_path(tmp_path: Path) -> None:
    known = secrets(tmp_path, SLACK="https://hooks.slack.com/services/hunter2")
    assert where(HOOK, known) == "https://ops.example.org"
    assert where(SlackChannel(url_env="SLACK"), known) == "https://hooks.slack.com"


CONFIG = b"""
channels:
  chat: {type: slack, url_env: SLACK}
  hook: {type: webhook, url: "https://ops.example.org/x", secret_env: HOOK}
routes:
  - {topics: [quarantined, test], agents: ["pay-*", ledger], channels: [chat]}
  - {topics: [quarantined], channels: [hook, chat]}
"""
KNOWN = {"SLACK": "https://hooks.slack.com/services/hunter2", "HOOK": SECRET}


@pytest.fixture
def notifiers() -> Notifiers:
    return Notifiers(parse_config(CONFIG, Path()), CLOCK, Secrets(Path(), KNOWN))


def test_channels_are_shown_without_secrets(notifiers: Notifiers) -> None:
    assert list(notifiers.channels()) == [
        Channel("chat", "slack", "https://hooks.slack.com", ("quarantined", "test")),
        Channel("hook", "webhook", "https://ops.example.org", ("quarantined",)),
    ]
    assert isinstance(notifiers.sender("chat"), Slack)
    assert notifiers.sender("none") is None


@pytest.mark.parametrize(
    ("topic", "agent", "expected"),
    [
        ("quarantined", "pay-supplier", ("chat", "hook")),
        ("quarantined", "reconciler", ("hook", "chat")),
        ("test", "ledger", ("chat",)),
        ("test", "LEDGER", ()),
        ("test", "", ()),
        ("quarantined", "", ("hook", "chat")),
        ("order", "ledger", ()),
    ],
)
def test_routes_go_by_topic_and_agent(
    notifiers: Notifiers, topic: str, agent: str, expected: tuple[str, ...]
) -> None:
    assert notifiers.route(topic, agent) == expected


def test_an_error_names_the_channel(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"^Channel chat: The variable SLACK is not set") as caught:
        Notifiers(parse_config(CONFIG, tmp_path), CLOCK, Secrets(tmp_path, {}))
    assert caught.value.fix


def test_a_home_may_have_no_channels(tmp_path: Path) -> None:
    path = tmp_path / "notifiers.yaml"
    assert not load_notifiers(path, CLOCK, required=False).channels()
    with pytest.raises(NotFoundError) as caught:
        load_notifiers(path, CLOCK, required=True)
    assert caught.value.code == "notifiers_missing"
    private(path, CONFIG.decode())
    private(tmp_path / "unused", "x")
    loaded = load_notifiers(path, CLOCK, required=False, secrets=Secrets(tmp_path, KNOWN))
    assert [one.name for one in loaded.channels()] == ["chat", "hook"]
