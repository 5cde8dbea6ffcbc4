"""The manifest: an agent's identity as digests of its code, config and declared capabilities.

`manifest_hash` is SHA-256 over the canonical manifest. It depends on contents only: never on
file order, modification times, or where the checkout lies.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, NamedTuple

import msgspec

from dragons.core.canonical import Count, Document, encode
from dragons.core.capability import Scope, check_scope_form
from dragons.core.errors import InvalidInputError
from dragons.core.hashing import Digest, sha256_hex
from dragons.core.ids import AgentName

FILES_MAX = 5_000
PATH_LENGTH_MAX = 512
MANIFEST_BYTES_MAX = 1_000_000

ImageDigest = Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}$(?!\n)")]


class FileDigest(Document):
    """One file by its path relative to the agent's root, with `/` between its parts."""

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=PATH_LENGTH_MAX)]
    sha256: Digest
    bytes: Count


class Manifest(Document):
    """What an agent is. `entrypoint` is the command that starts it, `image` an OCI digest."""

    agent: AgentName
    code: Annotated[list[FileDigest], msgspec.Meta(max_length=FILES_MAX)]
    config: Annotated[list[FileDigest], msgspec.Meta(max_length=FILES_MAX)]
    capabilities: Scope
    entrypoint: Annotated[list[str], msgspec.Meta(max_length=64)]
    image: ImageDigest | msgspec.UnsetType = msgspec.UNSET

    def hash(self) -> str:
        """The `manifest_hash`: 64 hex digits."""
        return sha256_hex(encode(self))


class Difference(NamedTuple):
    """How a measured manifest departs from a recorded one, as names a person can look at."""

    added: list[str]
    removed: list[str]
    changed: list[str]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def describe(self, limit: int = 10) -> str:
        """One line that names up to `limit` differing files and fields."""
        names = [
            *(f"changed {name}" for name in self.changed),
            *(f"added {name}" for name in self.added),
            *(f"removed {name}" for name in self.removed),
        ]
        rest = f" and {len(names) - limit} more" if len(names) > limit else ""
        return ", ".join(names[:limit]) + rest


def check_manifest(manifest: Manifest) -> None:
    """InvalidInputError unless files and capabilities are in their one canonical order."""
    check_scope_form(manifest.capabilities)
    for label, files in (("code", manifest.code), ("config", manifest.config)):
        paths = [file.path for file in files]
        if paths != sorted(set(paths)):
            raise InvalidInputError("manifest_unsorted", f"The {label} files are not distinct and sorted.")
        for path in paths:
            check_path(path)
    if not manifest.code and isinstance(manifest.image, msgspec.UnsetType):
        raise InvalidInputError("manifest_empty", "A manifest names at least one code file or an image.")
    if len(encode(manifest)) > MANIFEST_BYTES_MAX:
        raise InvalidInputError(
            "manifest_too_large",
            f"The manifest is larger than {MANIFEST_BYTES_MAX} bytes.",
            fix="Exclude files that are not the agent's own code.",
        )


def check_path(path: str) -> None:
    """InvalidInputError unless `path` is relative and stays below its root."""
    parts = path.split("/")
    if not path or path.startswith("/") or "\\" in path or any(part in {"", ".", ".."} for part in parts):
        raise InvalidInputError("path_malformed", f"{path!r} is not a plain relative path.")


def difference(recorded: Manifest, measured: Manifest) -> Difference:
    """What someone has to look at when `measured` is not `recorded`."""
    before, after = _digests(recorded), _digests(measured)
    changed = _names(place for place in before.keys() & after.keys() if before[place] != after[place])
    for field in ("agent", "capabilities", "entrypoint", "image"):
        if getattr(recorded, field) != getattr(measured, field):
            changed.append(f"the {field}")
    return Difference(_names(after.keys() - before.keys()), _names(before.keys() - after.keys()), changed)


def _digests(manifest: Manifest) -> dict[tuple[str, str], str]:
    return {
        (kind, file.path): file.sha256
        for kind, files in (("", manifest.code), ("config ", manifest.config))
        for file in files
    }


def _names(places: Iterable[tuple[str, str]]) -> list[str]:
    return sorted(kind + path for kind, path in places)
