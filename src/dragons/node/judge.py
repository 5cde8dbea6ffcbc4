"""Whether a program may run now: what its launcher knows of its authority, as one word for the pump.

A lease that lapsed and may be renewed late freezes; whatever no renewal can mend stops. News that is late
does neither: only the end of the lease does.
"""

from __future__ import annotations

from threading import Event

from dragons.core.vocabulary import Reason
from dragons.node.options import STOPPED
from dragons.node.pump import Verdict
from dragons.sdk.instance import Instance


class Judge:
    """Asked again and again while the program runs. `stop` ends it when it is set."""

    def __init__(self, instance: Instance, stop: Event | None = None) -> None:
        self._instance = instance
        self._stop = stop
        self._serial = -1

    def handed_on(self) -> None:
        """The program can read the present lease."""
        self._serial = self._instance.authority.lease.serial

    def __call__(self) -> Verdict:
        if self._stop is not None and self._stop.is_set():
            return Verdict(stop=STOPPED)
        instance = self._instance
        denied = instance.authority.over()
        if denied is not None:
            lapsed = denied.reason is Reason.LEASE_EXPIRED and instance.renewing
            return Verdict(freeze=denied.reason.value) if lapsed else Verdict(stop=denied.reason.value)
        if instance.authority.lease.serial != self._serial:
            # Renewed, and about to be handed on: what stands still waits for that.
            return Verdict(wait=True)
        return Verdict()
