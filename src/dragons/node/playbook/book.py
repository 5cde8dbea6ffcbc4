"""A playbook as an agent: the folder that is measured, and what it may do and only hand on.

The playbook is part of the identity (its file is the agent's config), and so is the service's program where
it lies in the folder. Refuses a folder whose own run would change what it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pathspec

from dragons.core.errors import ForbiddenError, InvalidInputError
from dragons.core.vocabulary import Reason
from dragons.identity.manifest import Manifest, difference
from dragons.identity.measure import ALWAYS_EXCLUDED, DESCRIPTION_FILE, load_description, measure_directory
from dragons.node.playbook.format import PLAYBOOK_FILE, Playbook, load_playbook
from dragons.node.program import check_entrypoint

RUN = "run:service"
RESTART = "restart:service"
WATCH = "watch:service"
READ_LOGS = "read:logs"
DIAGNOSE = "diagnose:failure"
ASK_MODEL = "ask:model"
WRITE_POSTMORTEM = "write:postmortem"
NOTIFY_PREFIX = "notify:"

# Without these a run could do nothing of what a playbook is for.
NEEDED = (RUN, RESTART, WATCH, READ_LOGS, DIAGNOSE, WRITE_POSTMORTEM)


@dataclass(frozen=True, slots=True)
class Book:
    """A playbook that was read and measured. `scope` is what the runner does, `handed_on` what it never may."""

    folder: Path
    playbook: Playbook
    manifest: Manifest

    @property
    def scope(self) -> tuple[str, ...]:
        """All that is declared but the notifications."""
        return tuple(one for one in self.manifest.capabilities if not one.startswith(NOTIFY_PREFIX))

    @property
    def handed_on(self) -> tuple[str, ...]:
        """What only the notifier gets."""
        return tuple(self.playbook.notified)

    @property
    def service_folder(self) -> Path:
        """Where the service runs."""
        return (self.folder / self.playbook.service.folder).resolve()

    def check_unchanged(self) -> None:
        """ForbiddenError when the folder is no longer what was measured: that would be another agent."""
        now = measure_directory(self.folder)
        if now.hash() != self.manifest.hash():
            raise ForbiddenError(
                Reason.MANIFEST_MISMATCH,
                f"{self.manifest.agent} is not what was launched: {difference(self.manifest, now).describe()}.",
                fix="Start the playbook again; a changed one needs --register.",
            )

    def postmortem_path(self, session_id: str) -> Path:
        """Where the postmortem of a session is written."""
        named = self.playbook.postmortem.path
        filled = named.replace("{session}", session_id).replace("{agent}", self.manifest.agent)
        return (self.folder / filled).resolve()


def open_book(place: Path) -> Book:
    """The playbook of a folder, or of its file; InvalidInputError says what keeps it from being run."""
    folder = place.parent if place.is_file() else place
    name = place.name if place.is_file() else PLAYBOOK_FILE
    playbook = load_playbook(folder / name)
    manifest = measure_directory(folder)
    if name not in [file.path for file in manifest.config]:
        raise InvalidInputError(
            "playbook_unmeasured",
            f"{folder / DESCRIPTION_FILE} does not name {name} as config.",
            fix=f"Add `config: [{name}]`, and don't exclude it.",
        )
    book = Book(folder.resolve(), playbook, manifest)
    _check_declared(book)
    _check_service(book)
    _check_postmortem(book)
    return book


def needed_by(playbook: Playbook) -> list[str]:
    """The capabilities that a run of `playbook` uses, its notifier's included."""
    model = [ASK_MODEL] if playbook.on_crash.model is not None else []
    return sorted({*NEEDED, *model, *playbook.notified})


def _check_declared(book: Book) -> None:
    missing = set(needed_by(book.playbook)) - set(book.manifest.capabilities)
    if missing:
        raise InvalidInputError(
            "capability_not_declared",
            f"{book.folder / DESCRIPTION_FILE} does not declare {', '.join(sorted(missing))}.",
            fix="Add it to capabilities: what the agent does not declare, it can't be given.",
        )


def _check_service(book: Book) -> None:
    """The service's own program is measured where it lies in the folder."""
    if not book.service_folder.is_dir():
        raise InvalidInputError(
            "folder_missing", f"There is no folder {book.service_folder}.", fix="Correct service.folder."
        )
    files = {
        (book.folder / file.path).resolve(): file.path
        for file in (*book.manifest.code, *book.manifest.config)
    }
    check_entrypoint(
        book.playbook.service.command, book.service_folder, files, f"service.command in {PLAYBOOK_FILE}"
    )


def _check_postmortem(book: Book) -> None:
    """A postmortem that counted as code would make the next run another agent."""
    path = book.postmortem_path("ses_0")
    if not path.is_relative_to(book.folder):
        return
    relative = path.relative_to(book.folder).as_posix()
    rules = [*ALWAYS_EXCLUDED, *load_description(book.folder / DESCRIPTION_FILE).exclude]
    if not pathspec.GitIgnoreSpec.from_lines(rules).match_file(relative):
        top = relative.partition("/")[0]
        raise InvalidInputError(
            "postmortem_measured",
            f"The postmortem ({book.playbook.postmortem.path}) would count as the agent's code.",
            fix=f"Add `{top}{'/' if '/' in relative else ''}` to exclude in {DESCRIPTION_FILE}.",
        )
