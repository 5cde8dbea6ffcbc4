"""Verdicts: seven separate answers about a pack, each with the first receipt that spoils it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Question(StrEnum):
    """What is judged, separately."""

    INTEGRITY = "integrity"
    SIGNER = "signer"
    AUTHORITY = "authority"
    COMPLETENESS = "completeness"
    TIME = "time"
    WITNESSES = "witnesses"
    REDACTION = "redaction"


class Status(StrEnum):
    """`NOT_ASKED` is neither good nor bad: nobody asked for witnesses."""

    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    NOT_ASKED = "not_asked"


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing wrong. `index` counts the pack's receipts from 0, `seq` is its ledger place.

    Both are None when no single receipt is to blame.
    """

    code: str
    detail: str
    index: int | None = None
    seq: int | None = None


@dataclass(slots=True)
class Verdict:
    """One answer; `facts` are counts worth showing."""

    status: Status = Status.PASS
    fault: Fault | None = None
    facts: dict[str, int] = field(default_factory=dict)

    def fail(self, fault: Fault) -> None:
        """Record `fault` unless an earlier receipt already spoiled the verdict.

        Of several at one receipt the code that sorts first is kept, so that the answer does not
        depend on the order in which signatures happened to be checked.
        """
        self.status = Status.FAIL
        if self.fault is None or _order(fault) < _order(self.fault):
            self.fault = fault


@dataclass(slots=True)
class Report:
    """What a verifier found. `valid` is True only when every asked-for verdict passes."""

    pinned: str
    tenant_id: str = ""
    pack_id: str = ""
    selection: dict[str, Any] = field(default_factory=dict)
    receipts: int = 0
    selected: int = 0
    tree_size: int = 0
    root: str = ""
    exported_at: str = ""
    verdicts: dict[Question, Verdict] = field(
        default_factory=lambda: {question: Verdict() for question in Question}
    )

    def fail(self, question: Question, fault: Fault) -> None:
        """Record a fault against one verdict."""
        self.verdicts[question].fail(fault)

    @property
    def valid(self) -> bool:
        return self.receipts > 0 and all(v.status is not Status.FAIL for v in self.verdicts.values())

    def to_json(self) -> dict[str, Any]:
        """Plain values for `-o json`; the same shape that the page in the pack shows."""
        return {
            "valid": self.valid,
            "pinned_root": self.pinned,
            "tenant_id": self.tenant_id,
            "pack_id": self.pack_id,
            "selection": self.selection,
            "receipts": self.receipts,
            "selected": self.selected,
            "tree_size": self.tree_size,
            "root": self.root,
            "exported_at": self.exported_at,
            "verdicts": {question.value: _verdict_json(v) for question, v in self.verdicts.items()},
        }


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    value: dict[str, Any] = {"status": verdict.status.value}
    if verdict.facts:
        value["facts"] = verdict.facts
    if verdict.fault is not None:
        fault = verdict.fault
        value["first_offending"] = {"index": fault.index, "seq": fault.seq}
        value["code"] = fault.code
        value["detail"] = fault.detail
    return value


def _order(fault: Fault) -> tuple[float, str, str]:
    return (float("inf") if fault.index is None else fault.index, fault.code, fault.detail)
