from __future__ import annotations

import errno
import json

import pytest

from dragons.cli.exits import (
    IDENTITY_CODES,
    MEANINGS,
    SHORT_MEANINGS,
    Exit,
    Failure,
    exit_of,
    failure_of,
    tell,
)
from dragons.core import errors
from dragons.core.vocabulary import Reason
from dragons.sdk.errors import ActionDenied, ControlPlaneUnreachable, LimitedError, UnexpectedAnswerError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidInputError("x", "m"), 2),
        (errors.NotFoundError("x", "m"), 3),
        (errors.UnauthenticatedError("token_invalid", "m"), 4),
        (errors.ForbiddenError("signer_not_valid", "m"), 4),
        (errors.ForbiddenError(Reason.CAPABILITY_NOT_DOCKED.value, "m"), 1),
        (errors.ForbiddenError(Reason.MANIFEST_UNRECORDED.value, "m"), 7),
        (errors.ForbiddenError(Reason.VERSION_INACTIVE.value, "m"), 7),
        (errors.NotFoundError(Reason.MANIFEST_MISMATCH.value, "m"), 7),
        (errors.ConflictError("version_conflict", "m"), 1),
        (errors.StorageError("store_failed", "m"), 6),
        (ControlPlaneUnreachable("http://127.0.0.1:1", "refused", maybe_recorded=False), 5),
        (LimitedError("rate_limited", "m"), 5),
        (UnexpectedAnswerError("http://127.0.0.1:1", "status 502"), 5),
        (ActionDenied(Reason.LEASE_EXPIRED, "lse"), 1),
    ],
)
def test_each_error_has_its_exit_code(error: errors.DragonsError, code: int) -> None:
    assert exit_of(error) == code
    failure = failure_of(error)
    assert failure.exit == code
    assert failure.fix


def test_an_errors_own_remedy_wins() -> None:
    assert failure_of(errors.NotFoundError("x", "m", fix="Do this.")).fix == "Do this."


def test_every_code_is_explained() -> None:
    assert set(MEANINGS) == set(SHORT_MEANINGS) == set(Exit)
    assert [int(code) for code in Exit] == list(range(8))


def test_identity_codes_are_reasons() -> None:
    assert set(Reason) >= IDENTITY_CODES


def test_a_missing_file_is_not_found() -> None:
    failure = failure_of(FileNotFoundError(errno.ENOENT, "No such file", "a.yaml"))
    assert failure.exit == Exit.NOT_FOUND
    assert "a.yaml" in failure.message


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (errno.ENOSPC, "storage_full", "Free space"),
        (errno.EDQUOT, "storage_full", "quota"),
        (errno.EROFS, "storage_read_only", "writable"),
        (errno.EACCES, "file_failed", "permissions"),
    ],
)
def test_a_disk_that_takes_nothing_is_storage(number: int, code: str, words: str) -> None:
    failure = failure_of(OSError(number, "It failed", "x"))
    assert (failure.exit, failure.code) == (Exit.STORAGE, code)
    assert failure.message == "x: It failed."
    assert words in failure.fix


def test_an_error_is_two_lines_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert tell(Failure("lease_expired", "It ended.", "Renew it.", 1), as_json=False) == 1
    out, err = capsys.readouterr()
    assert not out
    assert err == "error: It ended. [lease_expired]\nfix: Renew it.\n"


def test_without_a_remedy_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    tell(Failure("x", "It ended.", "", 1), as_json=False)
    assert capsys.readouterr().err == "error: It ended. [x]\n"


def test_an_error_as_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert tell(Failure("x", 'a "quote"', "f", 3), as_json=True) == 3
    out, err = capsys.readouterr()
    assert not out
    assert json.loads(err) == {"error": {"code": "x", "message": 'a "quote"', "fix": "f", "exit": 3}}
