"""Errors a person can act on: a stable code, what happened, and what to do about it.

Denials are not errors; they are data (`dragons.authority.decide`).
"""

from __future__ import annotations


class DragonsError(Exception):
    """Broken input or broken storage.

    `code` is stable and machine readable, `fix` is one sentence that names the remedy,
    `status` is the HTTP status that the API answers with.
    """

    status = 400

    def __init__(self, code: str, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} Fix: {self.fix}" if self.fix else self.message


class InvalidInputError(DragonsError):
    """The input does not have the form that its specification demands."""

    status = 422


class NotFoundError(DragonsError):
    """The named object does not exist in the caller's tenant."""

    status = 404


class ConflictError(DragonsError):
    """The request contradicts what is already recorded."""

    status = 409


class ForbiddenError(DragonsError):
    """The caller is known but may not do this; `code` is the reason code."""

    status = 403


class UnauthenticatedError(DragonsError):
    """The caller did not prove who it is."""

    status = 401


class StorageError(DragonsError):
    """The store failed; nothing of the request was acknowledged."""

    status = 503
