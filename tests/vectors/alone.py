"""Judges every vector in an environment in which nothing but the verifier's own needs can be imported.

Run as a program by test_packs.py; prints the reports as one JSON object by file name.
"""

from __future__ import annotations

import json
import socket
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

# Part of the base install, and all that a verifier loads: signatures, JSON, and how catalogues are written down.
ALLOWED = frozenset({"_cffi_backend", "_yaml", "cryptography", "dragons", "msgspec", "yaml"})


class Blocker(MetaPathFinder):
    """Refuses every package that is neither in the standard library nor allowed."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:  # noqa: ARG002 - the protocol
        top = name.partition(".")[0]
        if top not in ALLOWED and top not in sys.stdlib_module_names:
            msg = f"{name} is not in the smallest environment"
            raise ModuleNotFoundError(msg, name=name)


def no_network(*_: object) -> None:
    """In the place of whatever opens a socket."""
    msg = "a verification asked for the network"
    raise AssertionError(msg)


def main(folder: Path) -> int:
    """Print the report of every pack that `folder`'s index names."""
    sys.meta_path.insert(0, Blocker())
    from dragons.audit.verify import verify_file  # noqa: PLC0415 - after the blocker
    from dragons.evidence.checkpoint import parse_witness  # noqa: PLC0415

    socket.socket.connect = no_network  # type: ignore[method-assign]
    reports = {}
    for entry in json.loads((folder / "index.json").read_text())["packs"]:
        options = dict(entry["options"])
        if "witnesses" in options:
            options["witnesses"] = [parse_witness(one) for one in options["witnesses"]]
        report = verify_file(folder / entry["file"], entry["root"], workers=1, **options)
        reports[entry["file"]] = report.to_json()
    strangers = sorted(
        name
        for name in sys.modules
        if name.startswith(("dragons.api", "dragons.sdk", "dragons.control", "dragons.adapters"))
    )
    print(json.dumps({"reports": reports, "strangers": strangers}))  # noqa: T201 - a program's output
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
