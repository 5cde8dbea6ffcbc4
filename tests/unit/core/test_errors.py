"""Errors say what happened, what to do, and how an API answers."""

from __future__ import annotations

import pytest

from dragons.core import errors

STATUS = {
    "DragonsError": 400,
    "InvalidInputError": 422,
    "NotFoundError": 404,
    "ConflictError": 409,
    "ForbiddenError": 403,
    "UnauthenticatedError": 401,
    "StorageError": 503,
}


@pytest.mark.parametrize(("name", "status"), STATUS.items())
def test_every_error_has_its_status(name: str, status: int) -> None:
    kind = getattr(errors, name)
    error = kind("some_code", "It broke.", fix="Mend it.")
    assert isinstance(error, errors.DragonsError)
    assert error.status == status
    assert (error.code, error.message, error.fix) == ("some_code", "It broke.", "Mend it.")


def test_no_error_is_missing_here() -> None:
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert defined == set(STATUS)


def test_the_remedy_is_part_of_the_text_when_there_is_one() -> None:
    assert str(errors.DragonsError("c", "It broke.", fix="Mend it.")) == "It broke. Fix: Mend it."
    assert str(errors.DragonsError("c", "It broke.")) == "It broke."
