"""Load `config.json`.

Promises: every setting is present, of the right type and known; a misspelt key
is an error, not a silently ignored setting.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from model import InputError
from money import check_currency


@dataclass(frozen=True)
class Tolerances:
    """How far a bank entry may be from its payment."""

    window_days: int
    fee_max_minor: Mapping[str, int]
    reference_pattern: str


@dataclass(frozen=True)
class Accounts:
    """Names of the ledger accounts; the bank account's IBAN is appended to `bank`."""

    bank: str
    receivables: str
    payables: str
    bank_fees: str
    unmatched: str
    amount_differences: str
    duplicates: str


@dataclass(frozen=True)
class Config:
    """All settings of the reconciler."""

    tolerances: Tolerances
    accounts: Accounts
    payment_margin_days: int
    statement_size_max_bytes: int
    notify_address: str


_KEYS = {
    "window_days": int,
    "payment_margin_days": int,
    "fee_max_minor": dict,
    "reference_pattern": str,
    "statement_size_max_bytes": int,
    "notify_address": str,
    "accounts": dict,
}


def load_config(path: Path) -> Config:
    """Read and check the settings file."""
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise InputError(path.name, f"not a readable settings file: {exc}") from exc
    if not isinstance(settings, dict):
        raise InputError(path.name, "the settings must be a JSON object")
    _check_types(settings, _KEYS, path.name)
    for currency, fee_minor in settings["fee_max_minor"].items():
        where = f"{path.name}, fee_max_minor"
        _check_types({currency: fee_minor}, {check_currency(currency, where): int}, where)
    account_keys = {field.name: str for field in fields(Accounts)}
    _check_types(settings["accounts"], account_keys, f"{path.name}, accounts")
    if settings["payment_margin_days"] < settings["window_days"]:
        raise InputError(path.name, "payment_margin_days must not be less than window_days")
    try:
        re.compile(settings["reference_pattern"])
    except re.error as exc:
        raise InputError(path.name, f"reference_pattern is not a pattern: {exc}") from exc
    return Config(
        tolerances=Tolerances(
            window_days=settings["window_days"],
            fee_max_minor=settings["fee_max_minor"],
            reference_pattern=settings["reference_pattern"],
        ),
        accounts=Accounts(**settings["accounts"]),
        payment_margin_days=settings["payment_margin_days"],
        statement_size_max_bytes=settings["statement_size_max_bytes"],
        notify_address=settings["notify_address"],
    )


def _check_types(settings: Mapping[str, Any], keys: Mapping[str, type], where: str) -> None:
    if set(settings) != set(keys):
        differing = ", ".join(sorted(set(settings) ^ set(keys)))
        raise InputError(where, f"missing or unknown settings: {differing}")
    for key, kind in keys.items():
        value = settings[key]
        # bool is an int in Python; `true` is no number of days.
        if not isinstance(value, kind) or isinstance(value, bool):
            raise InputError(where, f"{key} must be of type {kind.__name__}")
        if isinstance(value, int) and value < 0:
            raise InputError(where, f"{key} must not be negative")
