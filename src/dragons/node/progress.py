"""The progress of a program as its launcher saw it: several sources, each of which only counts what is novel.

The sequence is the sum of their counts and the digest binds them all. Names the source that advanced last.
Never takes a program's word for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple, Protocol

from dragons.core.canonical import canonical
from dragons.core.hashing import sha256_hex
from dragons.liveness.heartbeat import Progress
from dragons.sdk.instance import RECEIPTS, Instance


class Counted(NamedTuple):
    """How many novel things a source saw, and a digest (hex) that binds them; empty when there were none."""

    total: int
    digest: str

    def then(self, digest: bytes) -> Counted:
        """One more, with this digest."""
        return Counted(self.total + 1, sha256(bytes.fromhex(self.digest) + digest).hexdigest())


class Source(Protocol):
    """Something that progress can be seen by; `source` is its name in a heartbeat."""

    @property
    def source(self) -> str: ...

    def look(self) -> Counted: ...


class ReceiptProgress:
    """Work of an instance that is on the record and was novel."""

    source = RECEIPTS

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def look(self) -> Counted:
        known = self._instance.observe_receipts()
        return Counted(0, "") if known is None else Counted(known.sequence, known.digest)


class Meter:
    """The sources of one program. `now` is called by one thread."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._seen = {one.source: 0 for one in sources}
        self._named: list[str] = []

    @property
    def seen(self) -> tuple[str, ...]:
        """The sources that progress was seen by, sorted."""
        return tuple(sorted(name for name, count in self._seen.items() if count))

    def now(self) -> Progress | None:
        """Everything seen so far, None while there is nothing.

        Where several sources advanced since the last time, the one that was not named for longest is
        named: a policy may count only some of them, and each has its turn.
        """
        counted = {one.source: one.look() for one in self._sources}
        advanced = [name for name, one in counted.items() if one.total > self._seen[name]]
        self._seen = {name: one.total for name, one in counted.items()}
        if advanced:
            name = min(advanced, key=lambda one: self._named.index(one) if one in self._named else -1)
            self._named = [*(one for one in self._named if one != name), name]
        if not self._named:
            return None
        bound = {name: [one.total, one.digest] for name, one in counted.items() if one.total}
        return Progress(
            sequence=sum(one.total for one in counted.values()),
            digest=sha256_hex(canonical(bound)),
            source=self._named[-1],
        )
