"""Short ways to say how something is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dragons.control.denials import Refused
from dragons.core.errors import DragonsError
from dragons.core.vocabulary import Reason


@contextmanager
def fails(kind: type[DragonsError], code: str) -> Iterator[None]:
    """The block raises exactly this error with this code, and tells what happened."""
    with pytest.raises(DragonsError) as caught:
        yield
    assert (type(caught.value), caught.value.code) == (kind, code)
    assert caught.value.message


def is_refused(found: object, reason: Reason, detail: str = "") -> bool:
    """True when a use case returned this denial; `detail` is a part of its own."""
    assert isinstance(found, Refused), found
    assert found.reason is reason, found
    assert detail in found.detail, found
    return True
