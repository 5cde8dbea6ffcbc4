"""One governed action while it is carried out: what it is about, what it used, what came of it.

Everything that goes into the receipt's payload is checked when it is handed over, so that an action
whose effect happened can always be recorded. Keeps digests of evidence, never the evidence.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dragons.core.canonical import canonical
from dragons.core.capability import check_capability
from dragons.core.errors import InvalidInputError
from dragons.core.vocabulary import Outcome
from dragons.evidence.receipt import EVIDENCE_MAX
from dragons.sdk.errors import SessionStateError
from dragons.sdk.statements import Evidence

ARGUMENTS_BYTES_MAX = 250_000
RESULT_BYTES_MAX = 500_000
TEXT_LENGTH_MAX = 4_000
NAME_LENGTH_MAX = 200
_CHUNK_BYTES = 1 << 20


class Action:
    """What the body of `with session.action(...) as act` holds."""

    def __init__(self, capability: str, resource: str, arguments: Mapping[str, Any]) -> None:
        self.capability = check_capability(capability)
        self.resource = _text("resource", resource)
        self.arguments = checked("arguments", arguments, ARGUMENTS_BYTES_MAX)
        self.evidence: list[Evidence] = []
        self.result: dict[str, Any] | None = None
        self.decision_id = ""
        self.started_ms = 0
        self.started_boot_ms = 0
        self.open = False

    def add_evidence(self, name: str, source: Path | str | bytes, /) -> str:
        """Record the SHA-256 of a file or of bytes under `name`; returns it as hex."""
        self._check_open()
        if len(self.evidence) >= EVIDENCE_MAX:
            raise InvalidInputError(
                "evidence_too_much",
                f"An action has at most {EVIDENCE_MAX} pieces of evidence.",
                fix="Split the action, or add the digest of a list.",
            )
        if not 0 < len(name) <= NAME_LENGTH_MAX:
            raise InvalidInputError("name_malformed", f"A name has 1 to {NAME_LENGTH_MAX} characters.")
        found = digest_of(name, source)
        self.evidence.append(found)
        return found.sha256

    def set_result(self, result: Mapping[str, Any], /) -> None:
        """What came of it: names to texts, whole numbers, booleans, lists and mappings."""
        self._check_open()
        self.result = checked("result", result, RESULT_BYTES_MAX)

    def begin(self, plane_ms: int, boot_ms: int, decision_id: str) -> None:
        """The action was allowed and starts now."""
        self.started_ms, self.started_boot_ms, self.decision_id = plane_ms, boot_ms, decision_id
        self.open = True

    def ending(self, error: BaseException | None) -> tuple[Outcome, dict[str, Any]]:
        """Outcome and payload of the end; a result that was set before the failure stays."""
        self.open = False
        ending: dict[str, Any] = {} if self.result is None else {"result": self.result}
        if error is not None:
            return Outcome.FAILED, ending | {"error": describe(error)}
        return Outcome.COMPLETED, ending

    def _check_open(self) -> None:
        if not self.open:
            raise SessionStateError("action_over", f"{self.capability} is not being carried out.")


def checked(what: str, value: Mapping[str, Any], bytes_max: int) -> dict[str, Any]:
    """A copy of `value` when it is plain and small enough; InvalidInputError otherwise."""
    plain: dict[str, Any] = _copy(value)
    try:
        size = len(canonical(plain))
    except InvalidInputError as error:
        raise InvalidInputError(
            error.code,
            f"The {what} can't be recorded. {error.message}",
            fix="Use texts, whole numbers, booleans, lists and mappings; leave out what is absent.",
        ) from error
    if size > bytes_max:
        raise InvalidInputError(
            "payload_too_large",
            f"The {what} has {size} bytes; the limit is {bytes_max}.",
            fix="Store the data elsewhere and add its digest as evidence.",
        )
    return plain


def digest_of(name: str, source: Path | str | bytes) -> Evidence:
    """Name, digest and size of bytes or of a file's contents."""
    if isinstance(source, bytes):
        return Evidence(name, hashlib.sha256(source).hexdigest(), len(source))
    digest, size = hashlib.sha256(), 0
    with Path(source).open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return Evidence(name, digest.hexdigest(), size)


def describe(error: BaseException) -> dict[str, str]:
    """Type and message of an exception, for the payload only: messages quote data."""
    text = str(error)[:TEXT_LENGTH_MAX].encode("utf-8", "replace").decode()
    return {"type": type(error).__name__[:NAME_LENGTH_MAX], "message": text}


def check_governed(function: Callable[..., object], *, awaited: bool) -> None:
    """InvalidInputError when the body of `function` would run after its action has ended."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        fix = "Use `session.action(...)` inside of it."
    elif inspect.iscoroutinefunction(function) and not awaited:
        fix = "Use a session of `dragons.sdk.aio`."
    else:
        return
    raise InvalidInputError(
        "function_deferred", "The function's body runs after its call has returned.", fix=fix
    )


def call_arguments(
    function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The arguments of a call by name, for the record; what is not plain is named by its type."""
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    named = {name: value for name, value in bound.arguments.items() if name not in {"self", "cls"}}
    return {name: _plain_or_type(value) for name, value in named.items()}


def return_value(value: object) -> dict[str, Any] | None:
    """What a governed function returned, where that is plain."""
    if isinstance(value, Mapping):
        plain = _copy(value)
        return plain if _is_plain(plain) else None
    return {"returned": value} if value is not None and _is_plain(value) else None


def _plain_or_type(value: object) -> object:
    copied = _copy(value) if isinstance(value, Mapping) else value
    if isinstance(copied, tuple):
        copied = list(copied)
    return copied if _is_plain(copied) else f"<{type(value).__name__}>"


def _is_plain(value: object) -> bool:
    try:
        return len(canonical(value)) <= ARGUMENTS_BYTES_MAX
    except InvalidInputError:
        return False


def _copy(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    # A copy, so that what the agent does with its own objects afterwards changes no record.
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copy(item) for item in value]
    return value


def _text(what: str, text: str) -> str:
    if len(text) > TEXT_LENGTH_MAX:
        raise InvalidInputError("text_too_long", f"The {what} has more than {TEXT_LENGTH_MAX} characters.")
    checked(what, {"text": text}, ARGUMENTS_BYTES_MAX)
    return text
