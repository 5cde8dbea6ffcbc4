"""Exit codes, and the one form of every error: what happened, then what to do about it.

A script can rely on the codes (docs/cli.md). Never prints a traceback for something a person can mend,
and never writes an error to standard output.
"""

from __future__ import annotations

import errno
import json
import sys
from enum import IntEnum
from typing import NamedTuple

from dragons.core.errors import (
    DragonsError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    StorageError,
    UnauthenticatedError,
)
from dragons.core.vocabulary import Reason
from dragons.wire.remedies import remedy_of


class Exit(IntEnum):
    """What a command says by its exit code."""

    OK = 0
    NO = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_ALLOWED = 4
    UNREACHABLE = 5
    STORAGE = 6
    IDENTITY = 7


MEANINGS: dict[Exit, str] = {
    Exit.OK: "done; for a verdict: it holds",
    Exit.NO: "the answer is no: a failed verdict, a denial, a conflict with the record",
    Exit.USAGE: "the command or its input is malformed",
    Exit.NOT_FOUND: "the named thing does not exist",
    Exit.NOT_ALLOWED: "not authenticated, or not allowed to ask",
    Exit.UNREACHABLE: "the control plane can't be reached, or asks to slow down",
    Exit.STORAGE: "storage failed; nothing was acknowledged",
    Exit.IDENTITY: "refused identity: the manifest is not the one on the record",
}

SHORT_MEANINGS: dict[Exit, str] = {
    Exit.OK: "ok",
    Exit.NO: "failed verdict or denied",
    Exit.USAGE: "usage",
    Exit.NOT_FOUND: "not found",
    Exit.NOT_ALLOWED: "not authenticated or not allowed",
    Exit.UNREACHABLE: "control plane unreachable",
    Exit.STORAGE: "storage",
    Exit.IDENTITY: "refused identity",
}

# What helps where an error brings no remedy of its own.
_USUAL_FIXES: dict[int, str] = {
    Exit.NO: "Look at what is recorded; `dragons receipts list` shows the newest.",
    Exit.USAGE: "Correct the input; the command's --help shows an example.",
    Exit.NOT_FOUND: "Check the name; the `list` command of its noun shows what exists.",
    Exit.NOT_ALLOWED: "Use a token that may: `dragons tokens list` shows the roles.",
    Exit.UNREACHABLE: "Try again in a moment; `dragons doctor` looks deeper.",
    Exit.STORAGE: "Run `dragons doctor` on the control plane's machine.",
    Exit.IDENTITY: "Register and activate what you want to run: `dragons manifests register DIR --activate`.",
}

# The program was measured, and it is not what was authorized.
IDENTITY_CODES = frozenset({Reason.MANIFEST_UNRECORDED, Reason.MANIFEST_MISMATCH, Reason.VERSION_INACTIVE})
# What the SDK says when no answer came; a proxy's 502 and 504 mean the same.
UNREACHABLE_CODES = frozenset({"unreachable", "control_plane_unreachable", "timeout"})

_BY_TYPE: tuple[tuple[type[DragonsError], Exit], ...] = (
    (NotFoundError, Exit.NOT_FOUND),
    (UnauthenticatedError, Exit.NOT_ALLOWED),
    (InvalidInputError, Exit.USAGE),
    (StorageError, Exit.STORAGE),
)
_BY_STATUS = {
    401: Exit.NOT_ALLOWED,
    404: Exit.NOT_FOUND,
    413: Exit.USAGE,
    422: Exit.USAGE,
    429: Exit.UNREACHABLE,
    502: Exit.UNREACHABLE,
    503: Exit.STORAGE,
    504: Exit.UNREACHABLE,
}


class Failure(NamedTuple):
    """An error as it is told: `exit` is the process's exit code."""

    code: str
    message: str
    fix: str
    exit: int


# The same codes as the store's own, whichever file is the first that can't be written.
_FILE_FAILURES = {
    errno.EROFS: ("storage_read_only", "Make the place writable for this user, or choose another."),
    errno.ENOSPC: ("storage_full", "Free space on the disk, then try again."),
    errno.EDQUOT: ("storage_full", "Free space within the quota, then try again."),
}


def failure_of(error: DragonsError | OSError) -> Failure:
    """How `error` is told."""
    if isinstance(error, DragonsError):
        code = exit_of(error)
        return Failure(error.code, error.message, remedy_of(error) or _USUAL_FIXES[code], code)
    if isinstance(error, FileNotFoundError):
        return Failure("file_missing", f"There is no {error.filename}.", "Check the path.", Exit.NOT_FOUND)
    place = f"{error.filename}: " if error.filename else ""
    name, fix = _FILE_FAILURES.get(error.errno or 0, ("file_failed", "Check permissions and free space."))
    return Failure(name, f"{place}{error.strerror or error}.", fix, Exit.STORAGE)


def exit_of(error: DragonsError) -> Exit:
    """The exit code of `error`: by its reason code first, then by its kind."""
    if error.code in IDENTITY_CODES:
        return Exit.IDENTITY
    if error.code in UNREACHABLE_CODES:
        return Exit.UNREACHABLE
    for kind, code in _BY_TYPE:
        if isinstance(error, kind):
            return code
    if isinstance(error, ForbiddenError) or error.status == 403:  # noqa: PLR2004 - HTTP Forbidden
        # A reason code means that authority was weighed and denied; anything else, that one may not ask.
        return Exit.NO if error.code in set(Reason) else Exit.NOT_ALLOWED
    return _BY_STATUS.get(error.status, Exit.NO)


def tell(failure: Failure, *, as_json: bool) -> int:
    """Write `failure` to standard error; returns the exit code."""
    if as_json:
        value = {
            "code": failure.code,
            "message": failure.message,
            "fix": failure.fix,
            "exit": int(failure.exit),
        }
        sys.stderr.write(json.dumps({"error": value}) + "\n")
        return int(failure.exit)
    sys.stderr.write(f"error: {failure.message} [{failure.code}]\n")
    if failure.fix:
        sys.stderr.write(f"fix: {failure.fix}\n")
    return int(failure.exit)
