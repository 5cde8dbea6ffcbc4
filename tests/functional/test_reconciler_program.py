"""The reconciler example, run as the program a user would run.

Promises: for generated months of several seeds the program finds exactly the
planted matches and discrepancies, from either statement format; its ledger
balances; its output is the same bytes each time; bad input is refused with the
place at fault.
"""

import csv
import hashlib
import importlib
import json
import random
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "examples" / "reconciler"
SEEDS = (1, 2, 3, 20250331)
TRUTH_KEYS = {
    "balance_breaks": ("account_iban", "currency", "break_minor"),
    "amount_differences": ("entry_id", "payment_ids", "difference_minor"),
    "duplicate_entries": ("entry_id", "repeats"),
    "duplicate_payments": ("payment_id", "repeats"),
    "unmatched_entries": ("entry_id",),
    "unmatched_payments": ("payment_id",),
    "matches": ("entry_id", "payment_ids", "rule"),
}

Load = Callable[[str], Any]
Refuse = Callable[[str, str], str]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Import a module of the example as the program itself would."""
    own_names = {path.stem for path in PROGRAM.glob("*.py")}
    hidden = {name: sys.modules.pop(name) for name in own_names if name in sys.modules}
    monkeypatch.syspath_prepend(str(PROGRAM))
    yield importlib.import_module
    # Names like `report` are too common to leave behind for other tests.
    for name in own_names:
        sys.modules.pop(name, None)
    sys.modules.update(hidden)


def _run(script: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-B", str(PROGRAM / script), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, encoding="utf-8", timeout=120, check=False)


def _make_data(out: Path, seed: int, entries: int = 1250) -> Path:
    made = _run("make_data.py", "--seed", seed, "--entries", entries, "--out", out, cwd=out.parent)
    assert made.returncode == 0, made.stderr
    return out


def _reconcile(data: Path, statement: str, out: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return _run(
        "agent.py",
        "--statement",
        data / statement,
        "--payments",
        data / "payments.db",
        "--out",
        out,
        "--ungoverned",
        *flags,
        cwd=out.parent,
    )


def _files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _report(out: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((out / "report.json").read_bytes())
    return document


def _ledger(out: Path) -> list[dict[str, str]]:
    lines: list[dict[str, str]] = []
    for path in sorted((out / "ledger").iterdir()):
        with path.open(encoding="utf-8", newline="") as file:
            lines += csv.DictReader(file)
    return lines


def _comparable(items: list[dict[str, Any]], keys: tuple[str, ...]) -> list[str]:
    return sorted(json.dumps([item[key] for key in keys]) for item in items)


@pytest.fixture(scope="module", params=SEEDS)
def month(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated month; its reconciliation from camt.053 is in `out`."""
    data = _make_data(tmp_path_factory.mktemp("month") / "data", request.param)
    finished = _reconcile(data, "statement.xml", data / "out")
    assert finished.returncode == 0, finished.stderr
    return data


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _make_data(tmp_path_factory.mktemp("small") / "data", seed=5)


@pytest.fixture
def refuse(small: Path, tmp_path: Path) -> Refuse:
    """Runs the program on a statement it must refuse; returns the error."""

    def run(name: str, text: str) -> str:
        statement = tmp_path / name
        statement.write_text(text, encoding="utf-8", newline="")
        finished = _reconcile(small, str(statement), tmp_path / "out")
        assert finished.returncode == 2, finished.stdout + finished.stderr
        assert "Traceback" not in finished.stderr
        assert not (tmp_path / "out").exists(), "refused input must leave no output"
        return finished.stderr

    return run


def test_finds_exactly_what_was_planted(month: Path) -> None:
    truth = json.loads((month / "truth.json").read_text(encoding="utf-8"))
    report = _report(month / "out")
    found = {**report["discrepancies"], "matches": report["matches"]}
    assert found.keys() == truth.keys() == TRUTH_KEYS.keys()
    for kind, keys in TRUTH_KEYS.items():
        assert _comparable(found[kind], keys) == _comparable(truth[kind], keys), kind
        assert truth[kind], f"the generator planted no {kind}"


def test_the_generated_month_is_large_and_uses_every_rule(month: Path) -> None:
    summary = _report(month / "out")["summary"]
    assert summary["entries"] >= 1200
    assert min(summary["matches_by_rule"].values()) >= 20
    assert summary["open_payments_outside_period"] == 5


def test_csv_and_camt053_give_the_same_result(month: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert _reconcile(month, "statement.csv", out).returncode == 0
    from_csv, from_camt = _report(out), _report(month / "out")
    assert from_csv.pop("source") != from_camt.pop("source")
    assert from_csv == from_camt
    assert _files(out / "ledger") == _files(month / "out" / "ledger")


def test_every_transaction_balances_to_zero(month: Path) -> None:
    balance_minor: Counter[tuple[str, str]] = Counter()
    for line in _ledger(month / "out"):
        debit_minor, credit_minor = int(line["debit_minor"]), int(line["credit_minor"])
        assert min(debit_minor, credit_minor) == 0 < max(debit_minor, credit_minor)
        balance_minor[line["transaction_id"], line["currency"]] += debit_minor - credit_minor
    assert set(balance_minor.values()) == {0}
    assert len(balance_minor) == _report(month / "out")["summary"]["entries"]


def test_bank_accounts_of_the_ledger_move_like_the_statement(month: Path, load: Load) -> None:
    moved_minor: Counter[str] = Counter()
    for line in _ledger(month / "out"):
        if line["account"].startswith("assets:bank:"):
            moved_minor[line["account"]] += int(line["debit_minor"]) - int(line["credit_minor"])
    statements = load("camt053").parse_camt053((month / "statement.xml").read_bytes())
    assert moved_minor == {f"assets:bank:{item.account_iban}": item.movement_minor for item in statements}


def test_report_names_the_digest_of_each_ledger_file(month: Path) -> None:
    digests = {
        name: hashlib.sha256(content).hexdigest()
        for name, content in _files(month / "out" / "ledger").items()
    }
    assert _report(month / "out")["ledger_sha256"] == digests


def test_markdown_report_lists_every_discrepancy(month: Path) -> None:
    markdown = (month / "out" / "report.md").read_text(encoding="utf-8")
    for items in _report(month / "out")["discrepancies"].values():
        for item in items:
            name = item.get("entry_id") or item.get("payment_id") or item["account_iban"]
            assert f"| {name} |" in markdown


def test_one_to_one(month: Path) -> None:
    """No entry and no payment is used twice, and none disappears."""
    report = _report(month / "out")
    placed = [
        *report["matches"],
        *report["discrepancies"]["amount_differences"],
        *report["discrepancies"]["duplicate_entries"],
        *report["discrepancies"]["unmatched_entries"],
    ]
    entry_ids = [item["entry_id"] for item in placed]
    assert len(entry_ids) == len(set(entry_ids)) == report["summary"]["entries"]
    payment_ids = [key for item in placed for key in item.get("payment_ids", [])]
    for kind in ("duplicate_payments", "unmatched_payments"):
        payment_ids += [item["payment_id"] for item in report["discrepancies"][kind]]
    with sqlite3.connect(month / "payments.db") as connection:
        stored = {row[0] for row in connection.execute("SELECT payment_id FROM payments")}
    connection.close()
    assert len(payment_ids) == len(set(payment_ids))
    assert set(payment_ids) <= stored
    outside = report["summary"]["open_payments_outside_period"]
    assert len(stored) - len(payment_ids) == outside


def test_output_and_generated_data_are_the_same_bytes_each_time(small: Path, tmp_path: Path) -> None:
    again = _make_data(tmp_path / "again", seed=5)
    for name in ("statement.xml", "statement.csv", "truth.json"):
        assert (again / name).read_bytes() == (small / name).read_bytes()
    outs = (tmp_path / "first", tmp_path / "second")
    printed = [_reconcile(small, "statement.xml", out, "--also-notify").stdout for out in outs]
    assert printed[0] == printed[1]
    assert _files(outs[0]) == _files(outs[1])
    assert "outbox/notification.eml" in _files(outs[0])
    # A second run into the same folder replaces each file by itself.
    assert _reconcile(small, "statement.xml", outs[0], "--also-notify").returncode == 0
    assert _files(outs[0]) == _files(outs[1])


def test_ledger_of_another_run_is_not_mixed_in(small: Path, tmp_path: Path) -> None:
    stale = tmp_path / "out" / "ledger" / "ledger-2019-01-01.csv"
    stale.parent.mkdir(parents=True)
    stale.touch()
    finished = _reconcile(small, "statement.xml", tmp_path / "out")
    assert finished.returncode == 2
    assert "ledger-2019-01-01.csv" in finished.stderr


@pytest.mark.parametrize(
    "declaration",
    [
        '<!DOCTYPE Document [<!ENTITY a "b">]>',
        '<!DOCTYPE Document SYSTEM "file:///etc/hostname">',
        "<!doctype Document>",
        '<!ENTITY a "b">',
    ],
)
def test_doctype_and_entities_are_refused(declaration: str, small: Path, refuse: Refuse) -> None:
    text = (small / "statement.xml").read_text(encoding="utf-8")
    head, _, body = text.partition("\n")
    error = refuse("evil.xml", f"{head}\n{declaration}\n{body}")
    assert "line 2" in error
    assert "declarations are refused" in error


def test_doctype_cannot_hide_in_another_encoding(load: Load) -> None:
    camt053, model = load("camt053"), load("model")
    text = '<?xml version="1.0" encoding="{}"?><!DOCTYPE Document><Document/>'
    for encoding in ("UTF-16", "UTF-32"):
        with pytest.raises(model.InputError, match="not UTF-8"):
            camt053.parse_camt053(text.format(encoding).encode(encoding))
    with pytest.raises(model.InputError, match="encoding 'UTF-7' refused"):
        camt053.parse_camt053(text.format("UTF-7").encode("utf-7"))


@pytest.mark.parametrize(
    ("correct", "wrong", "place"),
    [
        ("<BookgDt>\n          <Dt>2025-03", "<BookgDt>\n          <Dt>2025-13", "Ntry[1]/BookgDt"),
        ('Amt Ccy="EUR">', 'Amt Ccy="EUR">-', "Stmt[1]/Bal[1]/Amt"),
        ('Amt Ccy="EUR">', 'Amt Ccy="XXX">', "Stmt[1]/Bal[1]/Amt/@Ccy: unknown currency 'XXX'"),
        ("<CdtDbtInd>CRDT", "<CdtDbtInd>CREDIT", "Stmt[1]/Bal[1]/CdtDbtInd"),
        ("<IBAN>DE", "<IBAN>FR", "Stmt[1]/Acct/Id/IBAN"),
        ("<Cd>CLBD</Cd>", "<Cd>CLAV</Cd>", "Stmt[1]: no CLBD balance"),
        ("camt.053.001.08", "camt.052.001.08", "not a supported camt.053 message"),
        ("</GrpHdr>", "", "line "),
    ],
)
def test_wrong_camt053_is_refused_by_element(
    correct: str, wrong: str, place: str, small: Path, refuse: Refuse
) -> None:
    text = (small / "statement.xml").read_text(encoding="utf-8")
    assert correct in text
    assert place in refuse("wrong.xml", text.replace(correct, wrong, 1))


@pytest.mark.parametrize(
    ("column", "wrong", "problem"),
    [
        ("amount", "12,50", "'12,50' is not an unsigned decimal amount"),
        ("amount", "1e3", "'1e3' is not an unsigned decimal amount"),
        ("amount", "1.005", "more than the 2 decimals of EUR"),
        ("booking_date", "2025-02-30", "'2025-02-30' is not a date"),
        ("booking_date", "03.03.2025", "'03.03.2025' is not a date"),
        ("currency", "EURO", "unknown currency 'EURO'"),
        ("credit_debit", "C", "'C' is neither CRDT nor DBIT"),
        ("record", "INFO", "'INFO' is none of OPBD, NTRY, CLBD"),
        ("account_iban", "DE00123", "'DE00123' is not a valid IBAN"),
    ],
)
def test_wrong_csv_is_refused_by_line(
    column: str, wrong: str, problem: str, small: Path, refuse: Refuse
) -> None:
    rows = list(csv.reader((small / "statement.csv").read_text(encoding="utf-8").splitlines()))
    rows[6][rows[0].index(column)] = wrong
    text = "\r\n".join(",".join(f'"{cell}"' for cell in row) for row in rows)
    error = refuse("wrong.csv", text)
    assert "line 7, " in error
    assert column in error
    assert problem in error


def test_csv_with_a_wrong_header_or_a_short_row_is_refused(small: Path, refuse: Refuse) -> None:
    lines = (small / "statement.csv").read_text(encoding="utf-8").splitlines()
    assert "line 1: the header must be" in refuse("a.csv", "\n".join(["date,sum", *lines[1:]]))
    assert "line 3: 2 columns" in refuse("b.csv", "\n".join([*lines[:2], "a,b", *lines[3:]]))


def test_wrong_payment_is_refused_by_id(small: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "statement.xml").write_bytes((small / "statement.xml").read_bytes())
    (data / "payments.db").write_bytes((small / "payments.db").read_bytes())
    connection = sqlite3.connect(data / "payments.db")
    with connection:
        connection.execute("UPDATE payments SET currency = 'ZZZ' WHERE payment_id = 'PAY-000007'")
    connection.close()
    finished = _reconcile(data, "statement.xml", tmp_path / "out")
    assert finished.returncode == 2
    assert "payment PAY-000007, currency: unknown currency 'ZZZ'" in finished.stderr
    (data / "payments.db").write_bytes(b"this is no database, " * 99)
    finished = _reconcile(data, "statement.xml", tmp_path / "out")
    assert finished.returncode == 2
    assert "not a readable payments database" in finished.stderr


def test_misspelt_setting_is_refused(small: Path, tmp_path: Path) -> None:
    settings = json.loads((PROGRAM / "config.json").read_text(encoding="utf-8"))
    settings["window_day"] = settings.pop("window_days")
    path = tmp_path / "config.json"
    path.write_text(json.dumps(settings), encoding="utf-8")
    finished = _reconcile(small, "statement.xml", tmp_path / "out", "--config", str(path))
    assert finished.returncode == 2
    assert "window_day, window_days" in finished.stderr


def test_money_is_exact_in_every_currency(load: Load) -> None:
    money = load("money")
    assert money.parse_amount("0.1", "EUR", "here") == 10
    assert money.parse_amount("90071992547409.93", "USD", "here") == 9007199254740993
    assert money.parse_amount("1500", "JPY", "here") == 1500
    assert money.parse_amount("1500.00", "JPY", "here") == 1500
    assert money.parse_amount("1.234", "BHD", "here") == 1234
    rng = random.Random(7)
    for currency in money.MINOR_UNIT_DIGITS:
        for amount_minor in (0, 1, 99, rng.randrange(10**12)):
            text = money.format_amount(amount_minor, currency)
            assert money.parse_amount(text, currency, "here") == amount_minor
            assert money.format_amount(-amount_minor, currency).lstrip("-") == text


def test_camt053_details_that_the_generator_does_not_write(load: Load) -> None:
    """Version 02 layout, pending entries, DtTm, and an itemised collective booking."""
    raw = b"""<?xml version="1.0"?>
    <Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><BkToCstmrStmt>
    <GrpHdr><MsgId>1</MsgId></GrpHdr><Stmt><Acct><Id><IBAN>DE89 3704 0044 0532 0130 00</IBAN></Id>
    </Acct>
    <Bal><Tp><CdOrPrtry><Cd>PRCD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">5.00</Amt>
    <CdtDbtInd>DBIT</CdtDbtInd><Dt><Dt>2025-01-01</Dt></Dt></Bal>
    <Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">4.50</Amt>
    <CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2025-01-02</Dt></Dt></Bal>
    <Ntry><Amt Ccy="EUR">9.5</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts>
    <BookgDt><DtTm>2025-01-02T10:00:00</DtTm></BookgDt><AcctSvcrRef>R1</AcctSvcrRef>
    <NtryDtls>
    <TxDtls><Refs><EndToEndId>A</EndToEndId></Refs><Amt Ccy="EUR">4.75</Amt>
    <RltdPties><Dbtr><Nm>Ann</Nm></Dbtr></RltdPties></TxDtls>
    <TxDtls><Refs><EndToEndId>B</EndToEndId></Refs><Amt Ccy="EUR">4.75</Amt></TxDtls>
    </NtryDtls></Ntry>
    <Ntry><Amt Ccy="EUR">1.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>PDNG</Sts></Ntry>
    </Stmt></BkToCstmrStmt></Document>"""
    camt053, model = load("camt053"), load("model")
    (statement,) = camt053.parse_camt053(raw)
    assert statement.break_minor == 0
    found = [(item.entry_id, item.end_to_end_id, item.amount_minor) for item in statement.entries]
    assert found == [("R1", "A", 475), ("R1#2", "B", 475)]
    assert statement.entries[0].counterparty == "Ann"
    duplicates = load("duplicates")
    assert not duplicates.split_duplicates(statement.entries, duplicates.entry_keys)[1]
    with pytest.raises(model.InputError, match=r"Ntry\[1\]: the TxDtls amounts do not add up"):
        camt053.parse_camt053(raw.replace(b">4.75<", b">4.74<", 1))


@pytest.mark.parametrize("seed", range(30))
def test_matching_is_one_to_one_and_stable_on_confusable_items(seed: int, load: Load) -> None:
    """Few amounts, parties and identifiers, so that almost everything could match."""
    model, matching, rules = load("model"), load("matching"), load("rules")
    tolerances = load("config").load_config(PROGRAM / "config.json").tolerances
    rng = random.Random(seed)
    day = load("data_plan").FIRST_DAY

    def some_item() -> dict[str, Any]:
        return {
            "currency": rng.choice(("EUR", "USD")),
            "amount_minor": rng.choice((1, -1)) * rng.choice((10_000, 10_100, 11_500, 20_000)),
            "end_to_end_id": rng.choice(("", "", "E1", "E2", "E3")),
            "batch_id": rng.choice(("", "", "", "B1")),
            "counterparty": rng.choice(("", "Ann Ltd", "Bob Ltd")),
            "counterparty_iban": rng.choice(("", "", "DE89370400440532013000")),
        }

    def some_day() -> Any:
        return day.replace(day=rng.randint(3, 9))

    entries = tuple(
        model.StatementEntry(
            entry_id=f"N{number}",
            bank_reference=rng.choice(("", f"R{number}", "R")),
            account_iban="DE89370400440532013000",
            booking_date=some_day(),
            value_date=day,
            remittance=rng.choice(("", "INV 2025 00001", "inv-2025-00002 and INV-2025-00003")),
            **some_item(),
        )
        for number in range(40)
    )
    payments = [
        model.Payment(
            payment_id=f"P{number:02}",
            execution_date=some_day(),
            reference=rng.choice(("", "INV-2025-00001", "INV-2025-00003")),
            **some_item(),
        )
        for number in range(40)
    ]
    statement = model.Statement("DE89370400440532013000", "EUR", day, 0, day.replace(day=9), 0, entries)
    result = matching.reconcile([statement], payments, tolerances)

    settled = [*result.matches, *result.amount_differences]
    placed_entries = [item.entry.entry_id for item in settled]
    placed_entries += [item.repeated.entry_id for item in result.duplicate_entries]
    placed_entries += [entry.entry_id for entry in result.unmatched_entries]
    assert sorted(placed_entries) == sorted(entry.entry_id for entry in entries)
    placed_payments = [payment.payment_id for item in settled for payment in item.payments]
    placed_payments += [item.repeated.payment_id for item in result.duplicate_payments]
    placed_payments += [payment.payment_id for payment in result.unmatched_payments]
    placed_payments += [payment.payment_id for payment in result.payments_outside_period]
    assert sorted(placed_payments) == sorted(payment.payment_id for payment in payments)

    for match in result.matches:
        total_minor = sum(payment.amount_minor for payment in match.payments)
        assert {payment.currency for payment in match.payments} == {match.entry.currency}
        assert match.entry.amount_minor == total_minor - match.fee_minor
        is_tolerant = match.rule == rules.DATE_WINDOW_AND_FEE
        fee_max_minor = tolerances.fee_max_minor[match.entry.currency] if is_tolerant else 0
        assert 0 <= match.fee_minor <= fee_max_minor
        assert not is_tolerant or match.days_apart <= tolerances.window_days
        assert len(match.payments) == 1 or match.rule == rules.BATCH_SUM
    assert all(item.difference_minor for item in result.amount_differences)

    rng.shuffle(payments)
    assert matching.reconcile([statement], payments, tolerances) == result


def test_hostile_names_cannot_break_the_markdown_table(load: Load) -> None:
    report = load("report")
    document = {
        "source": {"statement": "s.xml", "payments": "p.db"},
        "summary": {"matched_entries": 0, "entries": 1, "matches_by_rule": {}},
        "accounts": [],
        "discrepancies": {
            **dict.fromkeys(TRUTH_KEYS, ()),
            "unmatched_entries": [{"entry_id": "1", "counterparty": "a | b\n# c <b> [x](y)"}],
        },
    }
    markdown = report.report_markdown(document).decode()
    assert r"| 1 | a \| b # c \<b\> \[x\](y) |" in markdown.splitlines()


def test_payment_slices_cover_every_day_exactly_once(small: Path, load: Load) -> None:
    steps, governance = load("steps"), load("governance")
    config = load("config").load_config(PROGRAM / "config.json")
    statements = load("camt053").parse_camt053((small / "statement.xml").read_bytes())
    asked: list[tuple[str, str]] = []

    class Recording:
        def action(self, capability: str, /, *, resource: str, arguments: dict[str, str]) -> Any:
            assert (capability, resource) == ("read:payments", "payments.db")
            asked.append((arguments["first_date"], arguments["last_date"]))
            with governance.open_ungoverned_session(goal="") as session:
                return session.action(capability, resource=resource, arguments=arguments)

    payments = steps.read_payments(Recording(), small / "payments.db", statements, config)
    connection = sqlite3.connect(small / "payments.db")
    assert len(payments) == connection.execute("SELECT count(*) FROM payments").fetchone()[0]
    connection.close()
    assert len(asked) == 21, "one governed action for each booking day"
    assert asked == sorted(asked)
    assert all(first <= last for first, last in asked)
    assert (asked[0][0], asked[-1][1]) == ("2025-02-24", "2025-04-07")


class _DeniedError(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(f"action denied: {reason}")
        self.reason = reason


class _Receipts:
    """A session that records each action and denies some capabilities."""

    def __init__(self, denied: set[str]) -> None:
        self.denied = denied
        self.goals: list[str] = []
        self.receipts: list[dict[str, Any]] = []

    @contextmanager
    def open_session(self, *, goal: str) -> Iterator["_Receipts"]:
        self.goals.append(goal)
        yield self

    @contextmanager
    def action(
        self, capability: str, /, *, resource: str, arguments: dict[str, Any]
    ) -> Iterator["_Receipts"]:
        if capability in self.denied:
            raise _DeniedError("outside the granted scope")
        self.receipts.append({"capability": capability, "resource": resource})
        assert _has_only_receipt_values(arguments)
        yield self

    def add_evidence(self, name: str, source: Path | bytes, /) -> None:
        content = source if isinstance(source, bytes) else source.read_bytes()
        assert name
        self.receipts[-1]["sha256"] = hashlib.sha256(content).hexdigest()

    def set_result(self, result: dict[str, Any], /) -> None:
        assert _has_only_receipt_values(result)
        self.receipts[-1]["result"] = result


def _has_only_receipt_values(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(k, str) and _has_only_receipt_values(v) for k, v in value.items())
    if isinstance(value, list):
        return all(map(_has_only_receipt_values, value))
    return isinstance(value, str | int)


def _run_governed(
    session: _Receipts, data: Path, out: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> int:
    agent, governance = load("agent"), load("governance")
    governed = governance.Governance(session.open_session, _DeniedError, lambda exc: exc.reason)
    monkeypatch.setattr(agent, "_governance", lambda _ungoverned: governed)
    arguments = ["--statement", data / "statement.xml", "--payments", data / "payments.db"]
    arguments += ["--out", out, "--also-notify"]
    monkeypatch.setattr(sys, "argv", ["agent.py", *map(str, arguments)])
    code: int = agent.main()
    return code


def test_work_is_split_into_governed_actions_and_a_denial_is_no_failure(
    small: Path,
    tmp_path: Path,
    load: Load,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    session, out = _Receipts({"send:email"}), tmp_path / "out"
    assert _run_governed(session, small, out, load, monkeypatch) == 0
    assert "denied: send:email (outside the granted scope)" in capsys.readouterr().out.splitlines()
    assert session.goals == ["reconcile payments for statement.xml"]
    assert Counter(receipt["capability"] for receipt in session.receipts) == {
        "read:statement": 1,
        "read:payments": 21,
        "write:ledger": 21,
        "write:report": 2,
    }
    written = {name: hashlib.sha256(content).hexdigest() for name, content in _files(out).items()}
    assert written == {
        receipt["resource"]: receipt["sha256"]
        for receipt in session.receipts
        if receipt["capability"].startswith("write:")
    }
    ungoverned = tmp_path / "ungoverned"
    assert _reconcile(small, "statement.xml", ungoverned).returncode == 0
    assert _files(ungoverned) == _files(out)


def test_denial_of_a_needed_action_stops_the_run(
    small: Path,
    tmp_path: Path,
    load: Load,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    session, out = _Receipts({"write:ledger"}), tmp_path / "out"
    assert _run_governed(session, small, out, load, monkeypatch) == 3
    assert "denied: outside the granted scope" in capsys.readouterr().err
    assert not out.exists()
