"""Becoming an instance: a measured agent asks for a lease with a key that was made just now.

Never launches what it did not measure itself. The control plane refuses a manifest that is not on the
record, names the files that differ, and records the denial.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dragons.authority.lease import TTL_SECONDS_DEFAULT
from dragons.core.clock import Clock
from dragons.core.errors import ForbiddenError, InvalidInputError
from dragons.core.ids import uuid7_hex
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.vocabulary import Reason
from dragons.identity.manifest import Manifest
from dragons.identity.measure import DESCRIPTION_FILE, measure_directory
from dragons.sdk.attachment import Follower, attachment_path, read_attachment, read_handover
from dragons.sdk.authority import read_now, span_since
from dragons.sdk.client import OperatorClient
from dragons.sdk.errors import with_fix
from dragons.sdk.home import Home, find_home
from dragons.sdk.instance import Instance, Place
from dragons.sdk.localstore import LocalStore
from dragons.sdk.waiting import Waits, announcer
from dragons.wire.authority import Launch


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a program asks for when it opens a session outside `dragons run`."""

    agent_dir: Path | None = None
    home: Path | None = None
    url: str = ""
    scope: tuple[str, ...] = ()
    delegate_scope: tuple[str, ...] = ()
    ttl_seconds: int = TTL_SECONDS_DEFAULT


@dataclass(frozen=True, slots=True)
class Origin:
    """An instance and where it came from: a launch, or a launcher's file and session."""

    instance: Instance
    session_id: str = ""
    goal: str = ""
    follower: Follower | None = None


def launch(
    client: OperatorClient,
    manifest: Manifest,
    place: Place,
    *,
    scope: Sequence[str] = (),
    delegate_scope: Sequence[str] = (),
    ttl_seconds: int = TTL_SECONDS_DEFAULT,
    dispatch_id: str = "",
    epoch: int = 0,
    node: str = "",
) -> Instance:
    """A new instance under its first lease. Raises what the control plane answered.

    `epoch` is what an order of the control plane named; 0 takes the dispatch's next one. `node` is the
    caller's name where it is a node.
    """
    signer = LocalSigner.generate(KeyRole.INSTANCE)
    request = Launch(
        instance_id=uuid7_hex(place.clock.now_ms()),
        instance_key=signer.public_key.raw,
        manifest=manifest,
        scope=list(scope),
        delegate_scope=list(delegate_scope),
        ttl_seconds=ttl_seconds,
        dispatch_id=dispatch_id,
        epoch=epoch,
        node=node,
    )
    sent = read_now(place.clock)
    granted = client.launch(request, signer)
    instance = Instance(request.instance_id, signer, place, keeps=True)
    instance.accept(granted, span_since(sent, place.clock))
    return instance


def find_origin(wanted: Wanted, clock: Clock) -> Origin:
    """The launcher's instance when there is one, else a new one of the measured agent."""
    path = attachment_path()
    if path is not None and wanted.agent_dir is None:
        return _attach(path, clock)
    home = Home(wanted.home) if wanted.home is not None else find_home()
    config = home.config()
    manifest = measure_directory(wanted.agent_dir or _own_folder())
    store = LocalStore(home.store_path(config.tenant_id))
    url = wanted.url or config.url
    try:
        with OperatorClient(url, home.token(config.tenant_id), clock=clock) as client:
            instance = launch(
                client,
                manifest,
                Place(url, store, clock),
                scope=wanted.scope,
                delegate_scope=wanted.delegate_scope,
                ttl_seconds=wanted.ttl_seconds,
            )
    except ForbiddenError as error:
        store.close()
        raise with_fix(error) from error
    except BaseException:
        store.close()
        raise
    return Origin(instance)


def attach_again(instance: Instance, follower: Follower) -> None:
    """Go on under the lease that the launcher renewed, if it did."""
    attachment = follower.changed()
    if attachment is not None:
        instance.accept(attachment.granted, attachment.span)


def _attach(path: Path, clock: Clock) -> Origin:
    follower = Follower(path)
    attachment, handover = read_attachment(path), read_handover()
    place = Place(attachment.url, LocalStore(Path(attachment.store)), clock)
    instance = Instance(attachment.instance_id, attachment.signer, place, keeps=False)
    instance.accept(attachment.granted, attachment.span)
    instance.waits = Waits(announcer(path))
    instance.handover = handover
    instance.follow = lambda: attach_again(instance, follower)
    return Origin(instance, attachment.session_id, attachment.goal, follower)


def _own_folder() -> Path:
    """The folder of the program that runs, if it describes an agent."""
    program = Path(sys.argv[0] or ".").resolve().parent
    if not (program / DESCRIPTION_FILE).is_file():
        raise InvalidInputError(
            Reason.MANIFEST_UNRECORDED,
            "It is not known which agent this program is.",
            fix=f"Start it with `dragons run`, or give agent_dir, the folder with {DESCRIPTION_FILE}.",
        )
    return program
