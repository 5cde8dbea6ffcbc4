"""The unit of authority, `verb:resource`, and sets of it.

There are no wildcards: a set is a subset of another exactly when every name in it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

import msgspec

from dragons.core.errors import InvalidInputError

CAPABILITY_PATTERN = r"^[a-z][a-z0-9_-]{0,31}:[a-z0-9][a-z0-9_./-]{0,94}$(?!\n)"
SCOPE_MAX = 256

Capability = Annotated[str, msgspec.Meta(pattern=CAPABILITY_PATTERN, max_length=128)]
Scope = Annotated[list[Capability], msgspec.Meta(max_length=SCOPE_MAX)]

_CAPABILITY = re.compile(CAPABILITY_PATTERN, re.ASCII)


def check_capability(text: str) -> str:
    """`text` itself when it is a capability; InvalidInputError otherwise."""
    if _CAPABILITY.fullmatch(text) is None or text.endswith("\n"):
        raise InvalidInputError(
            "capability_malformed",
            f"{text!r} is not a capability.",
            fix="Write verb:resource in lower case, for example read:payments.",
        )
    return text


def scope_of(names: Iterable[str]) -> list[str]:
    """A scope in its one canonical form: valid, distinct, sorted names."""
    scope = sorted({check_capability(name) for name in names})
    if len(scope) > SCOPE_MAX:
        raise InvalidInputError("scope_too_large", f"A scope names at most {SCOPE_MAX} capabilities.")
    return scope


def check_scope_form(scope: list[str]) -> None:
    """InvalidInputError unless `scope` is sorted and without repetition."""
    if scope != sorted(set(scope)):
        raise InvalidInputError("scope_unsorted", "A scope lists distinct capabilities in sorted order.")
