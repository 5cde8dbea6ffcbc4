"""Erasure: the ledger learns that payloads were destroyed. The receipts, and their hashes, stay."""

from __future__ import annotations

from dragons.control.caller import Caller
from dragons.control.ports import Appended, Transaction
from dragons.control.statements import check_date, take_operator_statement
from dragons.core.clock import parse_time
from dragons.core.errors import NotFoundError
from dragons.core.statement import Envelope
from dragons.core.vocabulary import Kind
from dragons.evidence.receipt import ERASURE, Erasure


def erase(tx: Transaction, caller: Caller, statement: Envelope) -> Appended:
    """Record an operator's erasure; NotFoundError when a named receipt does not exist.

    The payloads are in the tenant's own store; whoever holds it destroys them after this receipt.
    """
    body, _ = take_operator_statement(tx, caller, statement, ERASURE, Erasure)
    check_date("erased_at", parse_time(body.erased_at), tx.now_ms)
    for receipt_id in body.receipts:
        if tx.receipt(caller.tenant_id, receipt_id) is None:
            raise NotFoundError("receipt_missing", f"There is no receipt {receipt_id}.")
    return tx.append(caller.tenant_id, Kind.ERASED, statement)
