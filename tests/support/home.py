"""A control plane in process whose keys are files, so that several processes can open the same one."""

from __future__ import annotations

from pathlib import Path

from dragons.adapters.keyfiles import FileKeyring, read_key, write_key
from dragons.core.clock import Clock, SteadyClock, SystemClock
from dragons.core.keys import KeyRole, LocalSigner
from tests.support.plane import Plane, Tenancy

DATABASE = "control.db"


class KeptKeyring(FileKeyring):
    """Issuer and ledger keys as files, taken in by the name that `Plane` uses."""

    def put(self, tenant_id: str, signer: LocalSigner) -> None:
        self.add(tenant_id, signer)


def open_plane(folder: Path, clock: Clock | None = None) -> Plane:
    """The plane of `folder`, by the machine's clocks."""
    return Plane(folder / DATABASE, clock or SteadyClock(SystemClock()), KeptKeyring(folder))  # type: ignore[arg-type]


def found_home(folder: Path, clock: Clock | None = None) -> Tenancy:
    """A new tenant with a docked agent; its keys are kept in the folder. Its plane is open."""
    tenancy = open_plane(folder, clock).tenant()
    for name, signer in (("root", tenancy.root), ("operator", tenancy.operator)):
        write_key(folder / f"{name}.pem", signer)
    (folder / "tenant").write_text(tenancy.tenant_id)
    tenancy.ready(instances_max=1_000)
    return tenancy


def open_home(folder: Path, clock: Clock | None = None) -> Tenancy:
    """The tenant that `found_home` made, with a store that was opened anew."""
    root = read_key(folder / "root.pem", KeyRole.ROOT)
    operator = read_key(folder / "operator.pem", KeyRole.OPERATOR)
    return Tenancy(open_plane(folder, clock), (folder / "tenant").read_text(), root, operator)
