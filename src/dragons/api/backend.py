"""What the handlers work with: store, keys and clock, behind an event loop that never waits for them.

Every commit rings the bells that event feeds and nodes wait for. Never holds a decision between requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from dragons.api.bell import Bell
from dragons.api.inbox import Inbox
from dragons.api.ledger_metrics import LedgerMetrics
from dragons.api.measures import Measures
from dragons.api.tracing import NoTracing, StartWatch, Tracing
from dragons.control.messages import NoChannels, Router
from dragons.control.ports import Keyring, Reader, Store, Transaction
from dragons.control.sweep import checkpoint
from dragons.core.clock import Clock
from dragons.settings import Settings

T = TypeVar("T")

# Exports and examinations that run at the same time.
WORKERS = 2
# About 200 bytes each.
KEYS_MAX = 200_000
# How long an answer of `check_writable` is good for, so that asking is no way to wear out the disk.
WRITABLE_MS = 1_000


class InstanceKeys:
    """The public keys of instances that were asked for lately. An instance's key never changes."""

    def __init__(self, keys_max: int) -> None:
        self._keys: dict[tuple[str, str], bytes] = {}
        self._keys_max = keys_max

    def get(self, name: tuple[str, str]) -> bytes | None:
        """The key of (tenant, instance), None when it is not remembered."""
        return self._keys.get(name)

    def put(self, name: tuple[str, str], raw: bytes) -> bytes:
        """Remember a key; a full memory begins anew."""
        if len(self._keys) >= self._keys_max:
            self._keys.clear()
        self._keys[name] = raw
        return raw


class Backend:
    """One per process. Owns the store from now on and closes it at its end."""

    def __init__(
        self,
        store: Store,
        keyring: Keyring,
        clock: Clock,
        settings: Settings,
        router: Router | None = None,
        *,
        measures: Measures | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.router = router or NoChannels()
        self.store = store
        self.keyring = keyring
        self.clock = clock
        self.measures = Measures() if measures is None else measures
        self.ledger_metrics = LedgerMetrics()
        self.tracing: Tracing = NoTracing() if tracing is None else tracing
        self.starts = StartWatch(self.tracing)
        self.settings = settings
        self.bell = Bell(settings.feeds_max)
        self.instance_keys = InstanceKeys(KEYS_MAX)
        self.node_bell = Bell(
            settings.nodes_max,
            code="nodes_exhausted",
            what="nodes wait for orders",
            setting="DRAGONS_NODES_MAX",
        )
        self._threads = ThreadPoolExecutor(settings.readers, thread_name_prefix="dragons-read")
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="dragons-work")
        self._inbox: Inbox | None = None
        self._writable: asyncio.Task[None] | None = None
        self._writable_ms = 0

    async def write(self, job: Callable[[Transaction], T]) -> T:
        """The result of `job` once it is durable."""
        if self._inbox is None:
            self._inbox = Inbox(asyncio.get_running_loop())
        result = await self._inbox.wait(self.store.write(job))
        self.bell.ring()
        self.node_bell.ring()
        return result

    async def read(self, job: Callable[[Reader], T]) -> T:
        """The result of `job` over one consistent view, computed in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.read_now, job)

    def read_now(self, job: Callable[[Reader], T]) -> T:
        """As `read`, in the calling thread; on the event loop only for a few lookups by key."""
        with self.store.read() as reader:
            return job(reader)

    async def work(self, job: Callable[[Reader], T]) -> T:
        """As `read`, for what takes long: in threads of its own, or it would hold up the short reads."""
        return await asyncio.get_running_loop().run_in_executor(self._workers, self.read_now, job)

    async def check_writable(self) -> None:
        """StorageError unless the store made a write durable within the last second."""
        now_ms = self.clock.boot_ms()
        task = self._writable
        if task is None or (task.done() and now_ms - self._writable_ms >= WRITABLE_MS):
            self._writable_ms = now_ms
            task = self._writable = asyncio.ensure_future(self.write(_touch))
        await asyncio.shield(task)

    def stop_waiting(self) -> None:
        """The server shuts down: open feeds and waiting nodes are answered now."""
        self.bell.stop()
        self.node_bell.stop()

    def close(self) -> None:
        """End open feeds, the threads and the store."""
        self.stop_waiting()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._workers.shutdown(wait=True, cancel_futures=True)
        self.store.close()


async def sign_checkpoint(backend: Backend, tenant_id: str) -> None:
    """Have the newest checkpoint cover every receipt of the tenant."""
    ledger = backend.keyring.ledger(tenant_id)
    await backend.write(lambda tx: checkpoint(tx, ledger, tenant_id))


def _touch(tx: Transaction) -> None:
    """Write a row again as it is: all that a write needs, and nothing changes."""
    for row in tx.tenants()[:1]:
        tx.put_tenant(row)
