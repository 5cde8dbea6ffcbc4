"""Steps that happen once, against a real control plane: who is killed in the middle of one, and who comes after."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from dragons.audit.verify import verify_file
from dragons.core.clock import SystemClock
from dragons.core.ids import CLAIM as CLAIM_PREFIX
from dragons.core.ids import new_id
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.statement import sign
from dragons.evidence.receipt import CLAIM, DENIAL, Claim, Denial
from dragons.sdk.localstore import Entry, LocalStore
from dragons.sdk.outbox import drain_outbox
from dragons.sdk.packs import export_pack
from dragons.wire.evidence import PackRequest, ReceiptView
from tests.functional.plane import ControlPlane
from tests.functional.sdk.conftest import dock

WRITE = "write:ledger"
SECONDS_MAX = 60

# Posts three entries to a journal, each once; with `hang` it stops in the middle of the second: before or
# after the line is written. What is in doubt is looked up in the journal.
POSTER = """
import sys, time
from pathlib import Path

from dragons.core.clock import SystemClock
from dragons.identity.measure import measure_directory
from dragons.sdk import StepInDoubt
from dragons.sdk.client import OperatorClient
from dragons.sdk.core import SessionCore
from dragons.sdk.home import Home
from dragons.sdk.instance import Place
from dragons.sdk.launch import launch
from dragons.sdk.localstore import LocalStore
from dragons.sdk.session import working

agent, home, dispatch_id, hang = Path(sys.argv[1]), Home(Path(sys.argv[2])), sys.argv[3], sys.argv[4]
journal, clock, config = agent.parent / "journal", SystemClock(), home.config()
store = LocalStore(home.store_path(config.tenant_id))
with OperatorClient(config.url, home.token(config.tenant_id), clock=clock) as client:
    place = Place(config.url, store, clock)
    instance = launch(client, measure_directory(agent), place, dispatch_id=dispatch_id)
print(instance.authority.lease.dispatch_id, flush=True)


def post(entry):
    if (entry, hang) == (2, "before"):
        print("hangs", flush=True)
        time.sleep(600)
    with journal.open("a") as lines:
        lines.write(f"{entry}\\n")
    if (entry, hang) == (2, "after"):
        print("hangs", flush=True)
        time.sleep(600)
    return {"entry": entry}


with working(SessionCore(instance, "post")) as session:
    for entry in (1, 2, 3):
        step = {"task": "may", "step": f"post-{entry}"}
        try:
            print(session.call_once("write:ledger", lambda: post(entry), **step), flush=True)
        except StepInDoubt as doubt:
            happened = str(entry) in journal.read_text().split()
            print(doubt.reason, happened, doubt.running, flush=True)
            session.resolve_step("may", f"post-{entry}", happened=happened, evidence={"journal": journal}, result={"entry": entry})
            print(session.call_once("write:ledger", lambda: post(entry), **step), flush=True)
store.close()
"""


def poster(plane: ControlPlane, agent: Path, dispatch_id: str = "", hang: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", POSTER, str(agent), str(plane.home.folder), dispatch_id, hang],
        stdout=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("DRAGONS_")},
    )


def killed_in_the_middle(plane: ControlPlane, agent: Path, hang: str) -> str:
    """The dispatch of a poster that was killed by SIGKILL within its second step."""
    process = poster(plane, agent, hang=hang)
    assert process.stdout is not None
    dispatch_id = process.stdout.readline().strip()
    assert process.stdout.readline() == "{'entry': 1}\n"
    assert process.stdout.readline() == "hangs\n"
    process.send_signal(signal.SIGKILL)
    process.wait(SECONDS_MAX)
    process.stdout.close()
    return dispatch_id


def said(process: subprocess.Popen[str]) -> list[str]:
    out, _ = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 0
    return out.splitlines()[1:]


def ledger(plane: ControlPlane) -> list[ReceiptView]:
    with plane.client() as client:
        return client.receipts(limit=500).receipts


def steps_completed(plane: ControlPlane) -> list[Claim]:
    views = [view for view in ledger(plane) if view.header.get("outcome") == "completed"]
    with plane.client() as client:
        records = [client.receipt(view.receipt_id).record for view in views if view.kind == "work"]
    return [record.statement.body(CLAIM, Claim) for record in records]


def denials(plane: ControlPlane) -> list[Denial]:
    views = [view for view in ledger(plane) if view.kind == "denied"]
    with plane.client() as client:
        return [client.receipt(view.receipt_id).record.statement.body(DENIAL, Denial) for view in views]


def drain(store: LocalStore) -> None:
    until = time.monotonic() + SECONDS_MAX
    while store.waiting():
        drain_outbox(store, SystemClock())
        assert time.monotonic() < until


def assert_proven(plane: ControlPlane, folder: Path) -> None:
    """The whole ledger holds, judged with nothing but the pin."""
    path = folder / "ledger.zip"
    with plane.client() as client, LocalStore(plane.home.store_path(plane.tenant_id)) as store:
        export_pack(client, PackRequest(), path, store)
    report = verify_file(path, plane.pin)
    assert report.valid, report.verdicts


@pytest.mark.parametrize("hang", ["before", "after"])
def test_a_successor_finds_what_was_done_and_what_is_in_doubt(
    own_plane: ControlPlane, tmp_path: Path, hang: str
) -> None:
    agent = dock(own_plane, tmp_path / "agent", "poster", [WRITE])
    dispatch_id = killed_in_the_middle(own_plane, agent, hang)
    assert said(poster(own_plane, agent, dispatch_id)) == [
        "{'entry': 1}",
        f"step_in_doubt {hang == 'after'} False",
        "{'entry': 2}",
        "{'entry': 3}",
    ]
    # A program may end before its last claims were sent, and the control plane would be in doubt until they are.
    with LocalStore(own_plane.home.store_path(own_plane.tenant_id)) as store:
        drain(store)
    # Once more: everything is done, and nothing runs.
    assert said(poster(own_plane, agent, dispatch_id)) == [f"{{'entry': {entry}}}" for entry in (1, 2, 3)]
    assert (tmp_path / "journal").read_text().split() == ["1", "2", "3"]
    keys = [claim.step_key for claim in steps_completed(own_plane)]
    assert len(keys) == len(set(keys)) == 3
    assert [(one.action, one.reason) for one in denials(own_plane)] == [(WRITE, "step_in_doubt")]
    assert_proven(own_plane, tmp_path)


def test_a_replayed_claim_completes_nothing_twice(own_plane: ControlPlane, tmp_path: Path) -> None:
    agent = dock(own_plane, tmp_path / "agent", "poster", [WRITE])
    dispatch_id = killed_in_the_middle(own_plane, agent, "before")
    said(poster(own_plane, agent, dispatch_id))
    with LocalStore(own_plane.home.store_path(own_plane.tenant_id)) as store:
        drain(store)
        (first, *_) = steps_completed(own_plane)
        (holder,) = [one for one in store.holders() if one.instance_id == first.instance_id]
        signer = LocalSigner.from_seed(holder.seed, KeyRole.INSTANCE)
        other = msgspec.structs.replace(first, claim_id=new_id(CLAIM_PREFIX, SystemClock().now_ms()))
        store.commit(
            [],
            [
                Entry(body.claim_id, first.instance_id, first.session_id, CLAIM, sign(CLAIM, body, signer))
                for body in (first, other)
            ],
        )
        before = len(steps_completed(own_plane))
        drain(store)
        # The same claim is answered as before; another one for the same step is refused, on the record.
        assert [(one.entry.name, one.code) for one in store.refused()] == [(other.claim_id, "step_completed")]
    assert len(steps_completed(own_plane)) == before
    assert_proven(own_plane, tmp_path)
