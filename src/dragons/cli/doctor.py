"""`dragons doctor`: what is wrong with this installation, and what to do about each thing.

Only looks: changes nothing. A check that can't be made is a warning that says why, never a pass.
"""

from __future__ import annotations

import importlib.util
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from dragons.cli.command import START, command
from dragons.cli.context import ROOT_FILE, Cli
from dragons.cli.exits import Exit
from dragons.cli.values import size
from dragons.core.errors import DragonsError, NotFoundError
from dragons.core.keys import KeyRole, LocalSigner

if TYPE_CHECKING:
    from rich.console import RenderableType

PYTHON_MIN = (3, 11)
FREE_WARN_BYTES = 1 << 30
FREE_FAIL_BYTES = 100 << 20
CLOCK_WARN_MS = 5_000
CLOCK_FAIL_MS = 60_000
_SERVER_MODULES = ("fastapi", "uvicorn", "sqlalchemy", "pydantic_settings", "structlog")
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_SECRETS = ("*.pem", "token")


class Health(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One check: what was looked at, how it is, and the remedy unless it is well."""

    check: str
    health: Health
    found: str
    fix: str = ""


def register(app: typer.Typer) -> None:
    """Add `dragons doctor`."""
    command(app, "doctor", example="dragons doctor", panel=START)(doctor)


def doctor(
    cli: Cli,
    *,
    fsck: Annotated[
        bool, typer.Option("--fsck/--no-fsck", help="Let the control plane verify its store again.")
    ] = True,
) -> int:
    """Check this installation: keys, permissions, control plane, clock, storage. Exit code 1 when something is broken."""
    findings = list(examine(cli, fsck=fsck))
    worst = Health.FAIL if any(f.health is Health.FAIL for f in findings) else Health.OK
    cli.printer.data({"healthy": worst is Health.OK, "findings": findings}, lambda: _view(findings))
    return Exit.NO if worst is Health.FAIL else Exit.OK


def examine(cli: Cli, *, fsck: bool) -> Iterator[Finding]:
    """All checks, in an order in which the first broken one explains the later."""
    yield python_version()
    yield openssl()
    yield servers_installed()
    yield home_made(cli)
    yield from secrets_private(cli.home)
    yield root_offline(cli.home)
    yield storage_free(cli.home)
    yield from control_plane(cli, fsck=fsck)
    yield browser()


def python_version(version: tuple[int, int] = sys.version_info[:2]) -> Finding:
    """Python is new enough."""
    text = ".".join(str(part) for part in version)
    if version < PYTHON_MIN:
        return Finding("python", Health.FAIL, text, "Install Python 3.11 or newer.")
    return Finding("python", Health.OK, text)


def openssl() -> Finding:
    """The cryptography library works: one signature is made and verified."""
    from cryptography.hazmat.backends.openssl import backend

    signer = LocalSigner.generate(KeyRole.INSTANCE)
    if not signer.public_key.verify(signer.sign(b"doctor"), b"doctor"):
        return Finding(
            "openssl", Health.FAIL, "an Ed25519 signature does not verify", "Reinstall cryptography."
        )
    return Finding("openssl", Health.OK, f"{backend.openssl_version_text()}, Ed25519 works")


def servers_installed(modules: tuple[str, ...] = _SERVER_MODULES) -> Finding:
    """What the control plane itself runs on is there; clients and auditors don't need it."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        return Finding(
            "server packages",
            Health.WARN,
            f"{', '.join(missing)} not installed; `dragons up` will not start here",
            "pip install 'dragons-control-plane[control]'",
        )
    return Finding("server packages", Health.OK, "installed")


def home_made(cli: Cli) -> Finding:
    """The home names a tenant and a control plane."""
    try:
        config = cli.config
    except NotFoundError:
        return Finding(
            "home", Health.FAIL, f"{cli.home} was never made", "Run `dragons init`, or give --home DIR."
        )
    except DragonsError as error:
        return Finding("home", Health.FAIL, error.message, error.fix)
    return Finding("home", Health.OK, f"{cli.home}, tenant {config.tenant_id}")


def secrets_private(home: Path) -> Iterator[Finding]:
    """No key or token can be read by others."""
    files = sorted({path for pattern in _SECRETS for path in home.rglob(pattern) if path.is_file()})
    if not files:
        return
    exposed = [path for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077]
    for path in exposed:
        mode = stat.S_IMODE(path.stat().st_mode)
        yield Finding(
            "key files",
            Health.FAIL,
            f"{path} has mode {mode:04o}",
            f"chmod 600 {path}; rotate the key if others were on this machine.",
        )
    if not exposed:
        yield Finding("key files", Health.OK, f"{len(files)} keys and tokens, none readable by others")


def root_offline(home: Path) -> Finding:
    """The root key was taken away from this machine."""
    found = next(home.glob(f"operator/*/{ROOT_FILE}"), None)
    if found is not None:
        return Finding(
            "root key",
            Health.WARN,
            f"{found} is on this machine",
            "Move it to offline storage; only key changes need it (--root-key).",
        )
    return Finding("root key", Health.OK, "not on this machine")


def storage_free(home: Path) -> Finding:
    """There is room for receipts."""
    place = next(path for path in (home, *home.parents) if path.exists())
    free = shutil.disk_usage(place).free
    if free < FREE_WARN_BYTES:
        health = Health.FAIL if free < FREE_FAIL_BYTES else Health.WARN
        return Finding(
            "storage", health, f"{size(free)} free at {place}", "Free some space, or move the home."
        )
    return Finding("storage", Health.OK, f"{size(free)} free at {place}")


def control_plane(cli: Cli, *, fsck: bool) -> Iterator[Finding]:
    """The control plane answers, its clock is ours, the token is good and the store is sound."""
    import httpx2

    try:
        before_ms = cli.clock.now_ms()
        answer = httpx2.get(f"{cli.url}/readyz", timeout=5.0, trust_env=False)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        yield Finding("control plane", Health.FAIL, f"{cli.url}: {error}", "Start it: dragons up")
        return
    if not answer.is_success:
        yield Finding(
            "control plane",
            Health.FAIL,
            f"{cli.url} answers {answer.status_code}",
            "Its store takes no writes; see its log.",
        )
        return
    yield Finding("control plane", Health.OK, f"{cli.url} accepts writes")
    yield clock_difference(answer.headers.get("date", ""), before_ms)
    yield _asked("token", lambda: _token(cli))
    if fsck:
        yield _asked("ledger", lambda: _fsck(cli))


def clock_difference(date: str, now_ms: int) -> Finding:
    """Our clock against the control plane's `Date` header, which counts whole seconds."""
    try:
        theirs_ms = int(parsedate_to_datetime(date).timestamp() * 1000)
    except ValueError:
        return Finding("clock", Health.WARN, "the control plane tells no time", "Compare the clocks by hand.")
    apart_ms = max(0, abs(now_ms - theirs_ms) - 1_000)
    text = f"{apart_ms / 1000:.0f} s from the control plane's" if apart_ms else "as the control plane's"
    if apart_ms < CLOCK_WARN_MS:
        return Finding("clock", Health.OK, text)
    health = Health.FAIL if apart_ms >= CLOCK_FAIL_MS else Health.WARN
    return Finding("clock", health, text, "Synchronise the clocks (NTP); proofs of possession allow 60 s.")


def browser() -> Finding:
    """Optional: only the console's tests drive a browser."""
    found = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    return Finding("browser", Health.OK, found or "no Chromium; only the browser tests need one (optional)")


def _asked(check: str, ask: Callable[[], Finding]) -> Finding:
    try:
        return ask()
    except DragonsError as error:
        return Finding(check, Health.FAIL, error.message, error.fix)


def _token(cli: Cli) -> Finding:
    tenant = cli.client.tenant()
    if cli.options.token_file is None and tenant.tenant_id != cli.tenant_id:
        return Finding(
            "token", Health.FAIL, f"it belongs to {tenant.tenant_id}", "Use the token of the home's tenant."
        )
    pinned = "" if cli.options.token_file else cli.config.root_fingerprint
    if pinned and pinned != tenant.root_fingerprint:
        return Finding(
            "token",
            Health.FAIL,
            "the control plane's root key is not the one that this home pinned",
            "Find out which is right before you trust anything it says.",
        )
    return Finding("token", Health.OK, f"good for {tenant.name} ({tenant.tenant_id})")


def _fsck(cli: Cli) -> Finding:
    try:
        found = cli.client.fsck()
    except DragonsError as error:
        if error.status in {401, 403}:
            return Finding(
                "ledger", Health.WARN, "not checked: only an admin may", "Ask an admin, or --no-fsck."
            )
        raise
    if not found.sound:
        first = found.damage[0] if found.damage else "unsound"
        return Finding(
            "ledger",
            Health.FAIL,
            f"{len(found.damage)} faults, first: {first}",
            "Restore a backup; keep the damaged store.",
        )
    return Finding("ledger", Health.OK, f"{found.receipts} receipts, sound")


def _view(findings: list[Finding]) -> RenderableType:

    colours = {Health.OK: "green", Health.WARN: "yellow", Health.FAIL: "bold red"}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False, show_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        table.add_row(
            Text(finding.health.value, style=colours[finding.health]), finding.check, Text(finding.found)
        )
        if finding.fix:
            table.add_row("", "", Text(f"fix: {finding.fix}", style="dim"))
    counts = {health: sum(f.health is health for f in findings) for health in Health}
    summary = ", ".join(f"{count} {health.value}" for health, count in counts.items())
    return Group(table, Text(""), Text(summary))
