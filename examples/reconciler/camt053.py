"""Read ISO 20022 camt.053 bank statements.

Promises: the file is plain UTF-8 without DOCTYPE or entity declarations (both
refused before any parsing, so no entity can expand and no outside resource
can be read); only booked entries count; every error names the element, such
as `Stmt[1]/Ntry[37]/Amt`.
"""

import re
import xml.etree.ElementTree as ET
from datetime import date

from model import (
    NOT_PROVIDED,
    InputError,
    Statement,
    StatementEntry,
    parse_date,
    parse_iban,
    with_entry_ids,
)
from money import check_currency, parse_amount, signed

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:camt.053.001."
VERSIONS = ("02", "04", "06", "08")

_FORBIDDEN = re.compile(r"<!\s*(DOCTYPE|ENTITY)", re.IGNORECASE)
_DECLARED_ENCODING = re.compile(r"\A<\?xml[^>]*?encoding\s*=\s*[\"']([^\"']*)[\"']")
_COLLAPSE = re.compile(r"\s+")


def parse_camt053(raw: bytes) -> tuple[Statement, ...]:
    """Read every statement of the message."""
    root = _safe_root(raw)
    namespace, _, tag = root.tag.removeprefix("{").partition("}")
    version = namespace.removeprefix(NAMESPACE)
    if tag != "Document" or version not in VERSIONS:
        raise InputError("Document", f"not a supported camt.053 message: {root.tag}")
    for element in root.iter():
        # Elements of other namespaces (extensions) keep theirs and so are never read.
        element.tag = element.tag.removeprefix("{" + namespace + "}")
    _text(root, "BkToCstmrStmt/GrpHdr/MsgId", "Document")
    found = root.findall("BkToCstmrStmt/Stmt")
    if not found:
        raise InputError("BkToCstmrStmt", "holds no Stmt")
    return with_entry_ids(
        _statement(statement, f"Stmt[{number}]") for number, statement in enumerate(found, start=1)
    )


def _safe_root(raw: bytes) -> ET.Element:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        # Another encoding could hide a DOCTYPE from the check below.
        raise InputError(f"byte {exc.start}", "the statement is not UTF-8") from None
    declared = _DECLARED_ENCODING.search(text)
    if declared and declared[1].upper() not in ("UTF-8", "US-ASCII"):
        raise InputError("XML declaration", f"encoding {declared[1]!r} refused, UTF-8 expected")
    forbidden = _FORBIDDEN.search(text)
    if forbidden:
        line = text.count("\n", 0, forbidden.start()) + 1
        raise InputError(f"line {line}", f"{forbidden[1].upper()} declarations are refused")
    try:
        return ET.fromstring(text)
    except ET.ParseError as exc:
        raise InputError(f"line {exc.position[0]}", f"not well-formed XML: {exc}") from None


def _statement(element: ET.Element, where: str) -> Statement:
    iban = parse_iban(_text(element, "Acct/Id/IBAN", where), f"{where}/Acct/Id/IBAN")
    opening_date, opening_minor, currency = _balance(element, ("OPBD", "PRCD"), where)
    closing_date, closing_minor, closing_currency = _balance(element, ("CLBD",), where)
    stated = element.findtext("Acct/Ccy", currency).strip()
    if not currency == closing_currency == stated:
        raise InputError(where, "account and balances are not in one currency")
    entries: list[StatementEntry] = []
    for number, entry in enumerate(element.findall("Ntry"), start=1):
        entry_where = f"{where}/Ntry[{number}]"
        if _status(entry, entry_where) == "BOOK":
            entries.extend(_entries(entry, iban, currency, entry_where))
    return Statement(iban, currency, opening_date, opening_minor, closing_date, closing_minor, tuple(entries))


def _balance(element: ET.Element, codes: tuple[str, ...], where: str) -> tuple[date, int, str]:
    for code in codes:
        found = [
            (balance, f"{where}/Bal[{number}]")
            for number, balance in enumerate(element.findall("Bal"), start=1)
            if balance.findtext("Tp/CdOrPrtry/Cd", "").strip() == code
        ]
        if len(found) > 1:
            raise InputError(found[1][1], f"a second {code} balance")
        for balance, balance_where in found:
            amount_minor, currency = _amount(balance, balance_where)
            return _date(balance, "Dt", balance_where), amount_minor, currency
    raise InputError(where, f"no {' or '.join(codes)} balance")


def _entries(element: ET.Element, iban: str, currency: str, where: str) -> list[StatementEntry]:
    """One entry, or one per transaction where the bank itemises a collective booking."""
    amount_minor, entry_currency = _amount(element, where)
    if entry_currency != currency:
        raise InputError(f"{where}/Amt", f"{entry_currency} on an account in {currency}")
    details = element.findall("NtryDtls/TxDtls")
    if len(details) <= 1:
        only = details[0] if details else None
        return [_entry(element, only, (iban, currency), amount_minor, where)]
    items = []
    for number, detail in enumerate(details, start=1):
        detail_where = f"{where}/TxDtls[{number}]"
        if detail.find("CdtDbtInd") is None:
            ET.SubElement(detail, "CdtDbtInd").text = _text(element, "CdtDbtInd", where)
        item_minor, item_currency = _amount(detail, detail_where)
        if item_currency != currency:
            raise InputError(f"{detail_where}/Amt", f"{item_currency} on an account in {currency}")
        items.append(_entry(element, detail, (iban, currency), item_minor, detail_where))
    if sum(item.amount_minor for item in items) != amount_minor:
        raise InputError(where, "the TxDtls amounts do not add up to the entry's amount")
    return items


def _entry(
    element: ET.Element,
    detail: ET.Element | None,
    account: tuple[str, str],
    amount_minor: int,
    where: str,
) -> StatementEntry:
    detail = ET.Element("TxDtls") if detail is None else detail
    booking_date = _date(element, "BookgDt", where)
    value_date = _date(element, "ValDt", where) if element.find("ValDt") is not None else None
    end_to_end_id = _optional(detail, "Refs/EndToEndId")
    # Money in came from the debtor, money out went to the creditor.
    party = "Dbtr" if amount_minor > 0 else "Cdtr"
    counterparty = _optional(detail, f"RltdPties/{party}/Pty/Nm")
    remittance = [*detail.findall("RmtInf/Ustrd"), *detail.findall("RmtInf/Strd/CdtrRefInf/Ref")]
    return StatementEntry(
        entry_id="",
        bank_reference=_optional(element, "AcctSvcrRef") or _optional(element, "NtryRef"),
        account_iban=account[0],
        currency=account[1],
        amount_minor=amount_minor,
        booking_date=booking_date,
        value_date=value_date or booking_date,
        end_to_end_id="" if end_to_end_id == NOT_PROVIDED else end_to_end_id,
        batch_id=_optional(element, "NtryDtls/Btch/PmtInfId"),
        remittance=_collapse(" ".join(part.text or "" for part in remittance)),
        # Until version 02 the name stands directly below the party.
        counterparty=counterparty or _optional(detail, f"RltdPties/{party}/Nm"),
        counterparty_iban=_optional(detail, f"RltdPties/{party}Acct/Id/IBAN"),
    )


def _status(element: ET.Element, where: str) -> str:
    return _optional(element, "Sts/Cd") or _text(element, "Sts", where)


def _amount(element: ET.Element, where: str) -> tuple[int, str]:
    text = _text(element, "Amt", where)
    amount = element.find("Amt")
    currency = amount.get("Ccy", "") if amount is not None else ""
    check_currency(currency, f"{where}/Amt/@Ccy")
    amount_minor = parse_amount(text, currency, f"{where}/Amt")
    indicator = _text(element, "CdtDbtInd", where)
    return signed(amount_minor, indicator, f"{where}/CdtDbtInd"), currency


def _date(element: ET.Element, name: str, where: str) -> date:
    moment = _optional(element, f"{name}/DtTm")
    text = moment[:10] if moment else _text(element, f"{name}/Dt", where)
    return parse_date(text, f"{where}/{name}")


def _text(element: ET.Element, path: str, where: str) -> str:
    text = _optional(element, path)
    if not text:
        raise InputError(f"{where}/{path}", "missing or empty")
    return text


def _optional(element: ET.Element, path: str) -> str:
    return _collapse(element.findtext(path) or "")


def _collapse(text: str) -> str:
    return _COLLAPSE.sub(" ", text).strip()
