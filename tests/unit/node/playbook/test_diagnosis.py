from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragons.node.playbook.diagnosis import BUILT_IN, Crash, Diagnosis, diagnose, find_traceback
from dragons.node.playbook.format import Rule

FAILED = Crash(1, "", 1200)
TRACEBACK = """serving
Traceback (most recent call last):
  File "/srv/shop/service.py", line 40, in <module>
    main()
  File "/srv/shop/records.py", line 12, in load
    return int(text)
           ^^^^^^^^^
ValueError: invalid literal for int() with base 10: 'x'
"""


def rule_of(log: str, crash: Crash = FAILED) -> tuple[str, bool]:
    found = diagnose(crash, log, [])
    return found.rule, found.retry


@pytest.mark.parametrize(
    ("line", "rule", "retry"),
    [
        ("OSError: [Errno 98] Address already in use", "address_in_use", True),
        ("Error: listen EADDRINUSE: address already in use :::3000", "address_in_use", True),
        ("cat: /etc/x: No such file or directory", "file_missing", False),
        ("open: Permission denied", "permission_denied", False),
        ("dial tcp 10.0.0.1:5432: connect: connection refused", "connection_refused", True),
        ("fatal error: runtime: out of memory", "out_of_memory", True),
        ("MemoryError", "out_of_memory", True),
        ("write /data/x: no space left on device", "disk_full", False),
        ("ModuleNotFoundError: No module named 'flask'", "module_missing", False),
        ("Error: Cannot find module 'express'", "module_missing", False),
        (
            "ssl.SSLCertVerificationError: certificate verify failed: certificate has expired",
            "certificate",
            False,
        ),
        ("x509: certificate signed by unknown authority", "certificate", False),
        ("psycopg.OperationalError: connection timed out", "timeout", True),
        ("context deadline exceeded", "timeout", True),
        ("socket.gaierror: [Errno -2] Name or service not known", "name_unresolved", True),
        ("accept: too many open files", "too_many_files", True),
    ],
)
def test_common_texts_are_known(line: str, rule: str, *, retry: bool) -> None:
    assert rule_of(f"starting\n{line}\nbye") == (rule, retry)
    assert diagnose(FAILED, f"starting\n{line}\nbye", []).line == line


@pytest.mark.parametrize(
    ("crash", "rule", "retry"),
    [
        (Crash(137, "SIGKILL", 5), "killed", True),
        (Crash(137, "", 5), "killed", True),
        (Crash(139, "SIGSEGV", 5), "segmentation_fault", True),
        (Crash(134, "", 5), "aborted", True),
        (Crash(143, "SIGTERM", 5), "terminated", True),
        (Crash(126, "", 5), "not_executable", False),
        (Crash(127, "", 5), "program_missing", False),
        (Crash(3, "", 5), "unknown", True),
        (Crash(138, "SIGUSR1", 5), "unknown", True),
        (Crash(0, "", 5, was_ready=False), "not_ready", True),
    ],
)
def test_without_a_text_the_end_itself_is_judged(crash: Crash, rule: str, *, retry: bool) -> None:
    assert rule_of("", crash) == (rule, retry)


def test_a_python_traceback_names_exception_and_last_frame() -> None:
    found = diagnose(FAILED, TRACEBACK, [])
    assert found.rule == "python_exception"
    assert found.place == "records.py:12 in load"
    assert found.error == "ValueError: invalid literal for int() with base 10: 'x'"


def test_a_text_explains_more_than_its_exception_and_keeps_the_place() -> None:
    log = TRACEBACK.replace("ValueError: invalid literal", "FileNotFoundError: [Errno 2] No such file")
    found = diagnose(FAILED, log, [])
    assert (found.rule, found.place) == ("file_missing", "records.py:12 in load")


@pytest.mark.parametrize(
    "log", ["", "Traceback (most recent call last):", TRACEBACK[: TRACEBACK.index("Val")]]
)
def test_half_a_traceback_is_none(log: str) -> None:
    assert find_traceback(log.splitlines()) is None


def test_own_rules_come_first_and_the_last_line_counts() -> None:
    own = [
        Rule(name="poison", pattern="invalid literal", cause="A record.", advice="Remove it.", retry=False),
        Rule(name="later", pattern="Traceback", cause="c", advice="a"),
    ]
    found = diagnose(FAILED, f"invalid literal first\n{TRACEBACK}", own)
    assert found == Diagnosis(
        "poison", "A record.", "Remove it.", retry=False,
        line="ValueError: invalid literal for int() with base 10: 'x'", place="records.py:12 in load",
        error="ValueError: invalid literal for int() with base 10: 'x'",
    )  # fmt: skip


def test_built_in_rules_can_be_left_out() -> None:
    assert diagnose(FAILED, "connection refused", [], builtin=False).rule == "unknown"


def test_names_are_unique() -> None:
    assert len({rule.name for rule in BUILT_IN}) == len(BUILT_IN)


@given(st.text(max_size=2_000), st.integers(0, 255), st.sampled_from(["", "SIGKILL", "SIGHUP"]))
def test_any_log_has_a_diagnosis(log: str, status: int, signal: str) -> None:
    found = diagnose(Crash(status, signal, 0), log, [])
    assert found.rule
    assert found.cause
    assert found.advice
    assert len(found.line) <= 500
