"""Decimal money as integers in minor units.

Promises: no float is ever involved, an amount is either converted exactly or
refused, and a currency whose number of decimals is not known is refused.
"""

import re

from model import InputError

# ISO 4217 decimals. A closed list: guessing "2" for an unknown code would be
# wrong by a factor of 100 or 10 for some real currencies.
MINOR_UNIT_DIGITS = {
    **dict.fromkeys(
        ("AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "HUF", "ILS", "INR"),
        2,
    ),
    **dict.fromkeys(
        ("MXN", "MYR", "NOK", "NZD", "PHP", "PLN", "RON", "SEK", "SGD", "THB", "TRY", "USD", "ZAR"),
        2,
    ),
    **dict.fromkeys(("BHD", "JOD", "KWD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLP", "ISK", "JPY", "KRW", "VND"), 0),
}

# ISO 20022 limits an amount to 18 digits, written without sign or grouping.
_AMOUNT = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,18}))?")


def check_currency(currency: str, where: str) -> str:
    """Return the code unchanged if its decimals are known."""
    if currency not in MINOR_UNIT_DIGITS:
        raise InputError(where, f"unknown currency {currency!r}")
    return currency


def parse_amount(text: str, currency: str, where: str) -> int:
    """Convert an unsigned decimal text to minor units, exactly."""
    digits = MINOR_UNIT_DIGITS[check_currency(currency, where)]
    found = _AMOUNT.fullmatch(text)
    if found is None:
        raise InputError(where, f"{text!r} is not an unsigned decimal amount")
    whole, fraction = found[1], (found[2] or "").rstrip("0")
    if len(fraction) > digits:
        raise InputError(where, f"{text!r} has more than the {digits} decimals of {currency}")
    return int(whole + fraction.ljust(digits, "0"))


def format_amount(amount_minor: int, currency: str) -> str:
    """Write minor units as a decimal text; the inverse of `parse_amount` plus a sign."""
    digits = MINOR_UNIT_DIGITS[currency]
    sign = "-" if amount_minor < 0 else ""
    text = str(abs(amount_minor)).rjust(digits + 1, "0")
    return f"{sign}{text[:-digits]}.{text[-digits:]}" if digits else f"{sign}{text}"


def signed(amount_minor: int, credit_debit: str, where: str) -> int:
    """Apply the ISO 20022 credit/debit indicator, seen from the account owner."""
    if credit_debit == "CRDT":
        return amount_minor
    if credit_debit == "DBIT":
        return -amount_minor
    raise InputError(where, f"{credit_debit!r} is neither CRDT nor DBIT")
