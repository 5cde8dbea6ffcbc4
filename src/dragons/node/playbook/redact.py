"""What is taken out of a log before it leaves this machine, and how much of it may leave at all. Pure.

Takes out what looks like a secret, not what a person would call one: patterns know forms only. So less
leaves, never more, and a playbook names its own patterns besides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

BYTES_MAX = 24_000
MARK = "[redacted]"
# A shorter value would be found inside ordinary words.
_VALUE_LENGTH_MIN = 6

_SECRET_NAME = r"[\w.-]{0,40}(?:pass(?:word|wd|phrase)?|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential|auth|cookie|session[_-]?id|dsn)[\w.-]{0,20}"  # noqa: S105 - a pattern
_NAMED = re.compile(_SECRET_NAME, re.IGNORECASE)
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # A block stays a block also where its end was cut off.
    (re.compile(r"-----BEGIN [A-Z ]{1,40}-----.*?(?:-----END [A-Z ]{1,40}-----|\Z)", re.DOTALL), MARK),
    (re.compile(r"(?i)\b(bearer|basic|digest|token)\s+[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {MARK}"),
    (
        re.compile(rf"(?i)([\"']?\b{_SECRET_NAME}[\"']?\s{{0,3}}[:=]\s{{0,3}})(\"[^\"\n]*\"|'[^'\n]*'|[^\s,;&]+)"),
        rf"\1{MARK}",
    ),
    (re.compile(r"\b([a-z][a-z0-9+.-]{1,20}://)[^\s/@]{1,256}@"), rf"\1{MARK}@"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?"), MARK),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"), MARK),
    (re.compile(r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|sk-|sk_live_|rk_live_|dgt_|AIza)[A-Za-z0-9_-]{8,}"), MARK),
    (re.compile(r"\bhooks\.slack\.com/services/\S+"), f"hooks.slack.com/services/{MARK}"),
    (re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}\b"), MARK),
)  # fmt: skip


class Redacted(NamedTuple):
    """What may leave, and how much did not: places taken out, and characters cut off at the front."""

    text: str
    places: int
    cut: int


def secret_values(environment: Mapping[str, str]) -> list[str]:
    """The values of variables whose names say that they are secret."""
    named = (name for name in environment if _NAMED.fullmatch(name) or name.upper().endswith("_KEY"))
    return [environment[name] for name in named]


def redact(
    text: str, own: Sequence[str] = (), values: Iterable[str] = (), *, bytes_max: int = BYTES_MAX
) -> Redacted:
    """The end of `text`, at most `bytes_max` bytes of UTF-8, without what looks like a secret."""
    places = 0
    for value in sorted({one for one in values if len(one) >= _VALUE_LENGTH_MIN}, key=len, reverse=True):
        places += text.count(value)
        text = text.replace(value, MARK)
    for pattern in own:
        text, found = re.subn(pattern, lambda _: MARK, text)
        places += found
    for compiled, replacement in _PATTERNS:
        text, found = compiled.subn(replacement, text)
        places += found
    # Cut last: a secret that is cut in two has no form any more.
    data = text.encode("utf-8", "replace")
    kept = data[max(0, len(data) - bytes_max) :].decode("utf-8", "ignore")
    return Redacted(kept, places, len(text) - len(kept))
