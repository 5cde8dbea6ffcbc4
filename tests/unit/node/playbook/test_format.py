from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragons.core.errors import DragonsError, InvalidInputError
from dragons.node.playbook.format import (
    YAML_BYTES_MAX,
    Collect,
    Playbook,
    Postmortem,
    Restart,
    Service,
    load_playbook,
    parse_playbook,
)

GUIDE = Path(__file__).resolve().parents[4] / "docs" / "playbooks.md"
SMALL = "version: 1\nservice:\n  command: [python3, service.py]\n"
WHOLE = """
version: 1
service:
  command: [python3, service.py]
  folder: .
  environment: {PORT: "8080"}
  ready: {url: "http://127.0.0.1:8080/health", timeout_seconds: 10}
  stop_grace_seconds: 5
on_crash:
  collect: {lines: 50, files: ["logs/*.log"]}
  diagnose:
    builtin: false
    rules:
      - {name: poison, pattern: "bad record", cause: A record., advice: Remove it., retry: false}
  model: {provider: openai, url: "https://models.example/v1", model: small, key_env: MODEL_KEY}
restart: {attempts: 2, backoff_first_seconds: 0.5, backoff_longest_seconds: 4, reset_after_seconds: 60}
postmortem: {path: "out/{agent}-{session}.md"}
notify:
  - {channel: slack}
  - {channel: email, name: on-call}
"""


def test_the_smallest_playbook_has_the_products_defaults() -> None:
    book = parse_playbook(SMALL)
    assert book.restart.attempts == 3
    assert book.on_crash.collect.lines == 200
    assert book.on_crash.model is None
    assert book.notified == []


def test_every_field_is_read() -> None:
    book = parse_playbook(WHOLE)
    assert book.service.ready is not None
    assert book.service.ready.timeout_seconds == 10
    assert book.on_crash.diagnose.rules[0].retry is False
    assert book.on_crash.model is not None
    assert book.on_crash.model.key_env == "MODEL_KEY"
    assert book.restart.backoff_first_seconds == 0.5
    assert book.notified == ["notify:email", "notify:slack"]
    assert book.notify[1].name == "on-call"


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("", "p.yaml:1", "empty"),
        ("version: 2\nservice: {command: [a]}", "p.yaml:1: version", "invalid enum value 2"),
        ("version: 1", "p.yaml:1", "service"),
        ("version: 1\nservice:\n  command: []", "p.yaml:3: service.command", "length >= 1"),
        ("version: 1\nservice:\n  command: python", "p.yaml:3: service.command", "expected `array`"),
        (f"{SMALL}restart:\n  attempts: many", "p.yaml:5: restart.attempts", "expected `int`"),
        (f"{SMALL}restart:\n  atempts: 3", "p.yaml:4: restart", "unknown field `atempts`"),
        (f"{SMALL}notify:\n  - channel: pigeon", "p.yaml:5: notify[0].channel", "invalid enum value"),
        (f"{SMALL}notify:\n  - channel: slack\n  - channel: slack", "p.yaml:4: notify", "named twice"),
        (f"{SMALL}service: {{}}", "p.yaml:4", "service is given twice"),
        (f"{SMALL}restart: &r {{attempts: 1}}\npostmortem: *r", "p.yaml:4", "alias"),
        (f"{SMALL}  ready: {{}}", "p.yaml:4: service.ready", "either url or tcp"),
        (f"{SMALL}  ready: {{url: 'http://a', tcp: 'a:1'}}", "p.yaml:4: service.ready", "either url or tcp"),
        (f"{SMALL}  environment: {{DRAGONS_X: y}}", "p.yaml:4: service.environment", "the runner"),
        (
            f"{SMALL}restart:\n  backoff_first_seconds: 9\n  backoff_longest_seconds: 2",
            "p.yaml:6: restart.backoff_longest_seconds",
            "shorter",
        ),
        (
            f"{SMALL}on_crash:\n  diagnose:\n    rules:\n    - {{name: a, pattern: '(', cause: c, advice: d}}",
            "p.yaml:7: on_crash.diagnose.rules[0].pattern",
            "no regular expression",
        ),
        (f"{SMALL}postmortem: {{path: '{{home}}.md'}}", "p.yaml:4: postmortem.path", "{session} and {agent}"),
        ("version: 1\n  service: [", "p.yaml:2", "not YAML"),
        (f"{SMALL}restart: !!python/object:os.system {{}}", "p.yaml:1", "no form of its kind"),
        ("- version", "p.yaml:1", "expected `object`"),
    ],
)
def test_a_fault_names_line_field_and_cause(text: str, place: str, what: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_playbook(text, source="p.yaml")
    assert caught.value.code == "playbook_invalid"
    assert caught.value.message.startswith(place)
    assert what in caught.value.message
    assert caught.value.fix


@given(st.text(max_size=400) | st.binary(max_size=200).map(lambda raw: SMALL + raw.decode("latin-1")))
def test_any_text_is_a_playbook_or_a_named_fault(text: str) -> None:
    with suppress(InvalidInputError):
        assert isinstance(parse_playbook(text), Playbook)


def test_a_file_is_read_within_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "playbook.yaml"
    path.write_text(SMALL)
    assert load_playbook(path).version == 1
    path.write_text(SMALL + "#" * YAML_BYTES_MAX)
    with pytest.raises(InvalidInputError, match="larger than"):
        load_playbook(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInputError, match="UTF-8"):
        load_playbook(path)
    with pytest.raises(DragonsError) as caught:
        load_playbook(tmp_path / "none.yaml")
    assert caught.value.code == "playbook_missing"


def fields_of(kind: Any) -> set[str]:
    """The names of a struct's fields and of those within them."""
    found = {field.name for field in msgspec.structs.fields(kind)}
    for field in msgspec.structs.fields(kind):
        for inner in (
            field.type,
            *get_args(field.type),
            *(two for one in get_args(field.type) for two in get_args(one)),
        ):
            if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
                found |= fields_of(inner)
    return found


def test_the_guide_shows_every_field_and_its_defaults() -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (shown,) = (block for block in blocks if block.startswith("version:"))
    book = parse_playbook(shown)
    assert (book.restart, book.postmortem) == (Restart(), Postmortem())
    assert book.service.stop_grace_seconds == Service(command=["a"]).stop_grace_seconds
    assert book.on_crash.collect.lines == Collect().lines
    text = GUIDE.read_text("utf-8")
    fields = fields_of(Playbook)
    assert {"retry", "key_env", "tcp", "builtin", "channel"} <= fields
    assert not [name for name in fields if not re.search(rf"\b{name}\b", text)]
