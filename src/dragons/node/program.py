"""What a command line is, as an agent: a described folder, or the single program that it starts.

Measures before anything runs. Arguments after a script are its input, not its identity: they change from
run to run and are recorded with it. What a command such as `sh -c` is told is code, and counts.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dragons.core.errors import InvalidInputError
from dragons.identity.manifest import Manifest
from dragons.identity.measure import DESCRIPTION_FILE, load_description, measure_directory, measure_program
from dragons.node.options import RunOptions

# What a program that declares nothing else may do: run.
RUN_CAPABILITY = "run:program"


class Measured(NamedTuple):
    """An agent as it lies on disk now, and the command that starts it."""

    manifest: Manifest
    command: tuple[str, ...]
    folder: Path | None


def measure(options: RunOptions) -> Measured:
    """The agent that `options` names; InvalidInputError when it is none."""
    if options.agent_dir is not None:
        return _measure_folder(options, options.agent_dir)
    if not options.command:
        raise InvalidInputError(
            "command_missing", "There is nothing to run.", fix="Give a command after --, or a folder with an agent."
        )
    place, program = find_program(options.command)
    described = program.parent / DESCRIPTION_FILE
    if described.is_file() and options.agent in {"", load_description(described).agent}:
        return _measure_folder(options, program.parent)
    if not options.agent:
        raise InvalidInputError(
            "agent_missing", "It is not known which agent this is.", fix="Name it with --agent."
        )
    capabilities = options.capabilities or options.scope or (RUN_CAPABILITY,)
    entrypoint = _entrypoint(options.command, place, program)
    return Measured(measure_program(options.agent, program, entrypoint, capabilities), options.command, None)


def find_program(command: Sequence[str]) -> tuple[int, Path]:
    """Place and file of the first argument that is a file, else those of the command itself."""
    for place, argument in enumerate(command[1:], start=1):
        path = Path(argument)
        if path.is_file():
            return place, path.resolve()
    found = shutil.which(command[0])
    if found is None:
        raise InvalidInputError(
            "program_missing", f"There is no program {command[0]!r}.", fix="Check the name and the PATH."
        )
    return 0, Path(found).resolve()


def _entrypoint(command: Sequence[str], place: int, program: Path) -> list[str]:
    """How the program is started, without where it lies and without its input."""
    name = Path(command[0]).name
    if place:
        return [name, *command[1:place], program.name]
    # A script that is named by its path is all of its own code; anything else may run what it is told.
    if "/" in command[0] and _is_script(program):
        return [program.name]
    return [name, *command[1:]]


def _is_script(program: Path) -> bool:
    with program.open("rb") as file:
        return file.read(2) == b"#!"


def _measure_folder(options: RunOptions, folder: Path) -> Measured:
    manifest = measure_directory(folder)
    if options.agent and options.agent != manifest.agent:
        raise InvalidInputError(
            "agent_mismatch",
            f"{folder / DESCRIPTION_FILE} describes {manifest.agent}, not {options.agent}.",
            fix="Leave out --agent, or correct it.",
        )
    if options.command:
        return Measured(manifest, options.command, None)
    return Measured(manifest, tuple(manifest.entrypoint), folder)

