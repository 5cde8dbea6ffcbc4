"""Receipts as a control plane would show them, made by hand."""

from __future__ import annotations

from typing import Any

from dragons.core.hashing import sha256_hex
from dragons.evidence.payload import commit
from dragons.node.playbook.record import Fact
from dragons.sdk.localstore import LocalStore
from dragons.wire.evidence import Receipts, ReceiptView

INSTANCE, SESSION = "i" * 32, "ses_" + "1" * 32


def view(seq: int, kind: str = "work", store: LocalStore | None = None, **header: Any) -> ReceiptView:
    """A receipt; `payload` is committed to, and kept in `store`."""
    payload = header.pop("payload", None)
    if payload is not None:
        made = commit(payload)
        header["payload_hash"] = made.payload_hash
        if store is not None:
            store.commit([made], [])
    return ReceiptView(
        receipt_id=f"rcp_{seq:032x}",
        seq=seq,
        kind=kind,
        issued_at=f"2026-11-21T14:00:{seq % 60:02d}.000Z",
        chain_root=sha256_hex(str(seq).encode()),
        header=header,
    )


def fact(seq: int, action: str = "", outcome: str = "", *, kind: str = "work", **more: Any) -> Fact:
    """A receipt with its payload: `arguments`, `result`, `error` and `reason` of an action."""
    arguments = more.pop("arguments", {})
    ending = {name: more.pop(name) for name in ("result", "error", "reason") if name in more}
    found = view(seq, kind, action=action, outcome=outcome, **more)
    payload = {"action": {"arguments": arguments}, "outcome": ending}
    return Fact(*(getattr(found, name) for name in Fact._fields[:-1]), payload)


class Readable:
    """A control plane whose receipts are these, in pages of two."""

    def __init__(self, *views: ReceiptView) -> None:
        self.views = views

    def receipts(
        self,
        after: int = -1,
        *,
        limit: int = 100,
        agent: str = "",
        session_id: str = "",
        kind: str = "",
        newest: bool = False,
    ) -> Receipts:
        found = [
            one
            for one in self.views
            if one.seq > after
            and session_id in {"", one.header.get("session_id")}
            and agent in {"", str(one.header.get("agent", "")).partition("@")[0]}
            and kind in {"", one.kind}
        ]
        if newest:
            return Receipts(receipts=found[::-1][:limit], next_after=-1)
        page = found[:2]
        return Receipts(receipts=page, next_after=page[-1].seq if len(found) > 2 else -1)
