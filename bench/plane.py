"""A home with one tenant and any number of launched agents, each with an open session: where is measured.

The home is what `dragons init` makes, the store what `dragons up` opens: SQLite in WAL mode with
synchronous=FULL; the interpreter is set up as `dragons up` does. Setting up uses the helpers of the tests; nothing that is measured does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.claims import ACTION, claim_of
from bench.event_loop import run
from dragons.adapters.keyfiles import read_key
from dragons.adapters.sql.store import SqlStore
from dragons.api.inbox import Inbox
from dragons.authority.lease import LEASE, Lease
from dragons.compose import OPERATOR_FILE, ROOT_FILE, build_keyring, create_home, tune_interpreter
from dragons.control.append import ClaimReceipt, append_claim, check_claim
from dragons.control.caller import Caller
from dragons.control.ports import Store
from dragons.core.clock import Clock, SystemClock
from dragons.core.keys import KeyRole, LocalSigner, Signer
from dragons.core.statement import Envelope
from dragons.sdk.statements import Stating
from dragons.settings import Settings, load_settings
from tests.support import plane as support

SCOPE = (ACTION, "write:ledger")
_SECONDS = 3_600


class Worker(NamedTuple):
    """A launched agent: who it is to the control plane, and what it states with."""

    caller: Caller
    stating: Stating
    session_id: str
    token: str

    def claim(self, clock: Clock) -> Envelope:
        """A claim about one action, made and signed as the SDK does."""
        return claim_of(self.stating, self.session_id, clock)


class Plane(NamedTuple):
    """An open store with agents that may append to it."""

    settings: Settings
    tenant_id: str
    store: Store
    clock: Clock
    issuer: Signer
    workers: Sequence[Worker]

    def append_alone(self, worker: Worker) -> ClaimReceipt:
        """One claim made, checked and durable before this returns."""
        checked = check_claim(worker.caller, worker.claim(self.clock), worker.stating.signer.public_key)
        found = self.store.write(lambda tx: append_claim(tx, self.issuer, worker.caller, checked)).result()
        assert isinstance(found, ClaimReceipt), found
        return found

    def append(self, appenders: int, count: int) -> None:
        """`appenders` tasks at once append `count` claims each, as the server's event loop would."""
        run(self._append(appenders, count))

    async def _append(self, appenders: int, count: int) -> None:
        box = Inbox(asyncio.get_running_loop())

        async def go(worker: Worker) -> None:
            caller, key = worker.caller, worker.stating.signer.public_key
            for _ in range(count):
                checked = check_claim(caller, worker.claim(self.clock), key)
                found = await box.wait(
                    self.store.write(lambda tx: append_claim(tx, self.issuer, caller, checked))  # noqa: B023
                )
                assert isinstance(found, ClaimReceipt), found

        await asyncio.gather(*(go(self.workers[n % len(self.workers)]) for n in range(appenders)))

    def size(self) -> int:
        """How many receipts the ledger has."""
        with self.store.read() as reader:
            return reader.tree_size(self.tenant_id)

    def sample(self) -> tuple[Envelope, bytes]:
        """A claim and the header of its receipt."""
        worker = self.workers[0]
        seq = self.append_alone(worker).appended.seq
        with self.store.read() as reader:
            row = reader.receipt_at(self.tenant_id, seq)
        assert row is not None
        return worker.claim(self.clock), row.header

    def reopened(self) -> Plane:
        """The same, with the store closed and opened again."""
        self.store.close()
        store = SqlStore(self.settings.database, build_keyring(self.settings), self.clock)
        return self._replace(store=store)


@contextmanager
def opened(folder: Path, agents: int) -> Iterator[Plane]:
    """A new home in `folder` with `agents` launched agents; the store is closed at the end."""
    plane = make(folder, agents)
    try:
        yield plane
    finally:
        plane.store.close()


def make(folder: Path, agents: int) -> Plane:
    """As `opened`, and the caller closes the store."""
    tune_interpreter()
    settings = load_settings(home=folder / "home")
    home = create_home(settings, "bench", "bench")
    clock = SystemClock()
    keyring = build_keyring(settings)
    base = support.Plane(settings.database, clock=clock, keyring=keyring)  # type: ignore[arg-type]
    tenancy = support.Tenancy(
        base,
        home.tenant_id,
        read_key(home.folder / ROOT_FILE, KeyRole.ROOT),
        read_key(home.folder / OPERATOR_FILE, KeyRole.OPERATOR),
    )
    manifest = support.make_manifest()
    tenancy.publish()
    tenancy.register(manifest)
    tenancy.activate(manifest)
    tenancy.dock(manifest.agent, SCOPE, instances_max=agents, ttl_seconds_max=_SECONDS)
    workers = [_worker(tenancy.started(manifest, ttl_seconds=_SECONDS)) for _ in range(agents)]
    return Plane(settings, home.tenant_id, base.store, clock, keyring.issuer(home.tenant_id), workers)


def _worker(agent: support.Agent) -> Worker:
    lease = agent.grant.statement.body(LEASE, Lease)
    return Worker(agent.caller, Stating(lease, agent.signer), agent.session_id, agent.grant.token)


def seed_of(worker: Worker) -> bytes:
    """The secret of the worker's key, for a load generator that acts as this worker."""
    signer: LocalSigner = worker.stating.signer
    return signer.seed()
