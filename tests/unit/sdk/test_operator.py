from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dragons.authority.catalogue import CATALOGUE, Catalogue, Entry
from dragons.authority.dock import DOCK, Dock
from dragons.authority.revocation import REVOCATION, Revocation, Target
from dragons.core.clock import ManualClock, format_time
from dragons.core.errors import InvalidInputError, NotFoundError
from dragons.core.ids import DISPATCH as DISPATCH_ID
from dragons.core.ids import TENANT, new_id
from dragons.core.keys import KeyRole, LocalSigner, PublicKey
from dragons.core.statement import Envelope, is_signed_by
from dragons.core.vocabulary import Risk
from dragons.evidence.receipt import ERASURE, INTERVENTION, Erasure, Intervention
from dragons.identity.manifest import FileDigest, Manifest
from dragons.identity.records import (
    ACTIVATION,
    KEY,
    KEY_REVOCATION,
    REGISTRATION,
    Activation,
    Key,
    KeyRevocation,
    Registration,
)
from dragons.liveness.dispatch import DISPATCH_ORDER, Dispatch
from dragons.liveness.policy import POLICY, Policy
from dragons.sdk.operator import READY_INSTANCES, Operator, RootHolder
from dragons.wire.authority import CatalogueView, Docks, DockView
from dragons.wire.base import Recorded
from dragons.wire.dispatches import EffectivePolicy, Thresholds
from dragons.wire.identity import History, NextVersion, Registered, VersionView

MANIFEST = Manifest(
    agent="reconciler", code=[FileDigest(path="a.py", sha256="0" * 64, bytes=1)], config=[],
    capabilities=["read:payments"], entrypoint=["python", "a.py"],
)  # fmt: skip
RECORDED = Recorded(receipt_id="r", seq=1, chain_root="c", issued_at="t")


class Client:
    """Records what is sent to it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.tenant_id = new_id(TENANT, self.clock.now_ms())
        self.sent: dict[str, Envelope] = {}
        self.versions: list[VersionView] = []
        self.docked: list[DockView] = []

    def __getattr__(self, name: str) -> Any:
        def send(statement: Envelope) -> Recorded:
            self.sent[name] = statement
            return RECORDED

        return send

    def policy(self, agent: str) -> EffectivePolicy:
        thresholds = Thresholds(
            degrade_after_seconds=60, autoheal_after_seconds=90, lease_grace_seconds=5, heal_timeout_seconds=60,
            waiting_max_seconds=60, restarts_max=3, restart_window_seconds=60, backoff_first_seconds=1,
            backoff_longest_seconds=2, progress_required=True, progress_sources=["output"],
        )  # fmt: skip
        return EffectivePolicy(
            agent=agent, origin=agent, version=3, next_version=4, thresholds=thresholds, versions=[]
        )

    def next_version(self, agent: str) -> NextVersion:
        return NextVersion(agent=agent, version=3, ordinal=5)

    def agent(self, name: str) -> History:
        return History(agent=name, versions=self.versions, activations=[])

    def catalogue(self) -> CatalogueView:
        return CatalogueView(version=7, capabilities={})

    def docks(self, agent: str = "") -> Docks:  # noqa: ARG002 - the client's shape
        return Docks(docks=self.docked)

    def register_manifest(self, statement: Envelope) -> Registered:
        self.sent["register_manifest"] = statement
        return Registered(name="reconciler@v3", version=3, manifest_hash=MANIFEST.hash(), created=True)


def version(number: int, *, active: bool) -> VersionView:
    return VersionView(
        name=f"reconciler@v{number}", agent="reconciler", version=number, manifest_hash=MANIFEST.hash(),
        registered_at="", registered_by="", active=active, files=1, capabilities=[],
    )  # fmt: skip


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def operator(client: Client) -> Operator:
    return Operator(client, LocalSigner.generate(KeyRole.OPERATOR))  # type: ignore[arg-type]


def body(client: Client, operator: Operator, name: str, kind: str, document: type[Any]) -> Any:
    statement = client.sent[name]
    assert len(statement.signatures) == 1
    assert is_signed_by(statement, operator.signer.key_id, operator.signer.public_key)
    found = statement.body(kind, document)
    assert found.tenant_id == client.tenant_id
    return found


def test_a_registration_carries_manifest_and_next_version(client: Client, operator: Operator) -> None:
    operator.register_manifest(MANIFEST)
    made = body(client, operator, "register_manifest", REGISTRATION, Registration)
    assert (made.version, made.manifest, made.manifest_hash) == (3, MANIFEST, MANIFEST.hash())


def test_a_malformed_manifest_is_never_signed(client: Client, operator: Operator) -> None:
    with pytest.raises(InvalidInputError):
        operator.register_manifest(msgspec.structs.replace(MANIFEST, capabilities=["b:b", "a:a"]))
    assert not client.sent


def test_an_activation_names_a_known_version(client: Client, operator: Operator) -> None:
    with pytest.raises(NotFoundError):
        operator.activate("reconciler", 2)
    client.versions = [version(2, active=False)]
    operator.activate("reconciler", 2, reason="rollback")
    made = body(client, operator, "activate", ACTIVATION, Activation)
    assert (made.version, made.ordinal, made.reason) == (2, 5, "rollback")
    assert made.manifest_hash == MANIFEST.hash()


def test_a_dock_is_by_the_one_who_signs(client: Client, operator: Operator) -> None:
    docked = operator.dock("reconciler", scope=["b:b", "a:a"], ttl_seconds_max=60, instances_max=2)
    made = body(client, operator, "create_dock", DOCK, Dock)
    assert made == docked.dock
    assert (made.scope, made.operator, made.instances_max) == (["a:a", "b:b"], operator.signer.key_id, 2)
    with pytest.raises(InvalidInputError):
        operator.dock("reconciler", scope=[])


def test_the_other_statements(client: Client, operator: Operator) -> None:
    entry = Entry(description="d", risk=Risk.LOW, delegable=False)
    operator.publish_catalogue({"a:a": entry})
    catalogue = body(client, operator, "publish_catalogue", CATALOGUE, Catalogue)
    assert (catalogue.version, catalogue.capabilities) == (8, {"a:a": entry})
    operator.revoke(Target.VERSION, "reconciler@v7", reason="r")
    revocation = body(client, operator, "revoke", REVOCATION, Revocation)
    assert (revocation.kind, revocation.target) == (Target.VERSION, "reconciler@v7")
    operator.intervene("0" * 12 + "7" + "0" * 3 + "8" + "0" * 15, reason="r")
    assert body(client, operator, "intervene", INTERVENTION, Intervention).action == "stop"
    operator.intervene(agent="reconciler", reason="r", action="quarantine")
    made = body(client, operator, "intervene", INTERVENTION, Intervention)
    assert (made.agent, made.instance_id, made.action) == ("reconciler", msgspec.UNSET, "quarantine")
    for both in ({}, {"agent": "reconciler", "instance_id": "0" * 32}):
        with pytest.raises(InvalidInputError):
            operator.intervene(**both, reason="r")
    receipts = [new_id("rcp", 1)]
    operator.erase(receipts, reason="r")
    assert body(client, operator, "erase", ERASURE, Erasure).receipts == receipts


@pytest.mark.parametrize(("active", "scope"), [(True, ["read:payments"]), (False, ["write:other"])])
def test_only_what_is_missing_is_made(
    client: Client, operator: Operator, *, active: bool, scope: list[str]
) -> None:
    client.versions = [version(3, active=active)]
    client.docked = [
        DockView(
            dock_id="d", agent="reconciler", scope=scope, delegate_scope=[], ttl_seconds_max=1, instances_max=1,
            instances_live=0, operator="", created_at="", status="valid",
        )
    ]  # fmt: skip
    ready = operator.make_ready(MANIFEST)
    assert (ready.activated is None) is active
    assert (ready.docked is None) is active
    if not active:
        made = body(client, operator, "create_dock", DOCK, Dock)
        assert (made.scope, made.instances_max) == (MANIFEST.capabilities, READY_INSTANCES)


def test_the_root_vouches_for_keys_and_ends_them(client: Client) -> None:
    root, new, old = (
        LocalSigner.generate(role) for role in (KeyRole.ROOT, KeyRole.OPERATOR, KeyRole.OPERATOR)
    )
    holder = RootHolder(client, root)  # type: ignore[arg-type]
    holder.register_key(new.public_key, KeyRole.OPERATOR, subject="ada", roles=["operator", "admin"])
    statement = client.sent["register_key"]
    made = statement.body(KEY, Key)
    assert (made.key_id, made.role, made.roles) == (new.key_id, "operator", ["admin", "operator"])
    assert PublicKey(made.public_key) == new.public_key
    assert [one.keyid for one in statement.signatures] == [root.key_id]
    holder.register_key(new.public_key, KeyRole.OPERATOR, subject="ada", replaces=old)
    statement = client.sent["register_key"]
    assert is_signed_by(statement, root.key_id, root.public_key)
    assert is_signed_by(statement, old.key_id, old.public_key)
    assert statement.body(KEY, Key).replaces == old.key_id
    holder.revoke_key(new.key_id, reason="lost")
    ended = client.sent["revoke_key"].body(KEY_REVOCATION, KeyRevocation)
    assert ended.revoked_at == ended.compromised_since == format_time(client.clock.now_ms())


def test_a_dispatch_is_ordered_and_cancelled(operator: Operator, client: Client) -> None:
    wanted = Dispatch(
        dispatch_id=new_id(DISPATCH_ID, 0), tenant_id=client.tenant_id, agent="reconciler", dispatcher="process",
        target="n1", scope=[], ttl_seconds=900, goal_hash="0" * 64, spec_hash="1" * 64, created_at=format_time(0),
    )  # fmt: skip
    assert operator.create_dispatch(wanted) is RECORDED
    assert body(client, operator, "create_dispatch", DISPATCH_ORDER, Dispatch) == wanted
    operator.cancel_dispatch(wanted.dispatch_id, reason="over")
    made = body(client, operator, "intervene", INTERVENTION, Intervention)
    assert (made.dispatch_id, made.action, made.reason) == (wanted.dispatch_id, "stop", "over")
    assert (made.instance_id, made.agent) == (msgspec.UNSET, msgspec.UNSET)
    with pytest.raises(InvalidInputError):
        operator.cancel_dispatch("dsp_1", reason="over")


def test_a_policy_has_the_next_version(operator: Operator, client: Client) -> None:
    values = msgspec.structs.asdict(client.policy("reconciler").thresholds)
    operator.publish_policy("reconciler", {**values, "restarts_max": 7})
    made = body(client, operator, "publish_policy", POLICY, Policy)
    assert (made.agent, made.version, made.restarts_max) == ("reconciler", 4, 7)
    assert made.degrade_after_seconds == 60
    for wrong in (
        {"degrade_after_seconds": 0},
        {"degrade_after_seconds": 90},
        {"progress_sources": ["claim"]},
    ):
        with pytest.raises(InvalidInputError) as caught:
            operator.publish_policy("reconciler", values | wrong)
        assert caught.value.code == "policy_invalid"
