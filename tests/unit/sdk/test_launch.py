from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dragons.core.clock import ManualClock
from dragons.core.errors import ForbiddenError, InvalidInputError
from dragons.core.keys import PublicKey
from dragons.identity.measure import measure_directory
from dragons.sdk import launch as launching
from dragons.sdk.attachment import read_attachment, write_attachment
from dragons.sdk.home import write_secret
from dragons.sdk.instance import Instance, Place
from dragons.sdk.launch import Wanted, attach_again, find_origin, launch
from dragons.sdk.localstore import LocalStore
from dragons.wire.authority import Granted, Launch
from tests.functional.plane import make_agent
from tests.unit.sdk.kit import READ, URL, Plane
from tests.unit.sdk.test_attachment import attachment


class Client:
    """Grants what is asked for, and remembers it."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.asked: list[Launch] = []
        self.error: Exception | None = None

    def __call__(self, url: str, token: str, **_: object) -> Client:
        self.came = (url, token)
        return self

    def __enter__(self) -> Client:  # noqa: PYI034 - the same object, not a new one
        return self

    def __exit__(self, *_: object) -> None:
        return

    def launch(self, request: Launch, instance: Any) -> Granted:
        if self.error is not None:
            raise self.error
        self.asked.append(request)
        assert instance.public_key.raw == request.instance_key
        return self.plane.granted(self.plane.lease(request.instance_id, PublicKey(request.instance_key)))


@pytest.fixture
def client(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client(plane)
    monkeypatch.setattr(launching, "OperatorClient", made)
    monkeypatch.delenv("DRAGONS_INSTANCE", raising=False)
    return made


@pytest.fixture
def home(tmp_path: Path, plane: Plane) -> Path:
    folder = tmp_path / "home"
    config = {"url": URL, "tenant_id": plane.tenant_id, "root_fingerprint": ""}
    write_secret(folder / "config.json", msgspec.json.encode(config))
    write_secret(folder / "operator" / plane.tenant_id / "token", b"dgt_x\n")
    return folder


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    return make_agent(tmp_path / "agent", "reconciler", [READ])


def test_a_launch_makes_a_new_key_each_time(
    client: Any, agent: Path, store: LocalStore, clock: ManualClock
) -> None:
    manifest = measure_directory(agent)
    first, second = (launch(client, manifest, Place(URL, store, clock), ttl_seconds=60) for _ in range(2))
    assert first.signer.key_id != second.signer.key_id
    assert first.instance_id != second.instance_id
    assert [(one.manifest, one.ttl_seconds) for one in client.asked] == [(manifest, 60)] * 2
    assert first.keeps
    assert first.authority.lease.instance_id == first.instance_id


def test_a_session_outside_a_launcher_launches_itself(
    client: Client, home: Path, agent: Path, plane: Plane, clock: ManualClock
) -> None:
    origin = find_origin(Wanted(agent_dir=agent, home=home, scope=(READ,)), clock)
    assert client.came == (URL, "dgt_x")
    assert (origin.session_id, origin.follower) == ("", None)
    assert origin.instance.place.store.path == home / "tenant" / plane.tenant_id / "local.db"
    assert client.asked[0].scope == [READ]
    origin.instance.place.store.close()


def test_a_refused_launch_leaves_nothing_open(
    client: Client, home: Path, agent: Path, clock: ManualClock
) -> None:
    client.error = ForbiddenError("manifest_unrecorded", "it differs")
    with pytest.raises(ForbiddenError, match="it differs") as caught:
        find_origin(Wanted(agent_dir=agent, home=home), clock)
    assert "dragons manifests register" in caught.value.fix


def test_without_a_folder_it_is_that_of_the_program(
    client: Client, home: Path, agent: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [str(agent / "agent.py")])
    find_origin(Wanted(home=home), clock).instance.place.store.close()
    assert client.asked[0].manifest == measure_directory(agent)
    monkeypatch.setattr(sys, "argv", [str(agent.parent / "other.py")])
    with pytest.raises(InvalidInputError, match="dragons run"):
        find_origin(Wanted(home=home), clock)


def test_under_a_launcher_its_instance_is_used(
    client: Client, plane: Plane, instance: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = plane.clock
    path, given = tmp_path / "i.json", attachment(plane, instance)
    given.store = str(tmp_path / "attached.db")
    write_attachment(path, given)
    monkeypatch.setenv("DRAGONS_INSTANCE", str(path))
    origin = find_origin(Wanted(), clock)
    attached = origin.instance
    assert (origin.session_id, origin.goal) == ("ses", "g")
    assert (attached.instance_id, attached.keeps) == (instance.instance_id, False)
    assert attached.signer.key_id == instance.signer.key_id
    assert client.asked == []
    assert attached.place.store.holders() == []
    assert origin.follower is not None
    attach_again(attached, origin.follower)
    assert attached.authority.lease.serial == 0
    given = read_attachment(path)
    given.granted = plane.granted(plane._renewed(), token="newer")
    write_attachment(path, given)
    attach_again(attached, origin.follower)
    assert attached.authority.lease.serial == 1
    assert attached.credential.token == "newer"
    attached.place.store.close()
