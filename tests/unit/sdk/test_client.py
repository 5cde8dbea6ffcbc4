from __future__ import annotations

import inspect
from collections.abc import Iterator

import msgspec
import pytest

from dragons.core.clock import ManualClock
from dragons.core.errors import ForbiddenError
from dragons.core.keys import KeyRole, LocalSigner
from dragons.identity.proof import parse_input
from dragons.sdk.client import InstanceClient, OperatorClient
from dragons.sdk.errors import UnexpectedAnswerError
from dragons.sdk.transport import Possession, Retries
from dragons.wire.authority import Launch
from dragons.wire.evidence import PackRequest
from tests.unit.sdk.kit import Plane
from tests.unit.sdk.test_operator import MANIFEST
from tests.unit.sdk.test_transport import TENANT, Answer, Server, problem

ONCE = Retries(attempts=1)
RECEIPT = {"receipt_id": "r", "seq": 7, "kind": "work", "issued_at": "t", "chain_root": "c", "header": {}}


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def operator(server: Server, clock: ManualClock) -> Iterator[OperatorClient]:
    with OperatorClient(server.url, "dgt_x", clock=clock, retries=ONCE) as made:
        yield made


def test_the_tenant_is_asked_for_once(server: Server, operator: OperatorClient) -> None:
    assert operator.tenant_id == operator.tenant_id == TENANT["tenant_id"]
    assert len(server.seen) == 1


def test_a_launch_carries_the_token_and_the_new_keys_proof(
    server: Server, operator: OperatorClient, plane: Plane
) -> None:
    signer = LocalSigner.generate(KeyRole.INSTANCE)
    lease = plane.lease("0" * 32, signer.public_key)
    server.script = [Answer(body=msgspec.json.encode(plane.granted(lease)))]
    request = Launch(instance_id="0" * 32, instance_key=signer.public_key.raw, manifest=MANIFEST)
    assert operator.launch(request, signer).token == "token"
    headers = server.seen[0][3]
    assert headers["authorization"] == "Bearer dgt_x"
    assert parse_input(headers["signature-input"]).key_id == signer.key_id


def test_a_renewal_changes_the_token(server: Server, clock: ManualClock, plane: Plane) -> None:
    signer = LocalSigner.generate(KeyRole.INSTANCE)
    granted = plane.granted(plane.lease("0" * 32, signer.public_key), token="newer")
    server.script = [Answer(body=msgspec.json.encode(granted)), Answer(body={})]
    with InstanceClient(server.url, Possession("older", signer), clock=clock, retries=ONCE) as client:
        client.renew()
        client.ping()
    assert [seen[3]["authorization"] for seen in server.seen] == ["Bearer older", "Bearer newer"]


def test_events_come_as_they_are_committed(server: Server, operator: OperatorClient) -> None:
    text = b": hello\n\n" + b"id: 7\nevent: work\ndata: " + msgspec.json.encode(RECEIPT) + b"\n\n"
    server.script = [Answer(body=text, content_type="text/event-stream")]
    with operator.events(6) as events:
        (event,) = list(events)
    assert (event.seq, event.kind, event.receipt.receipt_id) == (7, "work", "r")
    assert server.seen[0][1] == "/v1/events?after=6"


def test_a_pack_is_streamed(server: Server, operator: OperatorClient) -> None:
    server.script = [Answer(body=b"zip" * 1_000, content_type="application/zip")]
    with operator.export_pack(PackRequest(session_id="s")) as chunks:
        assert b"".join(chunks) == b"zip" * 1_000
    server.script = [problem(403, "role_forbidden")]
    with pytest.raises(ForbiddenError), operator.export_pack(PackRequest()):
        pytest.fail("refused")


def test_every_method_answers_with_its_type(server: Server, operator: OperatorClient) -> None:
    """No method takes an answer for another's: each refuses one that has none of its fields."""
    server.script = [Answer(body=[])]
    skipped = {"close", "export_pack", "events", "launch", "tenant_id"}
    for name, function in vars(OperatorClient).items():
        if name.startswith("_") or name in skipped:
            continue
        parameters = list(inspect.signature(function).parameters.values())[1:]
        given = [_given(one.name) for one in parameters if one.default is inspect.Parameter.empty]
        with pytest.raises(UnexpectedAnswerError):
            getattr(operator, name)(*given)


def _given(name: str) -> object:
    statement = Plane(ManualClock()).view()
    return {"statement": statement, "heartbeats": [statement], "first": 1, "second": 2}.get(name, "x")
