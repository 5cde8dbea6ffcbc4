"""Who is asking: made by authentication, handed to every use case, never read from a request's body."""

from __future__ import annotations

import msgspec

from dragons.core.vocabulary import Role


class Caller(msgspec.Struct, frozen=True):
    """An authenticated caller in exactly one tenant.

    `key_id` is the operator key that an API token acts for; `instance_id` and `lease_id` are an
    instance's. `lapsed` marks a workload token past its expiry, good for late receipts and a late renewal only.
    """

    tenant_id: str
    role: Role
    key_id: str = ""
    instance_id: str = ""
    lease_id: str = ""
    token_id: str = ""
    lapsed: bool = False
