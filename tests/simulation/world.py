"""The simulated world: virtual time, a seeded network that loses, delays, doubles and reorders, a plane that crashes.

Real are the use cases, the rules and the SQLite store. Simulated are time, the network, and who calls. One seed
makes one history: what is drawn at random, names included, comes from one generator.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dragons.core import ids
from dragons.core.errors import DragonsError
from tests.simulation.inline import InlineStore
from tests.support.plane import Plane, Tenancy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dragons.control.ports import Transaction

T = TypeVar("T")
SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

# Where histories are kept: in memory if the machine has such a file system, since what a disk loses is tested elsewhere.
_MEMORY = Path("/dev/shm")  # noqa: S108 - a file system, not a file name that anybody could guess
MEMORY = _MEMORY if _MEMORY.is_dir() else None


class Unreachable(Exception):  # noqa: N818 - an answer that never came is no fault of the program
    """No answer came: nobody knows whether the request was carried out."""


class Crashed(Exception):  # noqa: N818 - as above
    """The control plane died before it could commit."""


@dataclass(frozen=True)
class Faults:
    """How often what goes wrong: shares of requests, and mean hours between crashes."""

    lost: float = 0.0
    unanswered: float = 0.0
    uncommitted: float = 0.0
    doubled: float = 0.0
    delay_ms_max: int = 200
    plane_hours: float = 0.0
    node_hours: float = 0.0


class _Dice:
    """Stands for `secrets` in `dragons.core.ids`, so that a seed also decides names."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def token_bytes(self, count: int) -> bytes:
        return self._rng.randbytes(count)

    def token_hex(self, count: int) -> str:
        return self._rng.randbytes(count).hex()

    def randbits(self, count: int) -> int:
        return self._rng.getrandbits(count)


@contextmanager
def seeded_names(rng: random.Random) -> Iterator[None]:
    """Names drawn from `rng` while the block runs."""
    before = vars(ids)["secrets"]
    ids.secrets = _Dice(rng)  # type: ignore[assignment,attr-defined]
    try:
        yield
    finally:
        ids.secrets = before  # type: ignore[attr-defined]


class World:
    """Virtual time, what is to happen in it, and the way to the control plane."""

    def __init__(self, folder: Path, seed: int, faults: Faults) -> None:
        self.rng = random.Random(seed)
        self.faults = faults
        self.plane = Plane(folder / "control.db", open_store=InlineStore)
        self.acme: Tenancy = self.plane.tenant()
        self.is_up = True
        self.writes = self.size = 0
        self.checks: list[Callable[[], None]] = []
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._made = 0

    @property
    def now_ms(self) -> int:
        return self.plane.clock.now_ms()

    def after(self, delay_ms: float, what: Callable[[], None]) -> None:
        """Let `what` happen in `delay_ms`."""
        self._made += 1
        heapq.heappush(self._queue, (self.now_ms + max(0, round(delay_ms)), self._made, what))

    def run(self, until_ms: int) -> None:
        """Let everything happen that is due before `until_ms`, and check the promises after each of it."""
        while self._queue and self._queue[0][0] <= until_ms:
            at_ms, _, what = heapq.heappop(self._queue)
            self.plane.clock.advance(max(0, at_ms - self.now_ms))
            what()
            for check in self.checks:
                check()
        self.plane.clock.advance(max(0, until_ms - self.now_ms))

    def call(self, job: Callable[[Transaction], T]) -> T:
        """Ask the control plane now. Unreachable when no answer comes, whether or not it was done."""
        faults, rng = self.faults, self.rng
        if not self.is_up or rng.random() < faults.lost:
            raise Unreachable
        if rng.random() < faults.uncommitted:
            self._uncommitted(job)
            raise Unreachable
        found = self.write(job)
        if rng.random() < faults.doubled:
            self.after(self.delay_ms(), lambda: self._again(job))
        if rng.random() < faults.unanswered:
            raise Unreachable
        return found

    def write(self, job: Callable[[Transaction], T]) -> T:
        """Carry out `job` in the control plane, and see how far the ledger has grown by it."""

        def noted(tx: Transaction) -> T:
            found = job(tx)
            self.size = tx.tree_size(self.acme.tenant_id)
            return found

        self.writes += 1
        return self.plane.write(noted)

    def send(self, job: Callable[[Transaction], T], then: Callable[[T | Exception], None]) -> None:
        """Ask the control plane by a message that takes its time; the answer, or what went wrong, goes to `then`."""

        def arrive() -> None:
            try:
                answer: T | Exception = self.call(job)
            except (Unreachable, DragonsError) as error:
                answer = error
            self.after(self.delay_ms(), lambda: then(answer))

        self.after(self.delay_ms(), arrive)

    def delay_ms(self) -> int:
        """How long a message takes; few take very long, so that messages overtake each other."""
        slow = self.rng.random() < 0.05
        return self.rng.randrange(1, self.faults.delay_ms_max * (20 if slow else 1) + 2)

    def crash(self, down_ms: int) -> None:
        """The control plane dies and is back after `down_ms`."""
        if self.is_up:
            self.is_up = False
            self.after(down_ms, self._restart)

    def _restart(self) -> None:
        self.plane.reopen()
        self.is_up = True

    def _again(self, job: Callable[[Transaction], object]) -> None:
        if self.is_up:
            try:
                self.write(job)
            except DragonsError:
                return

    def _uncommitted(self, job: Callable[[Transaction], object]) -> None:
        def dies(tx: Transaction) -> None:
            job(tx)
            raise Crashed

        try:
            self.plane.write(dies)
        except (Crashed, DragonsError):
            return
