"""The notifier's program: `python -m dragons.cli.notifier`, started by `dragons playbook run`.

It is an agent of its own, measured by the files that it is made of. It alone reads the channels'
configuration and their secrets; the runner that starts it never does.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from dragons.adapters import notify
from dragons.adapters.notify.build import Notifiers, load_notifiers
from dragons.adapters.notify.config import read_config
from dragons.adapters.notify.message import Message
from dragons.core.clock import Clock, SystemClock
from dragons.core.errors import InvalidInputError
from dragons.identity.measure import measure_program
from dragons.node.playbook import channel, notices
from dragons.node.playbook.channel import Notice
from dragons.node.playbook.format import Channel
from dragons.node.playbook.notices import Sent, notify_main
from dragons.node.playbook.notifying import NotifierProgram
from dragons.node.playbook.prepare import NOTIFY_ENTRIES

AGENT = "playbook-notifier"
TOPIC = "notice"
_ENTRYPOINT = ("python", "-P", "-m", "dragons.cli.notifier")


class Channels:
    """The configured channels as the notifier uses them: each only for the kind that it is."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._notifiers: Notifiers = load_notifiers(path, clock, required=True)
        self._kinds = {one.name: one.type for one in self._notifiers.channels()}

    def send(self, notice: Notice, message_id: str, tenant_id: str, created_ms: int) -> Sent:
        """Tell one; InvalidInputError when there is no such channel of this kind."""
        sender = self._notifiers.sender(notice.name)
        if sender is None or self._kinds.get(notice.name) != notice.kind:
            raise no_channel(notice.kind, notice.name)
        facts = {**notice.facts, "subject": notice.subject, "text": notice.text}
        return Sent(*sender.send(Message(tenant_id, message_id, TOPIC, facts, created_ms)))


def notifier_program(notifiers: Path) -> NotifierProgram:
    """The notifier of this installation, measured; `notifiers` is the file with its channels."""
    own = Path(__file__).resolve()
    folder = Path(str(notify.__file__)).resolve().parent
    others = [Path(str(module.__file__)).resolve() for module in (channel, notices)]
    others += [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
    manifest = measure_program(AGENT, own, _ENTRYPOINT, sorted(NOTIFY_ENTRIES), *others)
    return NotifierProgram(manifest, (sys.executable, *_ENTRYPOINT[1:]), notifiers.absolute())


def check_channels(path: Path, wanted: Sequence[Channel]) -> None:
    """InvalidInputError unless every channel that is to be told is configured; reads no secret."""
    kinds = {name: str(one.__struct_config__.tag) for name, one in read_config(path).channels.items()}
    for one in wanted:
        name = one.name or one.channel
        if kinds.get(name) != one.channel:
            raise no_channel(one.channel, name, path)


def no_channel(kind: str, name: str, path: Path | None = None) -> InvalidInputError:
    """What is said of a channel that is not configured, or is of another kind."""
    where = "" if path is None else f" in {path}"
    return InvalidInputError(
        "channel_missing",
        f"There is no channel {name!r} of the type {kind}{where}.",
        fix=f"Add it to the notifiers' file, or name another with `name` beside `channel: {kind}`.",
    )


def main() -> int:
    """Carry out what the runner orders on standard input."""
    return notify_main(sys.stdin.buffer, sys.stdout.buffer, Channels, SystemClock())


if __name__ == "__main__":
    sys.exit(main())
