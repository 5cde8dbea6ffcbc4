"""The governed steps of a run beside the service itself: each is one action of the session, with its receipt.

A step that fails or is denied leaves a receipt and never ends the run: what follows does without it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from dragons.core.clock import Clock
from dragons.core.errors import DragonsError, InvalidInputError, StorageError
from dragons.core.vocabulary import Reason
from dragons.identity.records import version_name
from dragons.node.playbook.book import ASK_MODEL, DIAGNOSE, READ_LOGS, WATCH, WRITE_POSTMORTEM, Book
from dragons.node.playbook.channel import SUBJECT_LENGTH_MAX, TEXT_LENGTH_MAX, Notice, Report
from dragons.node.playbook.collect import Collected, collect
from dragons.node.playbook.diagnosis import UNKNOWN, Crash, Diagnosis, diagnose
from dragons.node.playbook.model import ModelError, ask_model, key_of, question_of
from dragons.node.playbook.notifying import NotifierProgram, order_for, send_notices
from dragons.node.playbook.postmortem import Subject, postmortem, summary_of
from dragons.node.playbook.record import Ledger, read_ledger
from dragons.node.playbook.redact import BYTES_MAX, redact, secret_values
from dragons.sdk.client import OperatorClient
from dragons.sdk.errors import ActionDenied, ControlPlaneUnreachable, LimitedError
from dragons.sdk.session import Session

FILE_MODE = 0o640
# Denials that a moment may end: nothing was decided against the run.
PASSING = frozenset(
    {
        Reason.AUTHORITY_STALE,
        Reason.CLOCK_JUMPED,
        Reason.LEASE_EXPIRED,
        Reason.LEASE_NOT_YET_VALID,
        Reason.ONLINE_CHECK_REQUIRED,
    }
)
QUESTION_BYTES_MAX = BYTES_MAX + 32_000
_UNDIAGNOSED = Diagnosis(
    UNKNOWN, "It was not diagnosed: that was denied.", "Let the dock allow diagnose:failure.", retry=True
)

Tell = Callable[[str], None]


class Office(NamedTuple):
    """What the steps work with."""

    book: Book
    client: OperatorClient
    clock: Clock
    tell: Tell
    notifier: NotifierProgram | None = None


class Helper:
    """Carries out the steps of one session, and remembers what the later ones need."""

    def __init__(self, office: Office, session: Session) -> None:
        self._office = office
        self._session = session
        self._log = ""
        self._notice_sessions: list[str] = []
        self.report: Report | None = None
        self.written: Path | None = None

    def diagnose(self, crash: Crash, output: bytes) -> Diagnosis:
        """Collect logs, apply the rules, and ask the model where the playbook names one.

        ActionDenied only where a moment may end the denial; else what was denied is done without.
        """
        self._log = self._collect(output).text
        rules = self._office.book.playbook.on_crash.diagnose
        try:
            with self._session.action(DIAGNOSE, resource="rules") as act:
                found = diagnose(crash, self._log, rules.rules, builtin=rules.builtin)
                act.set_result({name: value for name, value in found._asdict().items() if value != ""})
        except ActionDenied as denied:
            self._pass_over(denied)
            found = _UNDIAGNOSED
        self._ask_model(crash, found)
        return found

    def note_recovery(self, attempts: int) -> None:
        """The service runs well again; its restarts are forgotten, on the record."""
        seconds = self._office.book.playbook.restart.reset_after_seconds
        arguments = {"attempts": attempts, "ran_well_ms": int(seconds * 1000)}
        try:
            with self._session.action(WATCH, resource="recovered", arguments=arguments):
                self._office.tell(f"it runs well again: {attempts} restarts are forgotten")
        except ActionDenied as denied:
            self._office.tell(str(denied))

    def write_postmortem(self, why: str) -> None:
        """Write down what the ledger says; ActionDenied when that may not happen."""
        book, session = self._office.book, self._session
        path = book.postmortem_path(session.session_id)
        arguments = {"why": why, "notifications": len(self.report.told) if self.report else 0}
        with session.action(WRITE_POSTMORTEM, resource=path.name, arguments=arguments) as act:
            ledger = self._ledger()
            data = postmortem(self._subject(why), ledger, self._log).encode()
            write_file(path, data)
            act.add_evidence(path.name, data)
            newest = ledger.newest
            act.set_result({"bytes": len(data), "chain_root": newest.chain_root if newest else ""})
        self.written = path
        self._office.tell(f"postmortem: {path}")

    def notify(self, why: str) -> None:
        """Let the notifier tell everyone, then add to the postmortem whom it told.

        ControlPlaneUnreachable and LimitedError where nobody was told because no lease could be had.
        """
        office, session = self._office, self._session
        if office.notifier is None:
            office.tell("nobody was told: there is no notifier")
            return
        order = order_for(office.notifier, session, self._notices(why))
        try:
            self.report = send_notices(office.notifier, session, order, office.clock)
        except (ControlPlaneUnreachable, LimitedError):
            raise
        except DragonsError as error:
            office.tell(f"nobody was told: {error}")
            self.report = Report(error=error.code)
        for one in self.report.told:
            office.tell(f"{one.kind}/{one.name}: {one.outcome} {one.detail}".rstrip())
        if self.report.session_id:
            self._notice_sessions.append(self.report.session_id)
        try:
            self.write_postmortem(why)
        except DragonsError as error:
            office.tell(f"the notifications are not in the postmortem: {error}")

    def _pass_over(self, denied: ActionDenied) -> None:
        if denied.reason in PASSING:
            raise denied
        self._office.tell(str(denied))

    def _collect(self, output: bytes) -> Collected:
        book = self._office.book
        wanted = book.playbook.on_crash.collect
        try:
            arguments = {"lines": wanted.lines, "files": list(wanted.files)}
            with self._session.action(READ_LOGS, resource="service", arguments=arguments) as act:
                found = collect(output, wanted.files, book.service_folder, wanted.lines)
                for one in found.sources:
                    act.add_evidence(one.name, one.text.encode("utf-8", "replace"))
                act.set_result(
                    {
                        "lines": [f"{one.name}: {one.lines}" for one in found.sources],
                        "missing": list(found.missing),
                    }
                )
                return found
        except ActionDenied as denied:
            self._pass_over(denied)
            return Collected(())

    def _ask_model(self, crash: Crash, found: Diagnosis) -> None:
        playbook = self._office.book.playbook
        model = playbook.on_crash.model
        if model is None or not self._log:
            return
        secrets = secret_values({**os.environ, **playbook.service.environment})
        secrets.append(os.environ.get(model.key_env or "", ""))
        log = redact(self._log, model.redact, secrets)
        asked = question_of(" ".join(playbook.service.command), crash, found, log.text)
        question = redact(asked, model.redact, secrets, bytes_max=QUESTION_BYTES_MAX).text.encode()
        arguments = {
            "provider": model.provider,
            "model": model.model,
            "bytes": len(question),
            "redacted": log.places,
            "characters_cut": log.cut,
        }
        try:
            with self._session.action(ASK_MODEL, resource=model.url, arguments=arguments) as act:
                act.add_evidence("question", question)
                key = key_of(model, os.environ)
                advice = ask_model(model, key, question.decode(), self._office.clock)
                act.set_result({"advice": advice})
        except (ActionDenied, ModelError, InvalidInputError) as error:
            self._office.tell(str(error))

    def _ledger(self) -> Ledger:
        # What still waits to be sent has no receipt yet; a postmortem shows what has.
        self._session.flush()
        instance = self._session.instance
        return read_ledger(
            self._office.client,
            instance.place.store,
            agent=instance.authority.lease.agent,
            instance_id=instance.instance_id,
            session_id=self._session.session_id,
            notice_sessions=self._notice_sessions,
        )

    def _subject(self, why: str) -> Subject:
        lease = self._session.instance.authority.lease
        return Subject(
            agent=version_name(lease.agent, lease.version),
            manifest_hash=lease.manifest_hash,
            instance_id=lease.instance_id,
            lease_id=lease.lease_id,
            session_id=self._session.session_id,
            goal=self._session.goal,
            why=why,
        )

    def _notices(self, why: str) -> Sequence[Notice]:
        subject, ledger = self._subject(why), self._ledger()
        newest = ledger.newest
        written = self.written.name if self.written else "not written"
        text = "\n".join(
            [
                redact(summary_of(subject, ledger)).text,
                "",
                f"agent       {subject.agent}",
                f"session     {subject.session_id}",
                f"postmortem  {written}",
                f"chain_root  {newest.chain_root if newest else '-'}",
                "",
                f"Check it: dragons packs export --session {subject.session_id} --out evidence.zip",
            ]
        )
        title = f"{subject.agent} could not be kept up"
        return [
            Notice(
                kind=one.channel,
                name=one.name or one.channel,
                subject=title[:SUBJECT_LENGTH_MAX],
                text=text[:TEXT_LENGTH_MAX],
                facts={"agent": lease_agent(subject.agent), "instance_id": subject.instance_id},
            )
            for one in self._office.book.playbook.notify
        ]


def lease_agent(version: str) -> str:
    """`shop` of `shop@v3`."""
    return version.partition("@")[0]


def write_file(path: Path, data: bytes) -> None:
    """Replace a file in one step; StorageError when that fails."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise StorageError(
            "postmortem_unwritable",
            f"{path} can't be written: {error.strerror}.",
            fix="Check postmortem.path.",
        ) from error
