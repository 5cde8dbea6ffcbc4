"""`playbook.yaml`: how a service is run, and what happens when it crashes. Version 1.

Never guesses: unknown fields, wrong types, repeated names and aliases are errors that name file, line and
field. Reading one runs nothing and opens nothing but the file itself.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml

from dragons.core.errors import InvalidInputError, NotFoundError

PLAYBOOK_FILE = "playbook.yaml"
YAML_BYTES_MAX = 64 * 1024
RULES_MAX = 64
CHANNELS_MAX = 16
DAY_SECONDS = 24 * 3600

Seconds = Annotated[float, msgspec.Meta(ge=0, le=DAY_SECONDS)]
Pause = Annotated[float, msgspec.Meta(gt=0, le=DAY_SECONDS)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_-]{0,47}$(?!\n)")]
Url = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s@]{1,500}$(?!\n)")]
Variable = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$(?!\n)")]

_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>\$.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_PLACEHOLDER = re.compile(r"{([^{}]*)}")
_PLACEHOLDERS = frozenset({"agent", "session"})
# Given to the service by the runner alone.
_OWN_PREFIX = "DRAGONS_"


class Strict(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A part of a playbook."""


class Ready(Strict, frozen=True):
    """When the service counts as started: `url` answers below 400, or `tcp` (host:port) takes a connection."""

    url: Url = ""
    tcp: Annotated[str, msgspec.Meta(pattern=r"^([^\s:]{1,255}:\d{1,5})?$(?!\n)")] = ""
    timeout_seconds: Pause = 30.0


class Service(Strict, frozen=True):
    """The program. `folder` is relative to the playbook's own."""

    command: Annotated[list[Text], msgspec.Meta(min_length=1, max_length=64)]
    folder: Text = "."
    environment: dict[Variable, Annotated[str, msgspec.Meta(max_length=4_000)]] = {}
    ready: Ready | None = None
    stop_grace_seconds: Seconds = 10.0


class Collect(Strict, frozen=True):
    """How much of the output, and of which files beside it, is looked at after a crash."""

    lines: Annotated[int, msgspec.Meta(ge=1, le=2_000)] = 200
    files: Annotated[list[Text], msgspec.Meta(max_length=16)] = []


class Rule(Strict, frozen=True):
    """What a line of the log means. `retry` says whether a restart can help."""

    name: Name
    pattern: Text
    cause: Text
    advice: Text
    retry: bool = True


class Diagnose(Strict, frozen=True):
    """Own rules come first, in their order; the built-in ones after them."""

    builtin: bool = True
    rules: Annotated[list[Rule], msgspec.Meta(max_length=RULES_MAX)] = []


class Model(Strict, frozen=True):
    """A model that is asked for advice. `key_env` names the variable of the runner that holds its key."""

    provider: Literal["openai", "anthropic"]
    url: Url
    model: Text
    key_env: Variable | None = None
    timeout_seconds: Pause = 30.0
    redact: Annotated[list[Text], msgspec.Meta(max_length=RULES_MAX)] = []


class OnCrash(Strict, frozen=True):
    """What is looked at, and who is asked, before anything is done about a crash."""

    collect: Collect = Collect()
    diagnose: Diagnose = Diagnose()
    model: Model | None = None


class Restart(Strict, frozen=True):
    """`attempts` restarts, each after twice the pause; forgotten once it has run for `reset_after_seconds`."""

    attempts: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 3
    backoff_first_seconds: Seconds = 1.0
    backoff_longest_seconds: Seconds = 60.0
    reset_after_seconds: Pause = 300.0


class Postmortem(Strict, frozen=True):
    """Where it is written; `{session}` and `{agent}` are filled in. Relative to the playbook's folder."""

    path: Text = "postmortems/{session}.md"


class Channel(Strict, frozen=True):
    """Whom to tell: the kind of channel, and its `name` in the notifiers' file where there are several."""

    channel: Literal["slack", "email", "webhook"]
    name: Name | None = None

    @property
    def capability(self) -> str:
        """`notify:slack`."""
        return f"notify:{self.channel}"


class Playbook(Strict, frozen=True):
    """The whole file."""

    version: Literal[1]
    service: Service
    on_crash: OnCrash = OnCrash()
    restart: Restart = Restart()
    postmortem: Postmortem = Postmortem()
    notify: Annotated[list[Channel], msgspec.Meta(max_length=CHANNELS_MAX)] = []

    @property
    def notified(self) -> list[str]:
        """The capabilities that only the notifier gets."""
        return sorted({one.capability for one in self.notify})


def load_playbook(path: Path) -> Playbook:
    """The playbook in `path`; InvalidInputError names the line when it is none."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(
            "playbook_missing",
            f"There is no {path}.",
            fix=f"Write {PLAYBOOK_FILE}; docs/playbooks.md shows one.",
        ) from error
    if len(data) > YAML_BYTES_MAX:
        raise _invalid(path.name, 1, f"larger than {YAML_BYTES_MAX} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise _invalid(path.name, 1, "not UTF-8") from error
    return parse_playbook(text, source=path.name)


def parse_playbook(text: str, *, source: str = PLAYBOOK_FILE) -> Playbook:
    """The playbook in `text`; InvalidInputError `source:line: field: what is wrong` otherwise."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or "it is nested too deeply"
        raise _invalid(source, mark.line + 1 if mark else 1, f"not YAML: {what}") from error
    if root is None:
        raise _invalid(source, 1, "it is empty", fix="Begin with `version: 1` and `service:`.")
    _check_nodes(root, source, set())
    try:
        value = yaml.SafeLoader("").construct_document(root)
        playbook = msgspec.convert(value, Playbook)
    except msgspec.ValidationError as error:
        raise _explained(error, root, source) from error
    except (yaml.YAMLError, ValueError, AttributeError) as error:
        raise _invalid(source, 1, f"a value has no form of its kind: {error}") from error
    _check(playbook, root, source)
    return playbook


def _check_nodes(node: yaml.Node, source: str, seen: set[int]) -> None:
    """Refuse what YAML would settle silently: a second value of a name, and one node in two places."""
    line = node.start_mark.line + 1
    if id(node) in seen:
        raise _invalid(source, line, "an alias (*name) is used", fix="Write the value out.")
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_nodes(item, source, seen)
    if isinstance(node, yaml.MappingNode):
        names: set[str] = set()
        for key, item in node.value:
            name = str(key.value)
            if name in names or name == "<<":
                raise _invalid(source, key.start_mark.line + 1, f"{name} is given twice, or merged")
            names.add(name)
            _check_nodes(item, source, seen)


def _check(playbook: Playbook, root: yaml.Node, source: str) -> None:
    """What types can't say."""
    ready, restart = playbook.service.ready, playbook.restart
    if ready is not None and bool(ready.url) == bool(ready.tcp):
        raise _at(root, source, ["service", "ready"], "give either url or tcp")
    if any(name.startswith(_OWN_PREFIX) for name in playbook.service.environment):
        raise _at(root, source, ["service", "environment"], f"{_OWN_PREFIX}… belongs to the runner")
    if restart.backoff_longest_seconds < restart.backoff_first_seconds:
        raise _at(root, source, ["restart", "backoff_longest_seconds"], "shorter than backoff_first_seconds")
    for at, rule in enumerate(playbook.on_crash.diagnose.rules):
        place: list[str | int] = ["on_crash", "diagnose", "rules", at, "pattern"]
        _check_pattern(rule.pattern, root, source, place)
    for at, pattern in enumerate(playbook.on_crash.model.redact if playbook.on_crash.model else []):
        _check_pattern(pattern, root, source, ["on_crash", "model", "redact", at])
    unknown = set(_PLACEHOLDER.findall(playbook.postmortem.path)) - _PLACEHOLDERS
    if unknown:
        raise _at(root, source, ["postmortem", "path"], "only {session} and {agent} are filled in")
    pairs = [(one.channel, one.name) for one in playbook.notify]
    if len(set(pairs)) < len(pairs):
        raise _at(
            root, source, ["notify"], "a channel is named twice", fix="Leave one out, or give each a name."
        )


def _check_pattern(pattern: str, root: yaml.Node, source: str, place: list[str | int]) -> None:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise _at(root, source, place, f"no regular expression of Python: {error}") from error


def _explained(error: msgspec.ValidationError, root: yaml.Node, source: str) -> InvalidInputError:
    match = _PLACE.match(str(error))
    assert match is not None  # noqa: S101 - the pattern matches every text
    place: list[str | int] = []
    for name, index in _STEP.findall(match["path"] or ""):
        place.append(name or (int(index) if index.isdigit() else 0))
    return _at(root, source, place, match["what"][:1].lower() + match["what"][1:])


def _at(root: yaml.Node, source: str, place: list[Any], what: str, *, fix: str = "") -> InvalidInputError:
    node, key_line = root, root.start_mark.line
    for step in place:
        found = _child(node, step)
        if found is None:
            break
        key_line, node = found
    field = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).lstrip(".")
    return _invalid(source, key_line + 1, f"{field}: {what}" if field else what, fix=fix)


def _child(node: yaml.Node, step: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step].start_mark.line, node.value[step]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if str(key.value) == str(step):
                return key.start_mark.line, value
    return None


def _invalid(source: str, line: int, what: str, *, fix: str = "") -> InvalidInputError:
    return InvalidInputError(
        "playbook_invalid",
        f"{source}:{line}: {what}.",
        fix=fix or "Correct the named line; docs/playbooks.md lists every field.",
    )
