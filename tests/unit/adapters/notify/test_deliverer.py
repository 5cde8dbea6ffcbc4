"""The outbox is delivered over real HTTP and SMTP, whatever a receiver, a store or a process does."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from dragons.adapters.notify import deliverer
from dragons.adapters.notify.build import Notifiers, Secrets
from dragons.adapters.notify.config import parse_config
from dragons.adapters.notify.deliverer import Deliverer
from dragons.api.backend import Backend
from dragons.compose import Names, add_tenant, build_backend
from dragons.control.messages import EACH_CHANNEL_MAX, LEASE_MS, enqueue, take_messages
from dragons.control.ports import Filter
from dragons.control.rows import MessageRow
from dragons.core.canonical import decode
from dragons.core.clock import ManualClock
from dragons.core.errors import StorageError
from dragons.core.hashing import sha256_hex
from dragons.core.vocabulary import Kind
from dragons.evidence.receipt import Delivery
from dragons.settings import Settings
from tests.support.receivers import SECRET, http_receiver, mail_server
from tests.unit.adapters.notify.messages import FACTS, INCIDENT

WAIT_SECONDS = 20.0


@dataclass
class Office:
    """A control plane with one tenant, its outbox and what delivers it."""

    backend: Backend
    clock: ManualClock
    tenant_id: str
    deliverer: Deliverer
    runner: asyncio.Runner

    def run(self, main: Callable[[], Awaitable[None]]) -> None:
        """Run on the one loop that the backend belongs to."""

        async def bounded() -> None:
            async with asyncio.timeout(60):
                await main()

        self.runner.run(bounded())

    def put(self, channel: str, **facts: Any) -> str:
        job = self.backend.store.write(
            lambda tx: enqueue(
                tx,
                self.tenant_id,
                "quarantined",
                {**FACTS, **facts},
                incident_id=INCIDENT,
                channel=channel,
            )
        )
        return job.result(WAIT_SECONDS)

    def message(self, message_id: str) -> MessageRow:
        found = self.backend.read_now(lambda reader: reader.message(self.tenant_id, message_id))
        assert found is not None
        return found

    def deliveries(self) -> list[Delivery]:
        wanted = Filter(kind=Kind.NOTIFIED.value)
        rows = self.backend.read_now(lambda reader: list(reader.iter_receipts(self.tenant_id, wanted)))
        return [decode(Delivery, row.statement) for row in rows]

    async def deliver(self) -> None:
        """Everything that is due is sent and settled."""
        while await self.deliverer.round():
            await self.deliverer.idle()


@contextmanager
def office(folder: Path, *channels: str, routes: str = "", **options: float) -> Iterator[Office]:
    text = "channels: {" + ", ".join(channels) + "}" + routes
    clock = ManualClock()
    backend = build_backend(Settings(home=folder / "home"), clock)
    names = Names("acme", "Ada")
    tenant_id = add_tenant(backend.settings, backend.store, names, clock).tenant_id
    config = parse_config(text.encode(), folder)
    notifiers = Notifiers(config, clock, Secrets(folder, {"HOOK": SECRET}))
    deliverer = Deliverer(backend, backend.keyring, notifiers, **options)
    with asyncio.Runner() as runner:
        try:
            yield Office(backend, clock, tenant_id, deliverer, runner)
        finally:
            backend.close()


def hook(name: str, url: str) -> str:
    return f'{name}: {{type: webhook, url: "{url}", secret_env: HOOK}}'


async def until(done: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not done():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def test_an_escalation_reaches_every_channel_and_the_record(tmp_path: Path) -> None:
    with (
        http_receiver() as receiver,
        mail_server() as server,
        office(
            tmp_path,
            hook("ops", receiver.url),
            f"mail: {{type: email, host: localhost, port: {server.port}, security: none, "
            "from: dragons@example.org, to: [ada@example.org]}",
        ) as made,
    ):
        made.put("")
        made.run(made.deliver)
        (post,), (mail,) = receiver.posts, server.mails
        assert post.is_signed()
        assert post.json["data"]["agent"] == "reconciler"
        assert "reconciler is quarantined" in mail.message["subject"]
        found = {body.channel: body for body in made.deliveries()}
    assert {body.outcome for body in found.values()} == {"delivered"}
    assert found["ops"].message_hash == sha256_hex(post.body)
    assert found["ops"].message_id == post.headers["webhook-id"]
    assert found["mail"].message_id in mail.message["message-id"]
    assert found["ops"].incident_id == found["mail"].incident_id == INCIDENT


def test_a_receiver_that_fails_gets_it_again(tmp_path: Path) -> None:
    with http_receiver(500, 200) as receiver, office(tmp_path, hook("ops", receiver.url)) as made:
        one = made.put("ops")
        made.run(made.deliver)
        row = made.message(one)
        assert (row.outcome, row.attempts, row.detail) == ("", 1, "answered 500")
        made.run(made.deliver)
        assert len(receiver.posts) == 1
        made.clock.advance(10_000)
        made.run(made.deliver)
        assert (made.message(one).outcome, made.message(one).attempts) == ("delivered", 2)
        assert len({post.headers["webhook-id"] for post in receiver.posts}) == 1
        assert [body.outcome for body in made.deliveries()] == ["delivered"]


def test_a_dead_receiver_is_given_up_on_the_record(tmp_path: Path) -> None:
    with http_receiver() as gone:
        url = gone.url
    with office(tmp_path, hook("ops", url)) as made:
        one = made.put("ops")
        while not made.message(one).done_ms:
            made.run(made.deliver)
            made.clock.advance(30 * 60 * 1000)
        (body,) = made.deliveries()
    assert (body.outcome, body.detail, body.attempts) == ("failed", "could not connect", 20)


def test_a_channel_that_hangs_holds_up_only_itself(tmp_path: Path) -> None:
    with (
        http_receiver(held=True) as slow,
        http_receiver() as fast,
        office(tmp_path, hook("slow", slow.url), hook("fast", fast.url), poll_seconds=0.01) as made,
    ):
        for _ in range(3 * EACH_CHANNEL_MAX):
            made.put("slow")
        quick = [made.put("fast") for _ in range(3 * EACH_CHANNEL_MAX)]

        async def main() -> None:
            task = asyncio.create_task(made.deliverer.run())
            await until(lambda: all(made.message(one).outcome for one in quick))
            assert len(slow.posts) == EACH_CHANNEL_MAX
            slow.gate.set()
            await until(lambda: len(made.deliveries()) == 6 * EACH_CHANNEL_MAX)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        made.run(main)
    assert len(slow.posts) == len(fast.posts) == 3 * EACH_CHANNEL_MAX


@pytest.mark.parametrize("steps", range(6))
def test_it_ends_when_it_is_cancelled_while_it_pauses_or_wakes(tmp_path: Path, steps: int) -> None:
    with office(tmp_path, hook("ops", "http://localhost:1"), poll_seconds=0.001) as made:

        async def main() -> None:
            task = asyncio.create_task(made.deliverer.run())
            await asyncio.sleep(0.05)
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()

        made.run(main)


def test_a_send_that_takes_too_long_is_tried_again_and_keeps_its_place(tmp_path: Path) -> None:
    with (
        http_receiver(held=True) as slow,
        office(tmp_path, hook("slow", slow.url), poll_seconds=0.01, send_seconds_max=0.05) as made,
    ):
        sent = [made.put("slow") for _ in range(EACH_CHANNEL_MAX)]

        async def main() -> None:
            await made.deliverer.round()
            await until(lambda: all(made.message(one).detail for one in sent))
            assert {made.message(one).detail for one in sent} == {"it took too long"}
            made.clock.advance(10_000)
            assert await made.deliverer.round() == 0
            slow.gate.set()
            await made.deliverer.idle()
            assert await made.deliverer.round() == EACH_CHANNEL_MAX
            await made.deliverer.idle()

        made.run(main)
        assert {made.message(one).outcome for one in sent} == {"delivered"}


def test_what_a_dead_process_claimed_is_sent_by_another(tmp_path: Path) -> None:
    with http_receiver() as receiver, office(tmp_path, hook("ops", receiver.url)) as made:
        one = made.put("ops")
        issuer = made.backend.keyring.issuer(made.tenant_id)
        taken = made.backend.store.write(lambda tx: take_messages(tx, issuer, made.tenant_id, 10))
        assert [row.message_id for row in taken.result(WAIT_SECONDS)] == [one]
        made.run(made.deliver)
        assert not receiver.posts
        made.clock.advance(LEASE_MS)
        made.run(made.deliver)
        assert [post.headers["webhook-id"] for post in receiver.posts] == [one]
        assert made.message(one).attempts == 2


def test_two_deliverers_send_each_message_once(tmp_path: Path) -> None:
    with http_receiver() as receiver, office(tmp_path, hook("ops", receiver.url)) as made:
        config = parse_config(f"channels: {{{hook('ops', receiver.url)}}}".encode(), tmp_path)
        notifiers = Notifiers(config, made.clock, Secrets(tmp_path, {"HOOK": SECRET}))
        other = Deliverer(made.backend, made.backend.keyring, notifiers)
        sent = [made.put("ops") for _ in range(20)]

        async def main() -> None:
            while any(await asyncio.gather(made.deliverer.round(), other.round())):
                await asyncio.gather(made.deliverer.idle(), other.idle())

        made.run(main)
    assert sorted(post.headers["webhook-id"] for post in receiver.posts) == sorted(sent)


def test_a_delivery_that_can_not_be_noted_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with http_receiver() as receiver, office(tmp_path, hook("ops", receiver.url)) as made:
        one = made.put("ops")
        write, full = made.backend.write, [False]

        async def failing(job: Callable[[Any], Any]) -> Any:
            if full[0]:
                raise StorageError("storage_full", "The disk is full.")
            full[0] = True
            return await write(job)

        monkeypatch.setattr(made.backend, "write", failing)

        async def once() -> None:
            await made.deliverer.round()
            await made.deliverer.idle()

        made.run(once)
        assert (len(receiver.posts), made.message(one).outcome) == (1, "")
        monkeypatch.setattr(made.backend, "write", write)
        made.clock.advance(LEASE_MS)
        made.run(made.deliver)
        assert made.message(one).outcome == "delivered"
        assert [post.headers["webhook-id"] for post in receiver.posts] == [one, one]


def test_a_channel_that_is_gone_and_a_message_that_can_not_be_made(tmp_path: Path) -> None:
    with http_receiver() as receiver, office(tmp_path, hook("ops", receiver.url)) as made:
        lost = made.put("pager")
        broken = made.put("ops")
        row = made.message(broken)
        made.backend.store.write(
            lambda tx: tx.put_message(
                MessageRow(
                    row.tenant_id,
                    row.message_id,
                    "ops",
                    row.topic,
                    b'{"ratio":0.5}',
                    row.created_ms,
                    row.due_ms,
                )
            )
        ).result(WAIT_SECONDS)
        good = made.put("ops")
        made.run(made.deliver)
        assert made.message(lost).detail == "there is no such channel any more"
        assert made.message(broken).detail == "could not be made: InvalidInputError"
        assert made.message(good).outcome == "delivered"


def test_the_loop_survives_a_store_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with http_receiver() as receiver, office(tmp_path, hook("ops", receiver.url), poll_seconds=0.01) as made:
        one = made.put("ops")
        read, failures = made.backend.read, [StorageError("storage_full", "x"), ValueError("y")]

        async def failing(job: Callable[[Any], Any]) -> Any:
            if failures:
                raise failures.pop()
            return await read(job)

        monkeypatch.setattr(made.backend, "read", failing)

        async def main() -> None:
            task = asyncio.create_task(made.deliverer.run())
            await until(lambda: made.message(one).outcome == "delivered")
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        made.run(main)
    assert not failures


def test_a_tenant_that_can_not_be_served_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with http_receiver() as receiver, office(tmp_path, hook("ops", receiver.url)) as made:
        other = add_tenant(made.backend.settings, made.backend.store, Names("globex", "Bob"), made.clock)
        made.put("ops")
        good = replace(made, tenant_id=other.tenant_id)
        one = good.put("ops")
        issuer, errors = made.backend.keyring.issuer, [StorageError("lost", "x"), ValueError("y")]

        def broken(tenant_id: str) -> Any:
            if tenant_id == made.tenant_id:
                raise errors.pop()
            return issuer(tenant_id)

        monkeypatch.setattr(made.backend.keyring, "issuer", broken)
        made.run(made.deliver)
        made.clock.advance(1)
        assert (good.message(one).outcome, len(receiver.posts)) == ("delivered", 1)
    assert not errors


def test_a_wall_clock_that_was_set_back_holds_up_nothing(tmp_path: Path) -> None:
    with http_receiver(500, 200) as receiver, office(tmp_path, hook("ops", receiver.url)) as made:
        one = made.put("ops")
        made.run(made.deliver)
        # The ledger's time goes on from its last receipt.
        made.clock.jump(-3_600_000)
        made.clock.advance(10_000)
        made.run(made.deliver)
        assert made.message(one).outcome == "delivered"


def test_the_end_waits_for_nobody(tmp_path: Path) -> None:
    with (
        http_receiver(held=True) as slow,
        office(tmp_path, hook("slow", slow.url), poll_seconds=0.01) as made,
    ):
        made.put("slow")

        async def main() -> None:
            task = asyncio.create_task(made.deliverer.run())
            await until(lambda: len(slow.posts) == 1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        made.run(main)
        sending = [thread for thread in threading.enumerate() if thread.name == "dragons-notify"]
        assert sending
        assert all(thread.daemon for thread in sending)
        slow.gate.set()
        for thread in sending:
            thread.join(WAIT_SECONDS)


def test_no_secret_leaves_by_a_log_a_row_or_a_receipt(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    # One that was used before prints to where standard error was then.
    monkeypatch.setattr(deliverer, "_log", structlog.wrap_logger(structlog.PrintLogger(sys.stderr)))
    with http_receiver(500, 200) as receiver, mail_server() as server:
        url = f"{receiver.url}/services/hunter2"
        mail = f"host: localhost, port: {server.port}, from: d@example.org, to: [a@example.org]"
        mail = f"mail: {{type: email, {mail}, security: none, username: ada, password_env: HOOK}}"
        with office(tmp_path, hook("ops", url), mail) as made:
            ids = [made.put("ops"), made.put("mail")]
            for _ in range(2):
                made.run(made.deliver)
                made.clock.advance(20_000)
            told = repr([made.message(one) for one in ids]) + repr(made.deliveries())
            database = b"".join(
                path.read_bytes() for path in (tmp_path / "home" / "control").glob("dragons.db*")
            )
    printed = "".join(capsys.readouterr())
    assert [post.path for post in receiver.posts] == ["/services/hunter2"] * 2
    assert "answered 500" in printed
    for secret in ("hunter2", SECRET, SECRET.removeprefix("whsec_")):
        assert secret not in told + caplog.text + printed
        assert secret.encode() not in database
