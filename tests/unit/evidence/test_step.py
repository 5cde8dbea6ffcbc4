from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragons.core.errors import InvalidInputError
from dragons.evidence.step import NAME_LENGTH_MAX, agent_step_key, dispatch_step_key
from tests.support.expect import fails

DISPATCH = "dsp_" + "1" * 32
NAMES = st.text(min_size=1, max_size=NAME_LENGTH_MAX).filter(lambda one: one.isprintable())


def test_the_key_is_the_digest_of_the_canonical_names() -> None:
    told = b'{"dispatch_id":"' + DISPATCH.encode() + b'","step":"post-17","task":"may"}'
    assert dispatch_step_key(DISPATCH, "may", "post-17") == hashlib.sha256(told).hexdigest()
    told = b'{"agent":"reconciler","step":"post-17","task":"may"}'
    assert agent_step_key("reconciler", "may", "post-17") == hashlib.sha256(told).hexdigest()


@given(NAMES, NAMES, NAMES, NAMES)
def test_different_steps_have_different_keys(task: str, step: str, task2: str, step2: str) -> None:
    same = (task, step) == (task2, step2)
    assert (dispatch_step_key(DISPATCH, task, step) == dispatch_step_key(DISPATCH, task2, step2)) is same
    assert dispatch_step_key(DISPATCH, task, step) != agent_step_key(DISPATCH, task, step)


@pytest.mark.parametrize(("task", "step"), [("", "s"), ("t", ""), ("t" * 201, "s"), ("t", "s" * 201)])
def test_names_have_a_length(task: str, step: str) -> None:
    with fails(InvalidInputError, "step_malformed"):
        dispatch_step_key(DISPATCH, task, step)
    with fails(InvalidInputError, "step_malformed"):
        agent_step_key("reconciler", task, step)
