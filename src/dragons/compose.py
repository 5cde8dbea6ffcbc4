"""The only place where objects are built: store, keyring, application, server, and a home's first start.

Never overwrites a key and never builds on a home that is only half there. Importing it loads the
servers' packages: clients import it when they need it, not before.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TextIO, cast

import msgspec
import structlog
import uvicorn
from fastapi import FastAPI

from dragons.adapters.keyfiles import FileKeyring, make_folder, read_secret, write_key, write_secret
from dragons.adapters.notify.build import Notifiers, load_notifiers
from dragons.adapters.notify.deliverer import Deliverer
from dragons.adapters.otel import OtelMetrics, OtelTracing, telemetry_of
from dragons.adapters.sql.store import SqlStore
from dragons.api.app import create_app
from dragons.api.authentication import new_api_token
from dragons.api.backend import Backend
from dragons.api.measures import Measures
from dragons.api.observing import names, observed
from dragons.control.caller import Caller
from dragons.control.genesis import FirstKeys, create_tenant, prepare_genesis
from dragons.control.ports import Store, Transaction
from dragons.control.sweep import OUTAGE_AFTER_MS, TIMERS_MAX, Swept, checkpoint, fire, postpone, sweep
from dragons.control.tokens import TokenWish, hash_token, issue_api_token
from dragons.core.clock import Clock, SteadyClock, SystemClock
from dragons.core.errors import ConflictError, DragonsError, InvalidInputError, StorageError
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.vocabulary import Role
from dragons.sdk.home import CONFIG_FILE, TOKEN_FILE, Config, Home
from dragons.settings import Settings

ROOT_FILE = "root.pem"
FINGERPRINT_FILE = "root.fingerprint"
OPERATOR_FILE = "operator.pem"
FIRST_TOKEN_SECONDS = 90 * 24 * 3600
TENANT_NAME_MAX = 100
SWITCH_SECONDS = 0.001
GC_OBJECTS = 10_000
_BACKLOG = 2_048

_log = structlog.get_logger("dragons.server")


class Tenancy(NamedTuple):
    """A tenant, and where its people's secrets are. `created` is False when all was there already."""

    created: bool
    tenant_id: str
    root_fingerprint: str
    folder: Path

    @property
    def token_path(self) -> Path:
        """The file of the first operator's API token."""
        return self.folder / TOKEN_FILE


class Names(NamedTuple):
    """What a tenant and its first operator are called."""

    tenant: str
    operator: str


def build_keyring(settings: Settings) -> FileKeyring:
    """The control plane's own keys."""
    secret = settings.key_passphrase
    return FileKeyring(settings.home, None if secret is None else secret.get_secret_value())


def build_store(
    settings: Settings, clock: Clock | None = None, on_group: Callable[[int], None] | None = None
) -> SqlStore:
    """The store of a home, made when it is not there yet; `on_group` hears of each commit."""
    make_folder(settings.database.parent)
    keyring = build_keyring(settings)
    return SqlStore(settings.database, keyring, clock or SteadyClock(SystemClock()), on_group)


def build_app(settings: Settings, clock: Clock | None = None) -> FastAPI:
    """The application of a home that exists; it sweeps and tells people while it serves, and closes what it opened."""
    clock = clock or SteadyClock(SystemClock())
    notifiers = build_notifiers(settings, clock)
    backend = build_backend(settings, clock, notifiers)
    return create_app(backend, lambda: _background(backend, notifiers))


def build_notifiers(settings: Settings, clock: Clock) -> Notifiers:
    """The channels of a home; an error says what is wrong with their file."""
    return load_notifiers(settings.notifiers_file, clock, required=settings.notifiers is not None)


def build_backend(settings: Settings, clock: Clock, notifiers: Notifiers | None = None) -> Backend:
    """What the application works with."""
    router = build_notifiers(settings, clock) if notifiers is None else notifiers
    measures = Measures()
    tracing = OtelTracing() if telemetry_of(os.environ).traces else None
    store = build_store(settings, clock, measures.group)
    keyring = build_keyring(settings)
    return Backend(store, keyring, clock, settings, router, measures=measures, tracing=tracing)


def create_home(
    settings: Settings, tenant_name: str, operator_name: str, passphrase: str | None = None
) -> Tenancy:
    """The home of one tenant, complete with keys, genesis, operator token and client configuration.

    What is there already is left as it is. ConflictError when only a part is there: nothing is
    guessed and nothing overwritten. `passphrase` encrypts the root key and the operator's.
    """
    home = settings.home
    if settings.config.exists():
        return _existing(settings)
    leftover = [name for name in ("control", "operator") if (home / name).exists()]
    if leftover:
        raise _half_made(home, f"there is {' and '.join(leftover)} but no {CONFIG_FILE}")
    make_folder(home)
    clock = SystemClock()
    store = build_store(settings, clock)
    try:
        made = add_tenant(settings, store, Names(tenant_name, operator_name), clock, passphrase)
    finally:
        store.close()
    make_folder(settings.tenant_folder(made.tenant_id))
    # Last of all: a home without it is not finished.
    config = Config(url=settings.url, tenant_id=made.tenant_id, root_fingerprint=made.root_fingerprint)
    write_secret(settings.config, msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n")
    return made


def add_tenant(
    settings: Settings, store: Store, names: Names, clock: Clock, passphrase: str | None = None
) -> Tenancy:
    """A new tenant in `store`, its keys in the home. The caller is on the control plane's machine."""
    for what, name in zip(("tenant", "operator"), names, strict=True):
        if not name.strip() or len(name) > TENANT_NAME_MAX or not name.isprintable():
            raise InvalidInputError(
                "name_invalid", f"The {what}'s name is 1 to {TENANT_NAME_MAX} printable characters."
            )
    root, operator, issuer, ledger = (LocalSigner.generate(role) for role in _FIRST_ROLES)
    keys = FirstKeys(root=root, ledger=ledger, issuer=issuer, operator=operator)
    tenant_id, genesis = prepare_genesis(names.tenant, names.operator, keys, clock.now_ms())
    folder = settings.operator_folder(tenant_id)
    # Secrets first: whatever fails later, no key that something was signed with is lost.
    write_key(folder / ROOT_FILE, root, passphrase)
    write_key(folder / OPERATOR_FILE, operator, passphrase)
    fingerprint = root.public_key.fingerprint
    write_secret(folder / FINGERPRINT_FILE, fingerprint.encode() + b"\n")
    keyring = build_keyring(settings)
    keyring.add(tenant_id, issuer)
    keyring.add(tenant_id, ledger)
    token = new_api_token()
    wish = TokenWish(Role.ADMIN, names.operator, FIRST_TOKEN_SECONDS, hash_token(token))
    first = Caller(tenant_id, Role.ADMIN, key_id=operator.key_id)

    def job(tx: Transaction) -> None:
        create_tenant(tx, genesis)
        issue_api_token(tx, first, wish)
        checkpoint(tx, ledger, tenant_id)

    store.write(job).result()
    write_secret(folder / TOKEN_FILE, token.encode() + b"\n")
    return Tenancy(created=True, tenant_id=tenant_id, root_fingerprint=fingerprint, folder=folder)


_FIRST_ROLES = (KeyRole.ROOT, KeyRole.OPERATOR, KeyRole.ISSUER, KeyRole.LEDGER)


def serve(settings: Settings, before_end: Callable[[], object] = lambda: None) -> None:
    """Serve a home until a signal ends it; open requests finish, feeds end, then the store closes.

    `before_end` runs in a thread when the end was asked for, while requests are still answered.
    A second server on the same home does no harm, because the store admits one writer at a time;
    on the same port it is refused with a ConflictError.
    """
    configure_logging(settings)
    tune_interpreter()
    listening = listen(settings)
    try:
        app = build_app(settings)
        config = uvicorn.Config(
            app, loop="uvloop", http="httptools", ws="none", lifespan="on", access_log=False,
            log_config=None, server_header=False, limit_concurrency=settings.connections_max,
            timeout_graceful_shutdown=settings.shutdown_seconds, proxy_headers=False,
        )  # fmt: skip
        host, port = listening.getsockname()[:2]
        _log.info("serving", host=host, port=port, home=str(settings.home))
        Server(config, before_end).run([listening])
    finally:
        listening.close()


def tune_interpreter() -> None:
    """Set this process up for serving: it has two busy threads, and few objects that refer to each other.

    The loop and the writer hand the interpreter's lock to each other many times for one receipt, so a
    thread that wants it asks after 1 ms instead of 5. What was made until now lives as long as the
    process, so the collector looks no more at it, and more seldom at the rest (`docs/performance.md`).
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_OBJECTS, 20, 20)


class Server(uvicorn.Server):
    """Ends the event feeds before it waits for open requests, or they would never end."""

    def __init__(self, config: uvicorn.Config, before_end: Callable[[], object] = lambda: None) -> None:
        super().__init__(config)
        self._before_end = before_end

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let `before_end` be done, stop feeds, then everything else."""
        await asyncio.to_thread(self._before_end)
        app = self.config.app
        if isinstance(app, FastAPI):
            app.state.dispatcher.stop()
        await super().shutdown(sockets)


def listen(settings: Settings) -> socket.socket:
    """The server's socket; ConflictError when the port is taken."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((settings.host, settings.port))
        made.listen(_BACKLOG)
    except OSError as error:
        made.close()
        where = f"{settings.host}:{settings.port}"
        if error.errno == errno.EADDRINUSE:
            raise ConflictError(
                "port_taken",
                f"Something listens on {where} already.",
                fix="Stop it, or set DRAGONS_PORT to another port.",
            ) from error
        raise InvalidInputError(
            "address_unusable", f"Can't listen on {where}: {os.strerror(error.errno or 0)}."
        ) from error
    made.set_inheritable(False)
    return made


class _StandardError:
    """Standard error as it is when a line is written: loggers are made once, and outlive a stream that was replaced."""

    def write(self, text: str) -> None:
        sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def configure_logging(settings: Settings) -> None:
    """One line an event on standard error; nothing that a caller sent is ever in it."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    render: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _StandardError())),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(_StandardError())
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=render, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


@asynccontextmanager
async def _background(backend: Backend, notifiers: Notifiers) -> AsyncIterator[None]:
    # What happens from now on is counted, whenever the first scraper comes.
    with suppress(DragonsError):
        await backend.read(backend.ledger_metrics.begin)
    metrics = _meter(backend)
    deliverer = Deliverer(backend, backend.keyring, notifiers)
    tasks = [asyncio.create_task(_sweep_forever(backend)), asyncio.create_task(deliverer.run())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for telemetry in (metrics, backend.tracing):
            if isinstance(telemetry, OtelMetrics | OtelTracing):
                # It sends what waits, to somebody who may not answer.
                await asyncio.to_thread(telemetry.close)


def _meter(backend: Backend) -> OtelMetrics | None:
    """The figures of `/metrics` by OTLP, when the environment asks for them."""
    if not telemetry_of(os.environ).metrics:
        return None
    made = OtelMetrics(lambda: observed(backend), names())
    backend.measures.listener = made.value
    return made


async def _sweep_forever(backend: Backend) -> None:
    while True:
        await sweep_once(backend)
        await asyncio.sleep(backend.settings.sweep_seconds)


async def sweep_once(backend: Backend) -> None:
    """Sweep every tenant; one whose sweep fails is logged and does not keep the others from theirs."""
    try:
        tenants = await backend.read(lambda reader: [row.tenant_id for row in reader.tenants()])
    except DragonsError as error:
        _log.error("sweep_failed", code=error.code, detail=error.message)
        return
    begun_ms = backend.clock.boot_ms()
    with backend.tracing.span("sweep", {"dragons.tenants": len(tenants)}) as span:
        timers = sum([await _sweep_tenant(backend, tenant_id) for tenant_id in tenants])
        span.note({"dragons.timers": timers})
    backend.measures.sweep(backend.clock.boot_ms() - begun_ms, timers)


async def _sweep_tenant(backend: Backend, tenant_id: str) -> int:
    """How many timers fired. A failure is logged and counted."""
    timers, more = 0, True
    try:
        while more:
            swept = await backend.write(_sweep_of(backend, tenant_id))
            timers, more = timers + swept.timers, swept.more
        if backend.tracing.wanted:
            await backend.read(lambda reader: backend.starts.look(reader, tenant_id))
    except StorageError as error:
        backend.measures.sweep_failed()
        _log.error("sweep_failed", tenant_id=tenant_id, code=error.code, detail=error.message)
    except Exception:  # noqa: BLE001 - one tenant must not stop the sweep of the others
        backend.measures.sweep_failed()
        _log.exception("sweep_failed", tenant_id=tenant_id)
        # Without keys or a store nothing can be fired; that is logged already.
        with suppress(DragonsError):
            timers += await _fire_singly(backend, tenant_id)
    return timers


async def _fire_singly(backend: Backend, tenant_id: str) -> int:
    """Fire what is due, each timer by itself: one that fails is put off and does not hold up the others."""
    issuer, now_ms, fired = backend.keyring.issuer(tenant_id), backend.clock.now_ms(), 0
    for timer in await backend.read(lambda reader: reader.timers_due(tenant_id, now_ms, TIMERS_MAX)):
        try:
            await backend.write(lambda tx, timer=timer: fire(tx, issuer, timer))  # type: ignore[misc]
            fired += 1
        except Exception:  # noqa: BLE001 - as said
            _log.exception("timer_failed", tenant_id=tenant_id, kind=timer.kind, key=timer.key)
            await backend.write(lambda tx, timer=timer: postpone(tx, timer))  # type: ignore[misc]
    return fired


def _sweep_of(backend: Backend, tenant_id: str) -> Callable[[Transaction], Swept]:
    issuer, ledger = backend.keyring.issuer(tenant_id), backend.keyring.ledger(tenant_id)
    outage_after_ms = max(OUTAGE_AFTER_MS, round(backend.settings.sweep_seconds * 3_000))
    return lambda tx: sweep(tx, issuer, ledger, tenant_id, outage_after_ms=outage_after_ms)


def _existing(settings: Settings) -> Tenancy:
    """The home as it is; ConflictError when something that it needs is missing."""
    config = Home(settings.home).config()
    folder = settings.operator_folder(config.tenant_id)
    if not settings.database.is_file():
        raise _half_made(settings.home, f"{settings.database} is missing")
    keyring = build_keyring(settings)
    try:
        keyring.issuer(config.tenant_id)
        keyring.ledger(config.tenant_id)
        # The root key may be offline, as it should.
        read_secret(folder / TOKEN_FILE)
        read_secret(folder / OPERATOR_FILE)
    except DragonsError as error:
        raise _half_made(settings.home, error.message) from error
    return Tenancy(False, config.tenant_id, config.root_fingerprint, folder)  # noqa: FBT003 - `created`


def _half_made(home: Path, what: str) -> ConflictError:
    return ConflictError(
        "home_incomplete",
        f"{home} is not a complete home: {what}",
        fix="Restore it from a backup, or move it away and begin a new one.",
    )
