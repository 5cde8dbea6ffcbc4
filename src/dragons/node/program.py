"""What a command line is, as an agent: a described folder, or the single program that it starts.

Measures before anything runs. Arguments after the program are input, not identity: they change from run
to run and are recorded with it.
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
    program = find_program(options.command)
    described = program.parent / DESCRIPTION_FILE
    if described.is_file() and options.agent in {"", load_description(described).agent}:
        return _measure_folder(options, program.parent)
    if not options.agent:
        raise InvalidInputError(
            "agent_missing", "It is not known which agent this is.", fix="Name it with --agent."
        )
    start = options.command[: _place(options.command, program) + 1]
    entrypoint = [Path(start[0]).name, *start[1:-1], program.name] if len(start) > 1 else [program.name]
    capabilities = options.capabilities or options.scope or (RUN_CAPABILITY,)
    manifest = measure_program(options.agent, program, entrypoint, capabilities)
    return Measured(manifest, options.command, None)


def find_program(command: Sequence[str]) -> Path:
    """The first argument that is a file, else the file that the command itself names."""
    for argument in command[1:]:
        path = Path(argument)
        if path.is_file():
            return path
    found = shutil.which(command[0])
    if found is None:
        raise InvalidInputError(
            "program_missing", f"There is no program {command[0]!r}.", fix="Check the name and the PATH."
        )
    return Path(found)


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


def _place(command: Sequence[str], program: Path) -> int:
    return next((place for place, argument in enumerate(command) if place and Path(argument) == program), 0)
