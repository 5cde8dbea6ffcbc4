"""What a message says: subject and text for each topic, with `{field}` for a fact.

A template is a tiny language of its own: `{name}`, `{{` and `}}`, nothing else, so that nothing in a
template or a fact can reach an attribute or run anything. A fact is put in as one line of printable text:
what an agent wrote can't pretend to be a line of ours. Never puts a fact in without the sender's escaping.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from dragons.control.messages import QUARANTINED, TEST, TOPICS
from dragons.core.errors import InvalidInputError

SUBJECT_MAX = 200
TEMPLATE_MAX = 10_000
TEXT_MAX = 8_000
_VALUE_MAX = 500
_UNKNOWN = "-"
# Facts that may have several lines; the others are made one.
_LONG = frozenset({"text", "next"})

FIELDS = frozenset(
    {
        "agent", "at", "dispatch_id", "epoch", "incident_id", "instance_id", "kind", "last_heartbeat_at",
        "last_progress_at", "lease_expires_at", "message_id", "next", "not_before", "order_id",
        "progress_source", "reason", "requested_by", "restarts", "started_at", "state", "subject",
        "tenant_id", "text", "topic", "version",
    }
)  # fmt: skip

# What an operator may do about it.
_ACTS = {
    QUARANTINED: ("release", "stop"),
    "degraded": ("redispatch", "quarantine"),
    "autohealing": ("quarantine", "stop"),
}

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_FIELD = re.compile(r"[a-z][a-z_]*", re.ASCII)
Escape = Callable[[str], str]


class Template(NamedTuple):
    """A parsed text: what stands there, and before each part but the first the name of a fact."""

    literals: tuple[str, ...]
    fields: tuple[str, ...]

    def render(self, facts: Mapping[str, Any], escape: Escape = str) -> str:
        """The text with the facts; one that is not known is a dash."""
        parts = [self.literals[0]]
        for name, literal in zip(self.fields, self.literals[1:], strict=True):
            parts += [escape(_shown(name, facts)), literal]
        return "".join(parts)


class Wording(NamedTuple):
    """How a topic is told."""

    subject: Template
    text: Template


def parse_template(text: str) -> Template:
    """A template; InvalidInputError for a stray brace and for a fact that no message has."""
    if len(text) > TEMPLATE_MAX:
        raise _invalid(f"it is longer than {TEMPLATE_MAX} characters")
    literals, fields, end = [""], list[str](), 0
    for found in _TOKEN.finditer(text):
        literals[-1] += text[end : found.start()]
        end = found.end()
        if found[0] in {"{{", "}}"}:
            literals[-1] += found[0][0]
        elif found[1] is None:
            raise _invalid(f"the brace at character {found.start()} is not one of a {{field}}")
        elif not _FIELD.fullmatch(found[1]) or found[1] not in FIELDS:
            raise _invalid(f"there is no field {found[1]!r}; the fields are {', '.join(sorted(FIELDS))}")
        else:
            fields.append(found[1])
            literals.append("")
    literals[-1] += text[end:]
    return Template(tuple(literals), tuple(fields))


def one_line(text: str, limit: int) -> str:
    """`text` on one line, without anything that could steer a reader's program, cut at `limit`."""
    return cut("".join(char if char.isprintable() else " " for char in text), limit)


def cut(text: str, limit: int) -> str:
    """`text`, or its beginning with an ellipsis, in at most `limit` characters."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def next_steps(topic: str, facts: Mapping[str, Any]) -> list[str]:
    """The commands that a person looks further with, and those that decide."""
    agent, incident = str(facts.get("agent", "")), str(facts.get("incident_id", ""))
    if not agent:
        return ["dragons notifiers list"] if topic == TEST else []
    steps = [f"dragons incidents show {incident}"] if incident else []
    steps += [f"dragons fleet --agent {agent}", f"dragons receipts list --agent {agent}"]
    return [*steps, *(f'dragons agents {act} {agent} --reason "…"' for act in _ACTS.get(topic, ()))]


def _shown(name: str, facts: Mapping[str, Any]) -> str:
    value = facts.get(name)
    if value is None or value == "":
        return _UNKNOWN
    text = str(value)
    if name not in _LONG:
        return one_line(text, _VALUE_MAX)
    return "\n".join(one_line(line, _VALUE_MAX) for line in text.splitlines())


def _invalid(why: str) -> InvalidInputError:
    return InvalidInputError(
        "template_invalid",
        f"The template can't be used: {why}.",
        fix="Write {field} for a fact and {{ or }} for a brace.",
    )


_AXES = """\
Agent      {agent}, version {version}
Instance   {instance_id}, epoch {epoch}, started {started_at}
Dispatch   {dispatch_id}
Incident   {incident_id}
Since      {at}
Authority  lease ends {lease_expires_at}
Pulse      last heartbeat {last_heartbeat_at}
Progress   last verified {last_progress_at}, seen in {progress_source}
Tried      {restarts} restarts since an operator last released it

"""
_NEXT = "Next:\n{next}\n"
_TEXTS = {
    QUARANTINED: (
        "{agent} is quarantined",
        "{agent} is quarantined: {reason}.\nNothing of this dispatch starts until an operator acts.\n\n",
    ),
    "degraded": ("{agent} is degraded", "{agent} is degraded: {reason}.\nIf it goes on, it is healed.\n\n"),
    "autohealing": (
        "{agent} is being healed",
        "{agent} lost its authority and is started again: {reason}.\n\n",
    ),
    "recovered": ("{agent} runs again", "{agent} runs again: {reason}.\n\n"),
    "stopped": ("{agent} is stopped", "{agent} is stopped for good: {reason}.\n\n"),
    "released": ("{agent} is released", "An operator released {agent}: {reason}.\n\n"),
}
_ORDER = """\
The control plane orders a {kind} of {agent}: {reason}.

Order      {order_id}, not before {not_before}
Dispatch   {dispatch_id}, epoch {epoch}
Instance   {instance_id}

"""

BUILT_IN = MappingProxyType(
    {
        **{
            topic: Wording(parse_template(f"[Dragons] {subject}"), parse_template(f"{text}{_AXES}{_NEXT}"))
            for topic, (subject, text) in _TEXTS.items()
        },
        "order": Wording(
            parse_template("[Dragons] order: {kind} {agent}"), parse_template(f"{_ORDER}{_NEXT}")
        ),
        "notice": Wording(parse_template("{subject}"), parse_template("{text}")),
        TEST: Wording(
            parse_template("[Dragons] test message"),
            parse_template(
                "This channel works. Asked for by {requested_by} at {at}, message {message_id}.\n\n"
                "Escalations of tenant {tenant_id} that are routed here arrive the same way.\n"
            ),
        ),
    }
)

if set(BUILT_IN) != set(TOPICS):  # pragma: no cover - read once, when the module is imported
    raise AssertionError


class Said(NamedTuple):
    """A message in words."""

    subject: str
    text: str


def say(
    wordings: Mapping[str, Wording],
    topic: str,
    facts: Mapping[str, Any],
    escape: Escape = str,
    text_max: int = TEXT_MAX,
) -> Said:
    """Subject and text of a message; only the facts in the text are escaped, the subject is one plain line."""
    wording = wordings.get(topic) or BUILT_IN["notice"]
    known = {"next": "\n".join(f"  {step}" for step in next_steps(topic, facts)), **facts, "topic": topic}
    return Said(
        one_line(wording.subject.render(known), SUBJECT_MAX),
        cut(wording.text.render(known, escape), text_max),
    )
