"""What tells us that a bank entry and a payment mean the same transfer.

Promises: identifiers come out in one normal form, with the strongest first;
the strongest identifier known on both sides decides whether they contradict.
Keys have the form `kind:value`.
"""

import re
import unicodedata

from model import Payment, StatementEntry

_NOT_ALPHANUMERIC = re.compile(r"[^0-9A-Z]+")
# Letters without a Unicode decomposition that banks still write in plain Latin.
_PLAIN_LETTERS = str.maketrans({"ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "æ": "ae"})


class Identity:
    """Extracts comparable identifiers; `reference_pattern` finds references in free text."""

    def __init__(self, reference_pattern: str) -> None:
        self._pattern = re.compile(reference_pattern, re.IGNORECASE)

    def end_to_end_ids(self, item: StatementEntry | Payment) -> list[str]:
        return [f"end_to_end_id:{item.end_to_end_id}"] if item.end_to_end_id else []

    def entry_references(self, entry: StatementEntry) -> list[str]:
        found = (normal_reference(hit[0]) for hit in self._pattern.finditer(entry.remittance))
        return [f"reference:{reference}" for reference in dict.fromkeys(found)]

    def payment_references(self, payment: Payment) -> list[str]:
        reference = normal_reference(payment.reference)
        return [f"reference:{reference}"] if reference else []

    def entry_identifiers(self, entry: StatementEntry) -> list[str]:
        return self.end_to_end_ids(entry) + self.entry_references(entry)

    def payment_identifiers(self, payment: Payment) -> list[str]:
        return self.end_to_end_ids(payment) + self.payment_references(payment)

    def entry_evidence(self, entry: StatementEntry) -> list[str]:
        return self.entry_identifiers(entry) + _party(entry)

    def payment_evidence(self, payment: Payment) -> list[str]:
        return self.payment_identifiers(payment) + _party(payment)

    def contradict(self, entry: StatementEntry, payment: Payment) -> bool:
        """Whether the strongest identifier that both sides carry differs."""
        if entry.end_to_end_id and payment.end_to_end_id:
            return entry.end_to_end_id != payment.end_to_end_id
        entry_references = self.entry_references(entry)
        payment_references = self.payment_references(payment)
        if entry_references and payment_references:
            return not set(entry_references) & set(payment_references)
        # A known name with another account is a different payee until proven otherwise.
        ibans = {entry.counterparty_iban, payment.counterparty_iban}
        return "" not in ibans and len(ibans) == 2


def normal_reference(text: str) -> str:
    """`inv 2025/00123` and `INV-2025-00123` are one reference."""
    return _NOT_ALPHANUMERIC.sub("", text.upper())


def normal_name(text: str) -> str:
    """Upper-case Latin letters and digits only: banks strip accents and punctuation."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_PLAIN_LETTERS))
    plain = "".join(c for c in decomposed if not unicodedata.combining(c))
    return _NOT_ALPHANUMERIC.sub("", plain.upper())


def _party(item: StatementEntry | Payment) -> list[str]:
    keys = [f"iban:{item.counterparty_iban}"] if item.counterparty_iban else []
    name = normal_name(item.counterparty)
    return [*keys, f"name:{name}"] if name else keys
