"""What the agent needs from a governing session, and a stand-in for having none.

Promises: the agent's steps are written once against `Session`; the Dragons SDK
and `open_ungoverned_session` both fit it, so an ungoverned run does exactly the
same work without asking permission or leaving receipts.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class Action(Protocol):
    """One governed action while it is being carried out."""

    def add_evidence(self, name: str, source: Path | bytes, /) -> object: ...

    def set_result(self, result: Mapping[str, Any], /) -> object: ...


class Session(Protocol):
    """Grants or denies actions."""

    def action(
        self, capability: str, /, *, resource: str, arguments: Mapping[str, Any]
    ) -> AbstractContextManager[Action]: ...


class OpenSession(Protocol):
    """Opens a session for a stated goal."""

    def __call__(self, *, goal: str) -> AbstractContextManager[Session]: ...


@dataclass(frozen=True)
class Governance:
    """How to open a session, which error means "denied", and where its reason is."""

    open_session: OpenSession
    denied: type[Exception]
    reason: Callable[[Exception], str]


class NeverDeniedError(Exception):
    """Nothing raises this: without governance nothing is denied."""


class _UngovernedAction:
    def add_evidence(self, name: str, source: Path | bytes, /) -> None:
        """Keeps nothing: without a session there is no receipt to put it in."""

    def set_result(self, result: Mapping[str, Any], /) -> None:
        """Keeps nothing, for the same reason."""


class _UngovernedSession:
    @contextmanager
    def action(self, capability: str, /, *, resource: str, arguments: Mapping[str, Any]) -> Iterator[Action]:
        yield _UngovernedAction()


@contextmanager
def open_ungoverned_session(*, goal: str) -> Iterator[Session]:
    yield _UngovernedSession()


UNGOVERNED = Governance(open_ungoverned_session, NeverDeniedError, str)
