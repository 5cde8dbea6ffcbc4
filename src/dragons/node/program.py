"""What a command line is, as an agent: a described folder, or the single program that it starts.

What runs is what was measured: a command that starts anything else than a measured file, or than the
entrypoint that the folder's author wrote down, is refused. The interpreter is known by its name.
Arguments after a script are its input, not its identity: they change from run to run and are recorded
with it. Measures before anything runs, and once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from dragons.core.errors import InvalidInputError
from dragons.core.ids import check_agent_name
from dragons.identity.manifest import Manifest
from dragons.identity.measure import DESCRIPTION_FILE, load_description, measure_directory, measure_program
from dragons.node.command import (
    SHOWN_LENGTH_MAX,
    is_file,
    is_interpreter,
    named_files,
    own_file,
    program_place,
    script_place,
    waits_for_code,
)
from dragons.node.options import RunOptions

# What a program that declares nothing else may do: run.
RUN_CAPABILITY = "run:program"
_NOT_IN_NAMES = re.compile("[^a-z0-9]+")


class Measured(NamedTuple):
    """An agent as it lies on disk now, the command that starts it, and where; None is where we are.

    `watch` are the files and folders whose changes its author calls progress.
    """

    manifest: Manifest
    command: tuple[str, ...]
    folder: Path | None
    watch: tuple[Path, ...] = ()


def measure(options: RunOptions) -> Measured:
    """The agent that `options` names; InvalidInputError when it is none, or starts what is not measured."""
    if options.agent_dir is not None:
        return _watching(_measure_folder(options, options.agent_dir), options.agent_dir)
    command = options.command
    if not command:
        raise InvalidInputError(
            "command_missing",
            "There is nothing to run.",
            fix="Give a command after --, or a folder with an agent.",
        )
    place = program_place(command)
    own = own_file(command)
    for file in [*named_files(command)[:1], own] if place is None else [_file_at(command, place)]:
        described = file.parent / DESCRIPTION_FILE
        if described.is_file() and options.agent in {"", load_description(described).agent}:
            return _watching(_measure_folder(options, file.parent), file.parent)
    agent = options.agent or _named_after(command, place)
    capabilities = options.capabilities or options.scope or (RUN_CAPABILITY,)
    if place is None:
        # Anything may run what it is told: all of its words count, and the files that they name.
        program, others = own, named_files(command)
        entrypoint = [Path(command[0]).name, *command[1:]]
    else:
        program, others = _file_at(command, place), []
        entrypoint = _started(command, place, program.name)
    return Measured(measure_program(agent, program, entrypoint, capabilities, *others), command, None)


def check_entrypoint(entrypoint: Sequence[str], folder: Path, files: Mapping[Path, str], named: str) -> None:
    """What the author's own command runs must be measured, but for the interpreter; `named` is where it stands."""
    script = script_place(entrypoint)
    # Behind a script lies its input; of other programs it is not known what is.
    for at, word in enumerate(entrypoint[: None if script is None else script + 1]):
        path = (folder / word).resolve()
        outside = is_file(path) and path not in files and (at or ("/" in word and word[0] != "/"))
        if outside or (at == script and path.is_dir() and not path.is_relative_to(folder.resolve())):
            raise InvalidInputError(
                "program_unmeasured",
                f"{named} names {word}, which is not measured.",
                fix="Move it into the folder, don't exclude it, or leave it out.",
            )
    if waits_for_code(entrypoint):
        raise InvalidInputError(
            "program_unmeasured",
            f"{named} does not say what {entrypoint[0]} runs.",
            fix="Name the script's file.",
        )


def _watching(measured: Measured, folder: Path) -> Measured:
    watch = load_description(folder / DESCRIPTION_FILE).watch
    return measured._replace(watch=tuple(folder / path for path in watch))


def _named_after(command: Sequence[str], place: int | None) -> str:
    """`their-script` for `python their_script.py`; InvalidInputError where no script gives a name."""
    stem = "" if place is None else _file_at(command, place).stem
    name = _NOT_IN_NAMES.sub("-", stem.lower()).strip("-")
    try:
        return check_agent_name(name)
    except InvalidInputError as error:
        raise InvalidInputError(
            "agent_missing", "It is not known which agent this is.", fix="Name it with --agent."
        ) from error


def _measure_folder(options: RunOptions, folder: Path) -> Measured:
    manifest = measure_directory(folder)
    if options.agent and options.agent != manifest.agent:
        raise InvalidInputError(
            "agent_mismatch",
            f"{folder / DESCRIPTION_FILE} describes {manifest.agent}, not {options.agent}.",
            fix="Leave out --agent, or correct it.",
        )
    files = {(folder / file.path).resolve(): file.path for file in (*manifest.code, *manifest.config)}
    check_entrypoint(manifest.entrypoint, folder, files, f"The entrypoint in {folder / DESCRIPTION_FILE}")
    command, entrypoint = options.command, tuple(manifest.entrypoint)
    if not command:
        return Measured(manifest, entrypoint, folder)
    input_at = _after_entrypoint(command, entrypoint, folder)
    place = _place_in(command, files, known=bool(input_at))
    if place is not None:
        # Started by a measured file, wherever we are. A new way of starting it is another identity.
        started = entrypoint if input_at else _started(command, place, files[_file_at(command, place)])
        return Measured(msgspec.structs.replace(manifest, entrypoint=list(started)), command, None)
    if input_at:
        # It may look up what it runs beside itself, so it runs where its author meant it to.
        return Measured(manifest, (command[0], *entrypoint[1:], *command[input_at:]), folder)
    raise InvalidInputError(
        "program_unmeasured",
        f"{' '.join(command)[:SHOWN_LENGTH_MAX]} starts nothing that is measured in {folder}.",
        fix=f"Run a file of the folder, correct entrypoint or exclude in {DESCRIPTION_FILE}, or leave out --dir.",
    )


def _after_entrypoint(command: Sequence[str], entrypoint: Sequence[str], folder: Path) -> int:
    """Where the input begins when `command` is the entrypoint and perhaps more, else 0."""
    if len(command) < len(entrypoint):
        return 0
    names_files = False
    for at, (word, given) in enumerate(zip(entrypoint, command, strict=False)):
        if is_file(folder / word) and (at or "/" in word):
            names_files = True
            same = is_file(Path(given)) and Path(given).resolve() == (folder / word).resolve()
        else:
            same = given == word if at else Path(given).name == Path(word).name
        if not same:
            return 0
    # A program that names no code of its own might take what follows for code.
    open_ended = not names_files and not is_interpreter(entrypoint)
    return 0 if open_ended and len(command) > len(entrypoint) else len(entrypoint)


def _place_in(command: Sequence[str], files: Mapping[Path, str], *, known: bool) -> int | None:
    """Place of the one file that is the program, where that is measured. `known` commands may hide it."""
    try:
        place = program_place(command)
    except InvalidInputError:
        if known:
            return None
        raise
    return place if place is not None and _file_at(command, place) in files else None


def _file_at(command: Sequence[str], place: int) -> Path:
    return Path(command[place]).resolve() if place else own_file(command)


def _started(command: Sequence[str], place: int, name: str) -> list[str]:
    """How the program is started, without where it lies and without its input."""
    return [Path(command[0]).name, *command[1:place], name] if place else [name]
