"""notifiers.yaml is taken whole or refused with what to mend, and holds no secret."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dragons.adapters.notify.config import (
    CHANNELS_MAX,
    EmailChannel,
    NotifyConfig,
    SlackChannel,
    WebhookChannel,
    no_channels,
    parse_config,
    read_config,
)
from dragons.adapters.notify.templates import BUILT_IN
from dragons.core.errors import DragonsError, ForbiddenError, InvalidInputError, NotFoundError

WHOLE = """
channels:
  ops-hook: {type: webhook, url: https://ops.example.org/dragons, secret_file: hook.secret}
  chat: {type: slack, url_file: slack.url}
  mail:
    type: email
    host: mail.example.org
    from: dragons@example.org
    to: [ada@example.org]
    username: dragons
    password_env: MAIL_PASSWORD
routes:
  - {topics: [quarantined, degraded], agents: ["pay-*"], channels: [chat, mail]}
  - {topics: [order], channels: [ops-hook]}
templates:
  quarantined: {subject: "{agent}: {reason}"}
"""
FOLDER = Path("/etc/dragons")


def parse(text: str) -> NotifyConfig:
    return parse_config(text.encode(), FOLDER)


def test_the_whole_file() -> None:
    found = parse(WHOLE)
    assert [type(one) for one in found.channels.values()] == [WebhookChannel, SlackChannel, EmailChannel]
    assert list(found.channels) == ["ops-hook", "chat", "mail"]
    mail = found.channels["mail"]
    assert isinstance(mail, EmailChannel)
    assert (mail.sender, mail.security, mail.port) == ("dragons@example.org", "starttls", 0)
    first, second = found.routes
    assert (first.topics, first.agents, first.channels) == (
        ["quarantined", "degraded"],
        ["pay-*"],
        ["chat", "mail"],
    )
    assert second.agents == ["*"]
    own = found.wordings["quarantined"]
    assert own.subject.render({"agent": "a", "reason": "b"}) == "a: b"
    assert own.text == BUILT_IN["quarantined"].text
    assert found.wordings["test"] == BUILT_IN["test"]


def test_the_example_of_the_documents_is_one() -> None:
    text = (Path(__file__).parents[4] / "docs" / "operations.md").read_text("utf-8")
    (example,) = re.findall(r"```yaml\n(channels:.*?)```", text, re.DOTALL)
    found = parse(example)
    assert list(found.channels) == ["oncall", "pager", "mail"]
    assert [route.topics for route in found.routes] == [["quarantined"], ["degraded", "autohealing"]]


def test_without_routes_escalations_go_everywhere() -> None:
    (route,) = parse(WHOLE.split("routes:", maxsplit=1)[0]).routes
    assert (route.topics, route.agents) == (["quarantined"], ["*"])
    assert route.channels == ["ops-hook", "chat", "mail"]
    assert parse(WHOLE.split("routes:", maxsplit=1)[0] + "routes: []").routes == ()
    assert parse("channels: {}").routes == ()


def test_a_home_without_the_file() -> None:
    assert no_channels(FOLDER) == (FOLDER, {}, (), BUILT_IN)


def channel(text: str) -> str:
    return f"channels: {{one: {{{text}}}}}"


HOOK = "type: webhook, url: https://x.example/, secret_file: s"
MAIL = "type: email, host: m, from: a@b.c, to: [a@b.c]"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the file: Expected `object`, got `null`"),
        ("- x", "the file: Expected `object`"),
        ("channels: {}\nchanels: {}", "unknown field `chanels`"),
        ("channels: {one: 1}", "channel one: Expected `object`"),
        ("a: [", "not YAML"),
        ("channels: {}\nchannels: {}", "not YAML at line 2: a key stands twice"),
        ("channels: {a: !!python/name:os.system x}", "not YAML"),
        ("channels: {Ops: {type: slack, url_file: s}}", "'Ops' can't name a channel"),
        ("channels: {'a\\n': {type: slack, url_file: s}}", "can't name a channel"),
        (channel("type: pager"), "channel one: Invalid value 'pager'"),
        (channel("url_file: s"), "channel one: Object missing required field `type`"),
        (channel("type: slack"), "channel one has no address"),
        (
            channel("type: slack, url: https://hooks.slack.com/x"),
            "channel one: Object contains unknown field `url`",
        ),
        (channel("type: slack, url_file: s, url_env: S"), "channel one has url_file, url_env"),
        (channel("type: webhook, url: https://x.example/"), "channel one has no secret"),
        (channel("type: webhook, secret_file: s"), "channel one has no address"),
        (channel(f"{HOOK}, secret: whsec_x"), "unknown field `secret`"),
        (channel(f"{HOOK}, secret_env: S"), "channel one has secret_file, secret_env"),
        (channel(f"{MAIL}, password: x"), "unknown field `password`"),
        (channel(f"{MAIL}, username: ada"), "channel one has no password"),
        (channel(f"{MAIL}, password_file: s"), "channel one has password_file"),
        (channel(f"{MAIL}, security: ssl"), "channel one: Invalid enum value 'ssl'"),
        (channel(f"{MAIL}, port: 65536"), "channel one: Expected `int` <= 65535"),
        (channel("type: email, host: m, from: a@b.c, to: []"), "`array` of length >= 1"),
        (channel('type: email, host: m, from: a@b.c, to: ["a@b.c\\nBcc: e@f.g"]'), "matching regex"),
        (channel('type: email, host: m, from: "Ada <a@b.c>", to: [a@b.c]'), "matching regex"),
        (channel('type: email, host: "m\\n", from: a@b.c, to: [a@b.c]'), "matching regex"),
        (
            f"{channel(HOOK)}\nroutes: [{{topics: [all], channels: [one]}}]",
            "route 1 names no topic with 'all'",
        ),
        (f"{channel(HOOK)}\nroutes: [{{topics: [test], channels: [two]}}]", "route 1 names 'two'"),
        (
            f"{channel(HOOK)}\nroutes: [{{topics: [test]}}]",
            "route 1: Object missing required field `channels`",
        ),
        (f"{channel(HOOK)}\nroutes: [{{topics: [], channels: [one]}}]", "route 1: Expected `array`"),
        ("channels: {}\ntemplates: {all: {text: x}}", "no topic 'all'"),
        ("channels: {}\ntemplates: {test: {body: x}}", "template test: Object contains unknown field `body`"),
        ("channels: {}\ntemplates: {test: {text: '{agnet}'}}", "template test: .*'agnet'"),
        (
            "channels: {" + ", ".join(f"c{n}: {{{HOOK}}}" for n in range(CHANNELS_MAX + 1)) + "}",
            "more than 32",
        ),
        ("#" * 256_001, "larger than"),
    ],
)
def test_what_is_wrong_is_named(text: str, why: str) -> None:
    with pytest.raises(InvalidInputError, match=why) as caught:
        parse(text)
    assert caught.value.code in {"notifiers_invalid", "template_invalid"}
    assert caught.value.fix


def test_a_secret_in_the_wrong_place_is_not_repeated() -> None:
    for text in (
        channel(f"{HOOK}, secret: hunter2hunter2"),
        channel("type: slack, url_file: {hunter2: hunter2}"),
        "channels: {one: {type: slack, url: https://hooks.slack.com/hunter2\n  x: [",
        "channels: {one: hunter2}",
    ):
        with pytest.raises(InvalidInputError) as caught:
            parse(text)
        assert "hunter2" not in str(caught.value)


def outcome(data: bytes) -> NotifyConfig | str:
    """The configuration, or what to do about its refusal."""
    try:
        return parse_config(data, FOLDER)
    except InvalidInputError as error:
        return error.fix


@given(st.binary(max_size=300))
def test_any_bytes_end_in_a_configuration_or_a_refusal(data: bytes) -> None:
    assert outcome(data)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["channels", "routes", "templates", "type", "url", "host", "topics", "a"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(plain)
def test_any_value_ends_in_a_configuration_or_a_refusal(value: object) -> None:
    assert outcome(yaml.safe_dump(value).encode())


# --- the file -------------------------------------------------------------------------------------


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "notifiers.yaml"
    path.write_text(WHOLE)
    path.chmod(0o644)
    assert read_config(path) == parse(WHOLE)._replace(folder=tmp_path)


def test_an_error_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "notifiers.yaml"
    path.write_text("channels: {one: 1}")
    with pytest.raises(InvalidInputError, match=str(path)):
        read_config(path)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "notifiers.yaml"
    path.write_text(WHOLE)
    path.chmod(mode)
    with pytest.raises(ForbiddenError) as caught:
        read_config(path)
    assert (caught.value.code, str(path) in caught.value.fix) == ("notifiers_exposed", True)


def test_a_file_that_is_not_there_or_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as missing:
        read_config(tmp_path / "none.yaml")
    assert (missing.value.code, bool(missing.value.fix)) == ("notifiers_missing", True)
    (tmp_path / "folder").mkdir(0o700)
    with pytest.raises(DragonsError) as unreadable:
        read_config(tmp_path / "folder")
    assert unreadable.value.code == "notifiers_unreadable"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_can_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "notifiers.yaml"
    path.touch(0o000)
    with pytest.raises(ForbiddenError):
        read_config(path)
