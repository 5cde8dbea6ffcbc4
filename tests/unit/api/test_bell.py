"""The bell wakes listeners, counts them, and stops."""

from __future__ import annotations

import pytest

from dragons.api.bell import Bell
from dragons.api.problems import LimitError


def test_a_ring_reaches_everyone() -> None:
    bell = Bell(2)
    first, second = bell.join(), bell.join()
    bell.ring()
    assert first.is_set()
    assert second.is_set()


def test_who_left_is_not_woken_and_frees_a_place() -> None:
    bell = Bell(1)
    first = bell.join()
    with pytest.raises(LimitError) as caught:
        bell.join()
    assert caught.value.code == "feeds_exhausted"
    assert caught.value.retry_seconds
    bell.leave(first)
    second = bell.join()
    bell.ring()
    assert not first.is_set()
    assert second.is_set()


def test_a_limit_has_its_name() -> None:
    bell = Bell(0, code="nodes_exhausted", what="nodes wait", setting="DRAGONS_NODES_MAX")
    with pytest.raises(LimitError) as caught:
        bell.join()
    assert (caught.value.code, caught.value.message) == ("nodes_exhausted", "0 nodes wait already.")
    assert "DRAGONS_NODES_MAX" in caught.value.fix


def test_stopping_wakes_and_stays() -> None:
    bell = Bell(1)
    event = bell.join()
    bell.stop()
    assert event.is_set()
    assert bell.stopped
