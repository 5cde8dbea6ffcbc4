"""What use cases return, on the wire."""

from __future__ import annotations

import msgspec
import pytest

from dragons.api.answers import granted_or_raise, recorded, text_of
from dragons.control.denials import Refused
from dragons.control.ports import Appended
from dragons.core.errors import ForbiddenError
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.vocabulary import Reason
from tests.support.server import Instance, Tenant


def test_a_refusal_is_forbidden_with_its_reason() -> None:
    with pytest.raises(ForbiddenError) as caught:
        granted_or_raise(Refused(Reason.DOCK_EXPIRED, "dck_1"))
    assert caught.value.code == "dock_expired"
    assert "dck_1" in caught.value.message
    assert granted_or_raise(7) == 7


def test_a_receipt_keeps_its_fields() -> None:
    made = recorded(Appended("rcp_1", 3, "ab", "2026-01-01T00:00:00.000Z"))
    assert (made.receipt_id, made.seq, made.chain_root) == ("rcp_1", 3, "ab")
    assert made.issued_at == "2026-01-01T00:00:00.000Z"


def test_absent_is_empty_text() -> None:
    assert text_of(msgspec.UNSET) == ""
    assert text_of("x") == "x"


def test_a_lease_comes_with_what_its_holder_needs(tenant: Tenant, instance: Instance) -> None:
    granted = instance.granted
    issuer = tenant.plane.backend.keyring.issuer(tenant.tenant_id)
    assert granted["issuer_key_id"] == issuer.key_id
    assert granted["risks"]["pay:invoice"] == "high"
    assert granted["interval_seconds"] == tenant.plane.settings.heartbeat_seconds
    assert "above" not in granted
    body = instance.delegation(tenant.manifest(), LocalSigner.generate(KeyRole.INSTANCE))
    child = instance.post("/v1/leases/delegations", body)
    lease = instance.lease
    # The child is the same agent: only what is its parent's own comes from above.
    assert child["above"] == [f"instance:{lease.instance_id}", f"lease:{lease.lease_id}"]
