from __future__ import annotations

import sys
from base64 import b64encode
from pathlib import Path

import pytest

from dragons.core.clock import SystemClock
from dragons.core.errors import ForbiddenError
from dragons.core.keys import KeyRole, LocalSigner
from dragons.node.playbook import notifying
from dragons.node.playbook.channel import Notice
from dragons.node.playbook.notifying import NotifierError, NotifierProgram, order_for, send_notices
from dragons.sdk.session import Session
from tests.unit.sdk.kit import Plane
from tests.unit.sdk.test_operator import MANIFEST

CLOCK = SystemClock()
NOTICE = Notice(kind="slack", name="ops", subject="s", text="t")
# Says its key, takes its lease, reports what environment it saw.
OBEDIENT = """
import json, os, sys
order = json.loads(sys.stdin.readline())
assert order["scope"] == ["notify:slack"] and order["notices"][0]["text"] == "t"
print(json.dumps({"type": "Hello", "instance_id": "01" * 16, "key": "KEY"}), flush=True)
handed = json.loads(sys.stdin.readline())
seen = sorted(name for name in os.environ if name.startswith("DRAGONS_"))
told = [{"kind": "slack", "name": "ops", "outcome": "delivered", "detail": f"{len(seen)} {bool(handed['granted'])}"}]
print(json.dumps({"type": "Report", "session_id": "ses_1", "told": told}), flush=True)
"""


KEY = b64encode(LocalSigner.generate(KeyRole.INSTANCE).public_key.raw).decode()
OBEDIENT = OBEDIENT.replace("KEY", KEY)
MUTE = OBEDIENT.rpartition("print")[0]


def program(text: str) -> NotifierProgram:
    return NotifierProgram(MANIFEST, (sys.executable, "-c", text), Path("n.yaml"))


def send(session: Session, text: str) -> list[str]:
    found = program(text)
    report = send_notices(found, session, order_for(found, session, [NOTICE]), CLOCK)
    return [f"{one.outcome} {one.detail}" for one in report.told]


def test_a_notifier_gets_its_order_and_a_lease_for_its_own_key(
    session: Session, plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRAGONS_HOME", "/x")
    assert send(session, OBEDIENT) == ["delivered 0 True"]
    assert [call.path for call in plane.calls if "delegations" in call.path] == ["/v1/leases/delegations"]


def test_an_order_names_where_to_work_and_what_to_tell(session: Session) -> None:
    order = order_for(program(""), session, [NOTICE, Notice(kind="email", name="e", subject="s", text="t")])
    assert order.scope == ["notify:email", "notify:slack"]
    assert order.parent_session_id == session.session_id
    assert order.store == str(session.instance.place.store.path)
    assert order.notifiers == "n.yaml"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "ended without a word"),
        ("print('hello', flush=True)", "something else"),
        ("import json; print(json.dumps({'type': 'Report', 'error': 'no file'}), flush=True)", "no file"),
        ("import json; print(json.dumps({'type': 'Report'}), flush=True)", "sent no Hello"),
        (MUTE, "without a word"),
        (OBEDIENT.replace('"session_id": "ses_1", "told": told', '"error": "it broke"'), "it broke"),
    ],
)  # fmt: skip
def test_a_notifier_that_fails_says_why(session: Session, text: str, why: str) -> None:
    with pytest.raises(NotifierError, match=why):
        send(session, text)


def test_one_that_hangs_is_ended(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifying, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(notifying, "NOTICE_SECONDS", 0.0)
    monkeypatch.setattr(notifying, "END_SECONDS", 0.1)
    with pytest.raises(NotifierError, match="too long"):
        send(session, "import time; time.sleep(60)")


def test_one_that_is_not_there_says_so(session: Session) -> None:
    gone = NotifierProgram(MANIFEST, ("/no/such/program",), Path("n.yaml"))
    with pytest.raises(NotifierError, match="can't be started"):
        send_notices(gone, session, order_for(gone, session, [NOTICE]), CLOCK)


def test_a_refused_delegation_passes_through(session: Session, plane: Plane) -> None:
    plane.errors["/v1/leases/delegations"] = ForbiddenError("scope_exceeded", "Denied: notify:slack.")
    with pytest.raises(ForbiddenError):
        send(session, OBEDIENT)
