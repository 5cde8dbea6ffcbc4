"""Measuring an agent on disk: which files are its code, and their digests.

The exclusion rule, in order: version-control folders, caches and virtual environments
(`ALWAYS_EXCLUDED`), what `.gitignore` files in the tree ignore, and the patterns that the agent's
own `agent.yaml` excludes. Everything else counts, and so do `.gitignore` files and `agent.yaml`
themselves. Symbolic links may not leave the root; their
target's contents are measured.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pathspec
import yaml

from dragons.core.capability import scope_of
from dragons.core.errors import InvalidInputError, NotFoundError
from dragons.core.ids import check_agent_name
from dragons.identity.manifest import FILES_MAX, FileDigest, ImageDigest, Manifest, check_manifest

DESCRIPTION_FILE = "agent.yaml"
FILE_BYTES_MAX = 512 * 1024 * 1024
ALWAYS_EXCLUDED = (
    ".git", ".hg/", ".svn/", ".venv/", "venv/", "node_modules/", "__pycache__/", "*.pyc", "*.pyo",
    ".mypy_cache/", ".ruff_cache/", ".pytest_cache/", ".hypothesis/", ".tox/", "*.egg-info/", ".DS_Store",
)  # fmt: skip
_CHUNK_BYTES = 1 << 20


class Description(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`agent.yaml`: what the author declares. Paths and patterns are relative to the file's folder.

    `watch` are files and folders whose changes count as progress; it says how a run is watched, and is
    part of the identity only as every line of this file is.
    """

    agent: str
    entrypoint: list[str]
    capabilities: list[str]
    config: list[str] = []
    exclude: list[str] = []
    watch: list[str] = []
    image: ImageDigest | None = None


def load_description(path: Path) -> Description:
    """The description in `path`; InvalidInputError that names the field when it is malformed."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFoundError(
            "description_missing",
            f"There is no {path}.",
            fix=f"Write {DESCRIPTION_FILE} with agent, entrypoint and capabilities, or measure a single program.",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInputError("description_malformed", f"{path} is not YAML: {error}") from error
    try:
        description = msgspec.convert(value, Description)
    except msgspec.ValidationError as error:
        raise InvalidInputError("description_malformed", f"{path}: {error}.") from error
    check_agent_name(description.agent)
    return description


def measure_directory(root: Path) -> Manifest:
    """The manifest of the agent described by `root/agent.yaml`."""
    description = load_description(root / DESCRIPTION_FILE)
    config_rules = [(pattern, _rule([pattern], root / DESCRIPTION_FILE)) for pattern in description.config]
    unmatched = set(description.config)
    code: list[FileDigest] = []
    config: list[FileDigest] = []
    for path in walk(root, description.exclude):
        matching = {pattern for pattern, rule in config_rules if rule.match_file(path)}
        unmatched -= matching
        (config if matching else code).append(digest_file(root, path))
    if unmatched:
        raise InvalidInputError(
            "config_missing", f"No file in {root} matches the declared config {sorted(unmatched)}."
        )
    return _manifest(description.agent, code, config, description)


def measure_program(
    agent: str, program: Path, arguments: Sequence[str], capabilities: Sequence[str], *others: Path
) -> Manifest:
    """The manifest of a single file, or of several by their names, and the command line that starts it."""
    check_agent_name(agent)
    files = {program, *others}
    for path in files:
        if not path.is_file():
            raise NotFoundError("program_missing", f"There is no file {path}.", fix="Check the path.")
    if len({path.name for path in files}) < len(files):
        raise InvalidInputError(
            "names_equal",
            "Two files of the program have the same name.",
            fix=f"Put the program into a folder with {DESCRIPTION_FILE} and measure that.",
        )
    description = Description(agent=agent, entrypoint=list(arguments), capabilities=list(capabilities))
    code = [digest_file(path.parent, path.name) for path in sorted(files, key=lambda one: one.name)]
    return _manifest(agent, code, [], description)


def walk(root: Path, exclude: Sequence[str]) -> Iterator[str]:
    """Relative paths of the files that count, sorted; InvalidInputError when there are too many."""
    always = _rule([*ALWAYS_EXCLUDED, *exclude], root / DESCRIPTION_FILE)
    found = sorted(_walk(root, "", [("", always)]))
    if len(found) > FILES_MAX:
        raise InvalidInputError(
            "too_many_files",
            f"{root} has {len(found)} files that count as code; the limit is {FILES_MAX}.",
            fix=f"List what is not code under `exclude` in {DESCRIPTION_FILE}.",
        )
    yield from found


def digest_file(root: Path, path: str) -> FileDigest:
    """The digest of `root/path`; InvalidInputError when it is not a regular file inside `root`."""
    target = root / path
    resolved = target.resolve()
    if not resolved.is_relative_to(root.resolve()):
        raise InvalidInputError("link_leaves_root", f"{path} is a link to {resolved}, outside {root}.")
    digest = hashlib.sha256()
    size = 0
    with resolved.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            if size > FILE_BYTES_MAX:
                raise InvalidInputError("file_too_large", f"{path} is larger than {FILE_BYTES_MAX} bytes.")
    return FileDigest(path=path, sha256=digest.hexdigest(), bytes=size)


def _walk(root: Path, folder: str, rules: list[tuple[str, pathspec.GitIgnoreSpec]]) -> Iterator[str]:
    here = root / folder
    ignore = here / ".gitignore"
    if ignore.is_file():
        lines = ignore.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        rules = [*rules, (folder, _rule(lines, ignore))]
    with os.scandir(here) as entries:
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            # What decides on exclusion is itself always measured: otherwise code could hide behind it.
            decides = entry.name == ".gitignore" or path == DESCRIPTION_FILE
            if not decides and _excluded(path, rules, is_folder=entry.is_dir(follow_symlinks=False)):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(root, path, rules)
            elif entry.is_dir():
                raise InvalidInputError(
                    "link_to_folder",
                    f"{path} is a link to a folder; its files would have no one path.",
                    fix=f"Exclude it in {DESCRIPTION_FILE} or replace it by a real folder.",
                )
            elif entry.is_file():
                yield path


def _rule(patterns: Sequence[str], source: Path) -> pathspec.GitIgnoreSpec:
    try:
        return pathspec.GitIgnoreSpec.from_lines(patterns)
    except ValueError as error:
        raise InvalidInputError(
            "pattern_malformed", f"{source}: {error}.", fix="Correct the pattern."
        ) from error


def _excluded(path: str, rules: list[tuple[str, pathspec.GitIgnoreSpec]], *, is_folder: bool) -> bool:
    # git: the last matching rule of the deepest file wins, except that the fixed list is final.
    result = False
    for depth, (base, rule) in enumerate(rules):
        relative = path[len(base) + 1 :] if base else path
        verdict = rule.check_file(f"{relative}/" if is_folder else relative).include
        if verdict is not None:
            if depth == 0 and verdict:
                return True
            result = verdict
    return result


def _manifest(agent: str, code: list[FileDigest], config: list[FileDigest], source: Description) -> Manifest:
    manifest = Manifest(
        agent=agent,
        code=code,
        config=config,
        capabilities=scope_of(source.capabilities),
        entrypoint=source.entrypoint,
        image=source.image if source.image is not None else msgspec.UNSET,
    )
    check_manifest(manifest)
    return manifest
