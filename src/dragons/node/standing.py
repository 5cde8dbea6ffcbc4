"""A node's standing on its machine: a name that one process holds at a time, and a token of its own.

Never runs two nodes of one name in a home, because each would call the other's programs gone. Never keeps
a token where others can read it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from dragons.core.clock import Clock
from dragons.core.errors import (
    ConflictError,
    DragonsError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    UnauthenticatedError,
)
from dragons.liveness.dispatch import is_node_name
from dragons.sdk.client import OperatorClient
from dragons.sdk.home import FOLDER_MODE, SECRET_MODE, Home, read_secret, write_secret
from dragons.wire.identity import LABEL_LENGTH_MAX, TokenRequest

FOLDER = "nodes"
# The node that `dragons up` runs.
LOCAL = "local"
TOKEN_SECONDS = 366 * 24 * 3600
_PR_SET_PDEATHSIG = 1
_NOT_IN_NAMES = re.compile(r"[^a-z0-9.-]+")


def usual_name() -> str:
    """The machine's name, as a node's."""
    name = _NOT_IN_NAMES.sub("-", socket.gethostname().lower()).strip(".-")[:63]
    return name if is_node_name(name) else LOCAL


def check_name(name: str) -> str:
    """`name` itself when it can name a node; InvalidInputError otherwise."""
    if not is_node_name(name):
        raise InvalidInputError(
            "node_name_malformed",
            f"{name!r} can't name a node.",
            fix="Use up to 63 lower-case letters, digits, dots and dashes.",
        )
    return name


@contextmanager
def holding(home: Home, tenant_id: str, name: str) -> Iterator[None]:
    """Hold a node's name in this home; ConflictError while another process does."""
    folder = home.store_path(tenant_id).parent / FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
    descriptor = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, SECRET_MODE)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConflictError(
                "node_running",
                f"A node {name} runs in this home already.",
                fix="Stop it, or give this one another --name.",
            ) from error
        yield
    finally:
        os.close(descriptor)


def token_of(home: Home, tenant_id: str, name: str, url: str, clock: Clock) -> str:
    """The node's own token; made with the home's token when there is none that still holds.

    Where the home's token may not make one, it is used itself.
    """
    path = home.operator_folder(tenant_id) / FOLDER / f"{name}.token"
    try:
        known = read_secret(path, "node token").decode("ascii", "replace").strip()
    except NotFoundError:
        known = ""
    if known:
        with OperatorClient(url, known, clock=clock) as client:
            try:
                client.ping()
            except UnauthenticatedError:
                pass
            else:
                return known
    usual = home.token(tenant_id)
    with OperatorClient(url, usual, clock=clock) as client:
        request = TokenRequest(
            role="launcher", label=f"node {name}"[:LABEL_LENGTH_MAX], ttl_seconds=TOKEN_SECONDS
        )
        try:
            made = client.issue_token(request).token
        except ForbiddenError:
            return usual
    with suppress(FileNotFoundError):
        path.unlink()
    write_secret(path, made.encode() + b"\n")
    return made


def bind_to(parent: int) -> None:
    """Have the kernel end this process with its parent; DragonsError when that is gone already."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise DragonsError(
            "parent_gone", f"The process {parent} is not this one's parent.", fix="Leave out --parent."
        )
