from __future__ import annotations

import re
from pathlib import Path

import pytest

from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.statement import sign
from dragons.identity.records import KEY_REVOCATION, KeyRevocation
from dragons.sdk import calls
from dragons.sdk.transport import Call
from dragons.wire.authority import Authorize, Delegate, Launch
from dragons.wire.dispatches import NodeReport
from dragons.wire.evidence import PackRequest
from dragons.wire.identity import TokenRequest
from tests.unit.sdk.test_operator import MANIFEST

STATEMENT = sign(
    KEY_REVOCATION,
    KeyRevocation(
        tenant_id="tnt_" + "0" * 32, key_id="opk_x", revoked_at="2026-11-20T00:00:00.000Z",
        compromised_since="2026-11-20T00:00:00.000Z", reason="r",
    ),
    LocalSigner.generate(KeyRole.ROOT),
)  # fmt: skip
LAUNCH = Launch(instance_id="0" * 32, instance_key=b"k" * 32, manifest=MANIFEST)
RECORDED = (
    "/v1/keys", "/v1/keys/revocations", "/v1/catalogue", "/v1/activations", "/v1/docks", "/v1/revocations",
    "/v1/interventions", "/v1/leases/releases", "/v1/sessions/closings", "/v1/erasures",
    "/v1/dispatches", "/v1/policies",
)  # fmt: skip
ALL: list[Call[object]] = [
    calls.livez(), calls.readyz(), calls.ping(), calls.tenant(), calls.keys(), calls.tokens(),
    calls.issue_token(TokenRequest(role="auditor", label="l")), calls.revoke_token("tok_1"), calls.catalogue(),
    calls.agents(), calls.agent("a"), calls.next_version("a"), calls.register_manifest(STATEMENT),
    calls.manifest("0" * 64), calls.docks("a"), calls.dock("dck_1"), calls.revocations(3), calls.launch(LAUNCH),
    calls.instances("a", live=True), calls.instance("i"), calls.leases("a"), calls.lease("lse_1"), calls.renew(),
    calls.delegate(Delegate(delegation=STATEMENT, manifest=MANIFEST)), calls.open_session(STATEMENT),
    calls.sessions("a", open_only=True), calls.session("ses_1"),
    calls.authorize(Authorize(session_id="s", action="a:b")), calls.append([STATEMENT]), calls.receipts(5),
    calls.receipt("rcp_1"), calls.ledger(), calls.consistency(1, 2), calls.fsck(),
    calls.export_pack(PackRequest()), calls.beat([STATEMENT]), calls.events(-1),
    calls.notifiers(), calls.send_test("oncall"), calls.messages("inc_1", limit=5), calls.message("msg_1"),
    calls.list_dispatches("a", open_only=True), calls.dispatch("dsp_1"), calls.nodes(),
    calls.report_node("n1", NodeReport(fresh=True)), calls.policies(), calls.policy("a"),
    calls.show_fleet("a"), calls.mtboi("a"), calls.list_incidents("a", open_only=True), calls.incident("inc_1"),
    *(calls.record(path, STATEMENT) for path in RECORDED),
]  # fmt: skip


def test_every_route_of_the_specification_has_its_call() -> None:
    text = (Path(__file__).parents[3] / "spec" / "api.md").read_text(encoding="utf-8")
    documented = {
        (match[1], re.sub(r"\{\w+\}", "*", match[2]))
        for match in re.finditer(r"^\| (GET|POST|DELETE) (/[\w/{}.]*)", text, re.MULTILINE)
    }
    made = {
        (
            call.method,
            re.sub(
                r"/(a|i|tok_1|dck_1|lse_1|ses_1|rcp_1|inc_1|oncall|msg_1|dsp_1|n1|0{64})(?=/|$)",
                "/*",
                call.path,
            ),
        )
        for call in ALL
    }
    # What a person or another program's generator looks at, no client.
    assert made == documented - {("GET", "/"), ("GET", "/v1/openapi.json"), ("GET", "/metrics")}


@pytest.mark.parametrize("call", ALL, ids=lambda call: f"{call.method}-{call.path}")
def test_only_what_may_be_repeated_is(call: Call[object]) -> None:
    repeatable = {
        "/v1/ping", "/v1/manifests", "/v1/leases/renewals", "/v1/sessions", "/v1/receipts", "/v1/ledger/fsck",
        "/v1/packs", "/v1/heartbeats",
    }  # fmt: skip
    assert call.again is (call.method == "GET" or call.path in repeatable)
    assert (call.method == "POST") is bool(call.body)


def test_names_in_paths_and_queries_are_escaped() -> None:
    assert calls.agent("../x?y").path == "/v1/agents/..%2Fx%3Fy"
    assert calls.docks("a&b=c").query == "agent=a%26b%3Dc"
    assert calls.docks().query == ""
    assert calls.receipts(-1, newest=True, kind="work").query == "after=-1&limit=100&kind=work&newest=true"
