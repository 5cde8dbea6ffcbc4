"""What a runner and its notifier say to each other: one JSON document a line, over the notifier's own pipes.

The notifier makes its key where it runs; what crosses over is the public half, and the lease that was
granted for it. Never a private key, and never a secret of a channel.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from dragons.wire.authority import Granted

LINE_BYTES_MAX = 4_000_000
SUBJECT_LENGTH_MAX = 200
TEXT_LENGTH_MAX = 8_000


class Notice(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Something to tell on one channel: its `kind` is the capability's, its `name` the configuration's."""

    kind: str
    name: str
    subject: Annotated[str, msgspec.Meta(max_length=SUBJECT_LENGTH_MAX)]
    text: Annotated[str, msgspec.Meta(max_length=TEXT_LENGTH_MAX)]
    facts: dict[str, str] = {}

    @property
    def capability(self) -> str:
        """`notify:slack`."""
        return f"notify:{self.kind}"


class Order(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Runner to notifier, first: where to work, and what to tell."""

    url: str
    tenant_id: str
    store: str
    notifiers: str
    parent_session_id: str
    goal: str
    scope: list[str]
    notices: list[Notice]


class Hello(msgspec.Struct, tag=True, forbid_unknown_fields=True, kw_only=True):
    """Notifier to runner: who will hold the lease. `key` is the public half of the key that it made."""

    instance_id: str
    key: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class Handed(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Runner to notifier: the delegated lease."""

    granted: Granted


class Told(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What came of one notice: delivered, failed or denied, and why."""

    kind: str
    name: str
    outcome: str
    detail: str = ""


class Report(msgspec.Struct, tag=True, forbid_unknown_fields=True, kw_only=True):
    """Notifier to runner, last. `waiting` receipts could not be sent yet."""

    session_id: str = ""
    told: list[Told] = []
    waiting: int = 0
    error: str = ""
