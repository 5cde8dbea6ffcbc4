"""A home is made whole, left as it is, or refused; a port that is taken says so."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import shutil
import socket
import stat
import sys
from pathlib import Path

import httpx2
import pytest
import structlog
import uvicorn

from dragons import compose
from dragons.adapters.keyfiles import read_key
from dragons.control.messages import enqueue
from dragons.control.ports import Transaction
from dragons.control.rows import InstanceRow, TimerRow
from dragons.control.sweep import POSTPONED_MS
from dragons.core.clock import ManualClock, SteadyClock, SystemClock
from dragons.core.errors import ConflictError, DragonsError, InvalidInputError
from dragons.core.keys import KeyRole
from dragons.core.vocabulary import OrganismState
from dragons.sdk.home import Home
from dragons.settings import Settings
from tests.support.receivers import SECRET, http_receiver


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def make(settings: Settings, passphrase: str | None = None) -> compose.Tenancy:
    return compose.create_home(settings, "acme", "Ada", passphrase)


def test_a_home_is_whole_and_private(settings: Settings) -> None:
    made = make(settings)
    assert made.created
    files = {str(path.relative_to(settings.home)) for path in settings.home.rglob("*") if path.is_file()}
    tenant = made.tenant_id
    assert files >= {
        "config.json",
        "control/dragons.db",
        f"control/keys/{tenant}/issuer.pem",
        f"control/keys/{tenant}/ledger.pem",
        f"operator/{tenant}/operator.pem",
        f"operator/{tenant}/root.fingerprint",
        f"operator/{tenant}/root.pem",
        f"operator/{tenant}/token",
    }
    assert (settings.home / "tenant" / tenant).is_dir()
    for path in [settings.home, *settings.home.rglob("*")]:
        if path.is_dir() or path.suffix == ".pem" or path.name in {"token", "config.json"}:
            assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_clients_find_their_way(settings: Settings) -> None:
    made = make(settings)
    home = Home(settings.home)
    config = home.config()
    assert (config.url, config.tenant_id) == ("http://127.0.0.1:7420", made.tenant_id)
    assert config.root_fingerprint == made.root_fingerprint
    assert home.token(made.tenant_id) == made.token_path.read_text("ascii").strip()
    root = home.key(made.tenant_id, KeyRole.ROOT)
    assert root.public_key.fingerprint == made.root_fingerprint
    assert (made.folder / "root.fingerprint").read_text("ascii").strip() == made.root_fingerprint
    assert set(json.loads(settings.config.read_bytes())) == {"url", "tenant_id", "root_fingerprint"}


def test_its_ledger_begins_with_the_genesis(settings: Settings) -> None:
    made = make(settings)
    store = compose.build_store(settings)
    with store.read() as reader:
        assert [row.name for row in reader.tenants()] == ["acme"]
        assert reader.tree_size(made.tenant_id) == 3
        assert reader.checkpoint(made.tenant_id) is not None
        operator = next(row for row in reader.keys(made.tenant_id) if row.role == "operator")
    store.close()
    assert operator.key_id == read_key(made.folder / "operator.pem", KeyRole.OPERATOR).key_id


def test_what_is_there_stays(settings: Settings) -> None:
    made = make(settings)
    before = {path: path.read_bytes() for path in settings.home.rglob("*") if path.is_file()}
    again = make(settings)
    assert again == made._replace(created=False)
    assert {path: path.read_bytes() for path in settings.home.rglob("*") if path.is_file()} == before


def test_the_root_key_may_be_elsewhere(settings: Settings) -> None:
    made = make(settings)
    (made.folder / "root.pem").unlink()
    assert make(settings).created is False


@pytest.mark.parametrize(
    "lost",
    ["config.json", "control", "operator", "control/dragons.db", "operator/*/token", "operator/*/operator.pem",
     "control/keys/*/issuer.pem", "control/keys/*/ledger.pem"],
)  # fmt: skip
def test_half_a_home_is_refused(settings: Settings, lost: str) -> None:
    make(settings)
    (path,) = settings.home.glob(lost)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = sorted(settings.home.rglob("*"))
    with pytest.raises(ConflictError) as caught:
        make(settings)
    assert caught.value.code == "home_incomplete"
    assert str(settings.home) in caught.value.message
    assert sorted(settings.home.rglob("*")) == before


def test_a_passphrase_protects_the_people_s_keys(settings: Settings) -> None:
    made = make(settings, "correct horse")
    for name, role in (("root.pem", KeyRole.ROOT), ("operator.pem", KeyRole.OPERATOR)):
        with pytest.raises(InvalidInputError):
            read_key(made.folder / name, role)
        assert read_key(made.folder / name, role, "correct horse")
    # The control plane starts without a person.
    assert compose.build_keyring(settings).issuer(made.tenant_id)


def test_the_control_plane_s_keys_have_their_own_passphrase(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, key_passphrase="control")  # type: ignore[arg-type]
    made = make(settings)
    assert compose.build_keyring(settings).issuer(made.tenant_id)
    with pytest.raises(DragonsError):
        compose.build_keyring(Settings(home=tmp_path)).issuer(made.tenant_id)


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "a\nb", "\x1b[31m"])
def test_names_are_printable(settings: Settings, name: str) -> None:
    with pytest.raises(InvalidInputError):
        compose.create_home(settings, name, "Ada")


def test_a_second_tenant_has_its_own_everything(settings: Settings) -> None:
    first = make(settings)
    clock = ManualClock()
    store = compose.build_store(settings, clock)
    second = compose.add_tenant(settings, store, compose.Names("globex", "Bob"), clock)
    store.close()
    assert second.tenant_id != first.tenant_id
    assert second.root_fingerprint != first.root_fingerprint
    keyring = compose.build_keyring(settings)
    assert keyring.issuer(first.tenant_id).key_id != keyring.issuer(second.tenant_id).key_id


def test_a_taken_port_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConflictError) as caught:
            compose.listen(Settings(port=port))
    assert caught.value.code == "port_taken"
    assert str(port) in caught.value.message
    assert "DRAGONS_PORT" in caught.value.fix


def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(InvalidInputError) as caught:
        compose.listen(Settings(host="192.0.2.1", behind_tls_proxy=True))
    assert caught.value.code == "address_unusable"


def test_an_ipv6_address_can_be_listened_on() -> None:
    with compose.listen(Settings(host="::1", port=0)) as listening:
        assert listening.family == socket.AF_INET6


def test_a_logger_writes_to_the_standard_error_of_its_time(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", first)
    compose.configure_logging(settings)
    log = structlog.get_logger()
    log.error("one")
    logging.getLogger("foreign").error("two")
    first_said = first.getvalue()
    first.close()
    monkeypatch.setattr(sys, "stderr", second)
    log.error("three")
    logging.getLogger("foreign").error("four")
    assert [word in first_said for word in ("one", "two", "three")] == [True, True, False]
    assert [word in second.getvalue() for word in ("two", "three", "four")] == [False, True, True]


def test_one_tenants_broken_sweep_is_not_the_others(settings: Settings) -> None:
    clock = ManualClock()

    async def main() -> dict[str, bool]:
        backend = compose.build_backend(settings, clock)
        made = [
            compose.add_tenant(settings, backend.store, compose.Names(name, "Ada"), clock)
            for name in ("acme", "globex", "initech")
        ]
        shutil.rmtree(settings.home / "control" / "keys" / min(one.tenant_id for one in made))
        for one in made:
            await backend.write(lambda tx, one=one: tx.put_checkpoint(one.tenant_id, 1, "old"))
        await compose.sweep_once(backend)
        found = {}
        for one in sorted(made, key=lambda one: one.tenant_id):
            note = await backend.read(lambda reader, one=one: reader.checkpoint(one.tenant_id))
            found[one.tenant_id] = note is not None
        backend.close()
        return found

    assert all(asyncio.run(main()).values())


def test_a_timer_that_fails_holds_up_no_other(settings: Settings) -> None:
    make(settings)
    clock = SteadyClock(SystemClock())

    async def main() -> list[TimerRow]:
        backend = compose.build_backend(settings, clock)
        (tenant,) = await backend.read(lambda reader: reader.tenants())
        damaged = InstanceRow(
            tenant_id=tenant.tenant_id, instance_id="0" * 32, agent="a", version=1, manifest_hash="0" * 64,
            public_key=b"", dock_id="d", dispatch_id="p", epoch=1, lease_id="no such lease",
            state=OrganismState.RUNNING, state_reason="", state_since_ms=0, started_ms=0,
        )  # fmt: skip

        def prepare(tx: Transaction) -> None:
            tx.put_instance(damaged)
            tx.put_timer(TimerRow(tenant.tenant_id, "organism", damaged.instance_id, 1))
            # Of an order that nobody knows any more: all there is to do is to take it away.
            tx.put_timer(TimerRow(tenant.tenant_id, "order", "ord_gone", 2))

        await backend.write(prepare)
        await compose.sweep_once(backend)
        left = await backend.read(lambda reader: reader.timers_due(tenant.tenant_id, 1 << 60, 10))
        backend.close()
        return list(left)

    before_ms = clock.now_ms()
    (left,) = asyncio.run(main())
    assert left.kind == "organism"
    assert left.due_ms >= before_ms + POSTPONED_MS


def test_channels_are_read_at_the_start(settings: Settings) -> None:
    make(settings)
    clock = ManualClock()
    assert not compose.build_notifiers(settings, clock).channels()
    settings.notifiers_file.write_text("channels: {chat: {type: slack, url_env: DRAGONS_TEST_NO_SUCH}}")
    with pytest.raises(InvalidInputError) as caught:
        compose.build_app(settings, clock)
    assert (caught.value.code, "DRAGONS_TEST_NO_SUCH" in caught.value.fix) == ("secret_missing", True)
    named = settings.model_copy(update={"notifiers": settings.home / "none.yaml"})
    with pytest.raises(DragonsError) as missing:
        compose.build_backend(named, clock)
    assert missing.value.code == "notifiers_missing"


def test_what_waits_is_delivered_while_the_application_runs(settings: Settings) -> None:
    made = make(settings)
    with http_receiver() as receiver:
        secret = settings.home / "control" / "hook.secret"
        secret.touch(0o600)
        secret.write_text(SECRET)
        settings.notifiers_file.write_text(
            f"channels: {{hook: {{type: webhook, url: '{receiver.url}', secret_file: hook.secret}}}}"
        )
        store = compose.build_store(settings)
        store.write(lambda tx: enqueue(tx, made.tenant_id, "quarantined", {"agent": "a"})).result(10)
        store.close()

        async def main() -> None:
            app = compose.build_app(settings)
            async with app.router.lifespan_context(app):
                assert await asyncio.to_thread(receiver.arrived.wait, 30)

        asyncio.run(main())
    assert receiver.posts[0].is_signed()


def wait_until_ready(url: str) -> None:
    # The socket listens already, so this waits until somebody answers.
    assert httpx2.get(f"{url}/readyz", trust_env=False, timeout=30).is_success


def test_what_has_to_happen_before_the_end_happens_while_it_answers(settings: Settings) -> None:
    make(settings)
    answers: list[int] = []
    listening = compose.listen(Settings(port=0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"

    def ask() -> None:
        answers.append(httpx2.get(f"{url}/livez", trust_env=False).status_code)

    async def main() -> None:
        config = uvicorn.Config(compose.build_app(settings), log_config=None, lifespan="on")
        server = compose.Server(config, ask)
        serving = asyncio.create_task(server.serve([listening]))
        await asyncio.to_thread(wait_until_ready, url)
        server.should_exit = True
        await serving

    asyncio.run(main())
    assert answers == [200]
    with pytest.raises(httpx2.ConnectError):
        ask()
