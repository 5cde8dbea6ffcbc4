"""A real service crashes for good: it is diagnosed, restarted, reported, and people are told. On the record."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from dragons.audit.verify import verify_file
from dragons.core.vocabulary import Kind
from dragons.sdk.localstore import LocalStore
from dragons.sdk.packs import export_pack
from dragons.wire.evidence import PackRequest, ReceiptView
from tests.functional.plane import ControlPlane
from tests.functional.playbook.conftest import Project
from tests.support.receivers import HttpReceiver, MailServer

CRASH = ["read:logs", "diagnose:failure"]


def receipts(plane: ControlPlane, session_id: str) -> list[ReceiptView]:
    with plane.client() as client:
        return client.receipts(limit=500, session_id=session_id).receipts


def work(plane: ControlPlane, session_id: str) -> list[tuple[str, str]]:
    found = receipts(plane, session_id)
    return [(one.header["action"], one.header["outcome"]) for one in found if one.kind == Kind.WORK.value]


def payload(plane: ControlPlane, view: ReceiptView) -> Any:
    with LocalStore(plane.home.store_path(plane.tenant_id)) as store:
        found = store.payload(view.header["payload_hash"])
    assert found is not None
    return json.loads(found.body)


def verify(plane: ControlPlane, session_id: str, folder: Path) -> None:
    """The evidence of a session holds for a stranger, with every payload shown."""
    pack = folder / f"{session_id}.zip"
    with plane.client() as client, LocalStore(plane.home.store_path(plane.tenant_id)) as store:
        exported = export_pack(client, PackRequest(session_id=session_id), pack, store)
    assert exported.withheld == 0
    report = verify_file(pack, plane.pin, workers=1)
    assert report.valid, report.to_json()


def result_of(errors: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(errors.strip().splitlines()[-1])
    return found


def test_an_incident_from_crash_to_mail(
    project: Project, plane: ControlPlane, slack: HttpReceiver, mail: MailServer, tmp_path: Path
) -> None:
    done = project.run("-o", "json")
    assert done.returncode == 1, done.stderr
    result = result_of(done.stderr)
    assert (result["ending"], result["starts"]) == ("failed", 3)
    assert done.stdout.count("order 4: bracket at 1.95 EUR") == 3

    session_id = result["session_id"]
    crash = [("run:service", "failed"), ("read:logs", "completed"), ("diagnose:failure", "completed")]
    again = [("restart:service", "completed"), *crash]
    assert work(plane, session_id) == [
        *crash, *again, *again, ("write:postmortem", "completed"), ("write:postmortem", "completed"),
    ]  # fmt: skip
    found = receipts(plane, session_id)
    ran = [one for one in found if one.header.get("action") == "run:service"]
    ending = payload(plane, ran[0])["outcome"]
    assert ending["result"]["exit_status"] == 1
    assert ending["error"]["message"] == "The service ended with exit status 1."
    assert ran[0].header["evidence"] == [
        ending["result"]["stdout"]["sha256"],
        ending["result"]["stderr"]["sha256"],
    ]
    diagnosed = [one for one in found if one.header.get("action") == "diagnose:failure"]
    assert payload(plane, diagnosed[-1])["outcome"]["result"]["rule"] == "price_malformed"

    told = result["report"]
    assert [(one["kind"], one["outcome"]) for one in told["told"]] == [
        ("slack", "delivered"),
        ("email", "delivered"),
    ]
    assert work(plane, told["session_id"]) == [("notify:slack", "completed"), ("notify:email", "completed")]
    (post,), (letter,) = slack.posts, mail.mails
    assert f"{project.agent}@v1 could not be kept up" in post.json["text"]
    assert letter.message["subject"] == f"{project.agent}@v1 could not be kept up"
    assert session_id in letter.message.get_content()
    assert letter.recipients == ["on-call@example.org"]

    check_postmortem(plane, result)
    verify(plane, session_id, tmp_path)
    verify(plane, told["session_id"], tmp_path)


def check_postmortem(plane: ControlPlane, result: dict[str, Any]) -> None:
    """Every receipt that it names is on the record, and its own digest is, too."""
    text = Path(result["postmortem"]).read_text()
    assert text.startswith(f"# Postmortem: {result['agent']} could not be kept up\n")
    assert "A price in the orders is no number." in text
    assert "service.py:29 in take" in text
    assert "decimal.InvalidOperation" in text
    assert result["manifest_hash"] in text
    assert "2 restarts did not help" in text
    assert "| command | `python3 service.py` |" in text
    with plane.client() as client:
        named = {name: client.receipt(name).view for name in set(re.findall(r"rcp_[0-9a-f]{32}", text))}
        written = [
            one
            for one in client.receipts(limit=500, session_id=result["session_id"]).receipts
            if one.header.get("action") == "write:postmortem"
        ]
    # Timeline, lease and delegation: all but the receipt of this very file and the closing after it.
    shown = {one.receipt_id for one in receipts(plane, result["session_id"])}
    assert {written[-1].receipt_id, result["receipt_id"]} == shown - named.keys()
    assert {one.receipt_id for one in receipts(plane, result["report"]["session_id"])} <= named.keys()
    assert {"lease.issued", "lease.delegated"} <= {one.kind for one in named.values()}
    roots = re.findall(r"^    ([0-9a-f]{64})$", text, re.MULTILINE)
    assert roots == [max(named.values(), key=lambda one: one.seq).chain_root]
    assert written[-1].header["evidence"] == [sha256(text.encode()).hexdigest()]
    for view in named.values():
        duration = payload(plane, view)["outcome"].get("result", {}) if view.kind == "work" else {}
        if "exit_status" in duration:
            assert f"| exit status 1 | {duration['duration_ms']} ms |" in text


def test_the_notifier_holds_nothing_but_its_notices(project: Project, plane: ControlPlane) -> None:
    result = result_of(project.run("-o", "json").stderr)
    with plane.client() as client:
        runner = client.lease(result["lease_id"]).view
        told = client.session(result["report"]["session_id"])
        child = client.lease(told.lease_id).view
    assert not [one for one in runner.scope if one.startswith("notify:")]
    assert runner.delegate_scope == ["notify:email", "notify:slack"]
    assert (child.agent, child.parent_lease_id) == ("playbook-notifier", runner.lease_id)
    assert child.scope == ["notify:email", "notify:slack"]
    assert child.delegate_scope == []
    assert child.status != "valid"


@pytest.mark.parametrize("status", [500])
def test_a_receiver_that_refuses_is_on_the_record(
    project: Project, plane: ControlPlane, slack: HttpReceiver, mail: MailServer, status: int
) -> None:
    slack.script = [status]
    result = result_of(project.run("-o", "json").stderr)
    assert work(plane, result["report"]["session_id"]) == [
        *[("notify:slack", "failed")] * 3,
        ("notify:email", "completed"),
    ]
    assert len(mail.mails) == 1
    text = Path(result["postmortem"]).read_text()
    assert "| slack/slack | failed | answered 500 |" in text
