from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragons.node.playbook.postmortem import Subject, postmortem, starts_of, summary_of
from dragons.node.playbook.record import Fact, Ledger
from tests.unit.node.playbook.facts import INSTANCE, SESSION, fact

SUBJECT = Subject(
    agent="shop@v3",
    manifest_hash="ab" * 32,
    instance_id=INSTANCE,
    lease_id="lse_1",
    session_id=SESSION,
    goal="keep it up",
    why="1 restarts did not help",
)
FOUND = {
    "rule": "disk_full", "cause": "A disk is full.", "advice": "Free space.", "line": "ENOSPC | here",
    "place": "service.py:3 in write",
}  # fmt: skip


def crash(seq: int, attempt: int, **result: object) -> list[Fact]:
    result = {"duration_ms": 1000 + seq, "exit_status": 4} | result
    return [
        fact(
            seq,
            "run:service",
            "failed",
            arguments={"attempt": attempt, "command": ["python3", "service.py"]},
            result=result,
        ),
        fact(seq + 1, "read:logs", "completed"),
        fact(seq + 2, "diagnose:failure", "completed", result=FOUND),
    ]


def ledger() -> Ledger:
    session = [
        fact(2, kind="session.opened"),
        *crash(3, 0),
        fact(6, "restart:service", "completed", arguments={"attempt": 1, "waited_ms": 500}),
        *crash(7, 1),
        fact(11, "ask:model", "completed", arguments={"model": "small"}, result={"advice": "Buy a disk."}),
        fact(12, "watch:service", "completed", arguments={"attempts": 2}),
        fact(13, "notify:slack", "denied", reason="capability_not_leased"),
    ]
    instance = [fact(1, kind="lease.issued", organism_state="running"), fact(14, kind="state.changed")]
    notices = [
        fact(20, "notify:slack", "failed", arguments={"channel": "slack/ops"}, result={"detail": "answered 500"},
             session_id="ses_9"),
    ]  # fmt: skip
    return Ledger(session, instance, notices)


def test_every_figure_stands_beside_its_receipt() -> None:
    text = postmortem(SUBJECT, ledger(), "the log\nended")
    lines = text.splitlines()
    assert lines[0] == "# Postmortem: shop@v3 could not be kept up"
    assert lines[2].startswith("shop@v3 ended 2 times in 2 starts, the last time with exit status 4")
    assert f"| exit status 4 | 1003 ms | - | `rcp_{3:032x}` | - |" in text
    assert f"| exit status 4 | 1007 ms | 500 ms | `rcp_{7:032x}` | `rcp_{6:032x}` |" in text
    assert (
        f"| disk\\_full | A disk is full. | `ENOSPC ¦ here` | `service.py:3 in write` | `rcp_{9:032x}` |"
        in text
    )
    assert f"| command | `python3 service.py` | `rcp_{7:032x}` |" in text
    assert "What helps: Free space." in text
    assert "recovered, 2 restarts forgotten" in text
    assert f"small said this (`rcp_{11:032x}`)" in text
    assert f"| notify:slack | capability\\_not\\_leased | `rcp_{13:032x}` |" in text
    assert f"| slack/ops | failed | answered 500 | `rcp_{20:032x}` |" in text
    assert ledger().notices[0].chain_root in text
    assert f"dragons packs export --session {SESSION} --out evidence-1.zip" in text
    assert "dragons packs export --session ses_9 --out evidence-2.zip" in text


def test_what_is_not_on_the_record_is_not_said() -> None:
    text = postmortem(SUBJECT, Ledger([], [], []), "a log that no receipt speaks of")
    for heading in (
        "## Diagnosis",
        "## The end of the log",
        "## A model's advice",
        "## Notifications",
        "## Denied",
    ):
        assert heading not in text
    assert "a log that no receipt" not in text
    assert "the last time with -" in text


def test_a_signal_is_an_end_and_an_unstartable_program_says_why() -> None:
    killed = Ledger(crash(3, 0, signal="SIGKILL"), [], [])
    assert "the last time with signal SIGKILL" in summary_of(SUBJECT, killed)
    unstarted = fact(3, "run:service", "failed", error={"message": "'x' can't be started"})
    assert "'x' can't be started" in summary_of(SUBJECT, Ledger([unstarted], [], []))


def test_starts_know_their_restart_and_their_diagnosis() -> None:
    starts = starts_of(ledger())
    assert [one.restart is None for one in starts] == [True, False]
    assert [one.diagnosis.seq for one in starts if one.diagnosis] == [5, 9]


def test_secrets_of_the_log_are_left_out() -> None:
    text = postmortem(SUBJECT, ledger(), "login with password=hunter2222")
    assert "hunter2222" not in text


@pytest.mark.parametrize("hostile", ["```\n# Owned\n```", "~~~\n<script>", "````\nx"])
def test_a_log_can_t_end_its_block(hostile: str) -> None:
    text = postmortem(SUBJECT, ledger(), hostile)
    fence = re.search(r"^(`{3,})text$", text, re.MULTILINE)
    assert fence is not None
    assert fence[1] not in hostile
    assert text.count(f"\n{fence[1]}\n") >= 1


@given(st.text(max_size=200))
def test_no_text_of_a_service_becomes_markup(text: str) -> None:
    found = {**FOUND, "line": text, "cause": text}
    facts = [fact(3, "run:service", "failed"), fact(4, "diagnose:failure", "completed", result=found)]
    shown = postmortem(SUBJECT._replace(goal=text or "-"), Ledger(facts, [], []), "")
    tables = [line for line in shown.splitlines() if line.startswith("| 1 |")]
    assert len([line for line in tables if len(re.findall(r"(?<!\\)\|", line)) == 7]) == 1
    assert "\n<" not in shown
    assert shown.count("\n# ") == 0


def test_a_long_timeline_is_cut_and_says_so() -> None:
    facts = [fact(seq, "watch:service", "completed") for seq in range(300)]
    text = postmortem(SUBJECT, Ledger(facts, [], []), "")
    assert "100 earlier ones are in the pack" in text
    assert f"rcp_{299:032x}" in text
