from __future__ import annotations

import msgspec
import pytest

from dragons.core.canonical import decode, encode
from dragons.core.errors import InvalidInputError
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.statement import sign
from dragons.core.vocabulary import Reason
from dragons.liveness.dispatch import DISPATCH_ORDER, PROCESS, WEBHOOK, Dispatch, is_node_name, refuse_beyond
from tests.support.expect import fails

DISPATCH = Dispatch(
    dispatch_id="dsp_" + "0" * 32,
    tenant_id="tnt_" + "0" * 32,
    agent="reconciler",
    dispatcher=PROCESS,
    target="node-1.example",
    scope=["read:payments", "write:ledger"],
    ttl_seconds=900,
    goal_hash="ab" * 32,
    spec_hash="cd" * 32,
    created_at="2026-11-20T08:00:00.000Z",
)


def changed(**changes: object) -> Dispatch:
    return msgspec.structs.replace(DISPATCH, **changes)


@pytest.mark.parametrize(
    "changes", [{}, {"dispatcher": WEBHOOK, "target": "deployments"}, {"scope": []}, {"target": "0" * 63}]
)
def test_a_dispatch_is_one_form_and_is_signed(changes: dict[str, object]) -> None:
    one = changed(**changes)
    assert decode(Dispatch, encode(one)) == one
    signed = sign(DISPATCH_ORDER, one, LocalSigner.generate(KeyRole.OPERATOR))
    assert signed.body(DISPATCH_ORDER, Dispatch) == one


@pytest.mark.parametrize(
    "changes",
    [
        {"dispatcher": "cron"},
        {"dispatcher": "process\n"},
        {"target": ""},
        {"target": "Node"},
        {"target": "../node"},
        {"target": "node\n"},
        {"target": "n" * 64},
        {"agent": "*"},
        {"agent": ""},
        {"ttl_seconds": 0},
        {"ttl_seconds": 30 * 24 * 3600 + 1},
        {"goal_hash": "ab"},
        {"spec_hash": "ab" * 33},
        {"dispatch_id": "dsp_"},
        {"created_at": "now"},
    ],
)
def test_a_dispatch_outside_its_bounds_is_none(changes: dict[str, object]) -> None:
    with fails(InvalidInputError, "document_malformed"):
        decode(Dispatch, encode(changed(**changes)))


def test_a_dispatch_has_no_place_for_goal_or_command() -> None:
    told = encode(DISPATCH)
    with fails(InvalidInputError, "document_malformed"):
        decode(Dispatch, told.replace(b'"goal_hash"', b'"goal":"reconcile","goal_hash"'))


@pytest.mark.parametrize(
    ("scope", "handed_on", "length_ms", "reason"),
    [
        (["read:payments", "write:ledger"], [], 900_000, None),
        (["read:payments"], ["write:ledger"], 1, None),
        ([], [], 900_000, None),
        (["read:payments", "send:email"], [], 1, Reason.SCOPE_EXCEEDED),
        (["read:payments"], ["send:email"], 1, Reason.SCOPE_EXCEEDED),
        (["read:payments"], [], 900_001, Reason.TTL_EXCEEDED),
        (["send:email"], [], 900_001, Reason.SCOPE_EXCEEDED),
    ],
)
def test_a_lease_keeps_to_the_order(
    scope: list[str], handed_on: list[str], length_ms: int, reason: Reason | None
) -> None:
    wrong = refuse_beyond(DISPATCH, scope, handed_on, length_ms)
    assert (None if wrong is None else wrong.reason) is reason
    assert refuse_beyond(DISPATCH, [], [], 900_001) is not None


def test_an_order_that_names_no_scope_leaves_it_to_dock_and_manifest() -> None:
    open_order = changed(scope=[])
    assert refuse_beyond(open_order, ["send:email"], ["write:ledger"], 900_000) is None
    wrong = refuse_beyond(open_order, ["send:email"], [], 900_001)
    assert wrong is not None
    assert wrong.detail == "the dispatch was ordered with 900 s"


@pytest.mark.parametrize(
    ("text", "named"), [("node-1.example", True), ("0", True), ("", False), ("a b", False), ("a\n", False)]
)
def test_a_node_has_a_name_without_surprises(text: str, *, named: bool) -> None:
    assert is_node_name(text) is named
