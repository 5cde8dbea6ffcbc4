"""Why a service crashed, as far as its end and its log tell: rules, no guesses. Pure.

Own rules are asked first, then the built-in ones, then the exit status. The last line that a rule
matches counts: it is the nearest to the crash. Never decides whether a restart is made.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from dragons.node.playbook.format import Rule

LINE_LENGTH_MAX = 500
UNKNOWN = "unknown"
NOT_READY = "not_ready"
_SIGNAL_BASE = 128


class Crash(NamedTuple):
    """How the service ended. `exit_status` is as a shell says it; `signal` is empty when none ended it."""

    exit_status: int
    signal: str
    duration_ms: int
    was_ready: bool = True


class Diagnosis(NamedTuple):
    """`rule` found it by `line`; `place` is where a Python program failed, `error` what it said."""

    rule: str
    cause: str
    advice: str
    retry: bool
    line: str = ""
    place: str = ""
    error: str = ""


class Traceback(NamedTuple):
    """The end of a Python program: its exception, and the last frame (`service.py:12 in load`)."""

    exception: str
    message: str
    place: str


def _rule(name: str, pattern: str, cause: str, advice: str, *, retry: bool) -> Rule:
    return Rule(name=name, pattern=pattern, cause=cause, advice=advice, retry=retry)


BUILT_IN: tuple[Rule, ...] = (
    _rule(
        "out_of_memory",
        r"(?i)\bout of memory\b|\bMemoryError\b|cannot allocate memory|\boom-kill|JavaScript heap out of memory",
        "It ran out of memory.",
        "Give it more memory, or find what it keeps; a restart only gains time.",
        retry=True,
    ),
    _rule(
        "disk_full",
        r"(?i)no space left on device|disk quota exceeded|\bENOSPC\b|database or disk is full",
        "A disk or a quota is full.",
        "Free space where the service writes; a restart would fail in the same place.",
        retry=False,
    ),
    _rule(
        "address_in_use",
        r"(?i)address already in use|\bEADDRINUSE\b|port \d+ is already (?:in use|allocated)",
        "Another program holds its address.",
        "Find the other program with `ss -ltnp`, or give the service another port.",
        retry=True,
    ),
    _rule(
        "module_missing",
        r"\b(?:ModuleNotFoundError|ImportError)\b|No module named|Cannot find module|"
        r"error while loading shared libraries",
        "A module or library that it needs is not installed.",
        "Install it in the environment that the service runs in.",
        retry=False,
    ),
    _rule(
        "certificate",
        r"(?i)certificate[ _]verify[ _]failed|certificate has expired|\bself[- ]signed certificate|x509: |"
        r"tlsv1 alert|SSL: \w+|handshake failure",
        "A TLS certificate or handshake was refused.",
        "Check the certificate's dates, its names, and the authorities that this machine trusts.",
        retry=False,
    ),
    _rule(
        "connection_refused",
        r"(?i)connection refused|\bECONNREFUSED\b|could not connect to server|connection reset by peer",
        "Something that it depends on does not take connections.",
        "Check that the other service runs and listens where this one looks for it.",
        retry=True,
    ),
    _rule(
        "name_unresolved",
        r"(?i)name or service not known|temporary failure in name resolution|\bgetaddrinfo\b|\bENOTFOUND\b|"
        r"no such host",
        "A host's name could not be resolved.",
        "Check the name and this machine's resolver.",
        retry=True,
    ),
    _rule(
        "timeout",
        r"(?i)\btimed[ -]out\b|\bTimeoutError\b|\bETIMEDOUT\b|deadline exceeded|\bread timeout\b",
        "Something that it waited for did not answer in time.",
        "Check the load and the network between this service and what it waited for.",
        retry=True,
    ),
    _rule(
        "too_many_files",
        r"(?i)too many open files|\bEMFILE\b|\bENFILE\b",
        "It opened more files or connections than it may.",
        "Raise the limit (`ulimit -n`), or find what it does not close.",
        retry=True,
    ),
    _rule(
        "permission_denied",
        r"(?i)permission denied|\bPermissionError\b|\bEACCES\b|operation not permitted",
        "The system did not let it do something.",
        "Check the owner and the mode of the file or port that the line names.",
        retry=False,
    ),
    _rule(
        "file_missing",
        r"(?i)no such file or directory|\bFileNotFoundError\b|\bENOENT\b",
        "A file or folder that it needs is not there.",
        "Put it where the line says, or correct the path in the service's configuration.",
        retry=False,
    ),
)  # fmt: skip

_BY_SIGNAL = {
    "SIGKILL": (
        "killed",
        "It was killed from outside; most often the kernel does this when memory runs out.",
        "Look at the kernel's log (`dmesg`) and at the memory limit of the service.",
    ),
    "SIGSEGV": (
        "segmentation_fault",
        "It used memory that is not its own: a fault in native code.",
        "Look at native extensions that changed lately, and keep a core dump.",
    ),
    "SIGABRT": (
        "aborted",
        "It ended itself after a check of its own failed.",
        "Read the last lines before it.",
    ),
    "SIGBUS": (
        "bus_error",
        "It touched memory that is not there any more.",
        "Check the disk and mapped files.",
    ),
    "SIGILL": ("illegal_instruction", "Its code is not for this processor.", "Check how it was built."),
    "SIGFPE": ("arithmetic_fault", "It divided by zero in native code.", "Look at the input it was given."),
    "SIGTERM": ("terminated", "Somebody asked it to end.", "Find out who sent SIGTERM."),
}
_BY_STATUS = {
    126: ("not_executable", "Its program can't be executed.", "Check the file's mode and its first line."),
    127: ("program_missing", "Its program was not found.", "Check the command and the PATH."),
}
_NAMES_BY_NUMBER = {4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL", 11: "SIGSEGV"}
_FRAME = re.compile(r'^\s+File "([^"\n]{1,1000})", line (\d{1,9})(?:, in ([^\n]{1,200}))?')
_RAISED = re.compile(r"^([A-Za-z_][\w.]{0,199})(?::\s?(.*))?$")
_TRACEBACK = "Traceback (most recent call last):"


def diagnose(crash: Crash, log: str, rules: Sequence[Rule], *, builtin: bool = True) -> Diagnosis:
    """What the first rule that fits says about the crash."""
    lines = [line[:LINE_LENGTH_MAX] for line in log.splitlines()]
    raised = find_traceback(lines)
    for rule in (*rules, *(BUILT_IN if builtin else ())):
        line = _last_match(rule.pattern, lines)
        if line is not None:
            found = Diagnosis(rule.name, rule.cause, rule.advice, rule.retry, line.strip())
            return _with_place(found, raised)
    if not crash.was_ready:
        return _with_place(
            Diagnosis(
                NOT_READY,
                "It did not become ready in time.",
                "Look at what it does when it starts, or give it more time (service.ready.timeout_seconds).",
                retry=True,
            ),
            raised,
        )
    return _with_place(_by_end(crash, raised), raised)


def find_traceback(lines: Sequence[str]) -> Traceback | None:
    """The last Python traceback in `lines`, None when there is none or its end is missing."""
    begins = [at for at, line in enumerate(lines) if line.rstrip().endswith(_TRACEBACK)]
    if not begins:
        return None
    place = ""
    for line in lines[begins[-1] + 1 :]:
        frame = _FRAME.match(line)
        if frame is not None:
            file = frame[1].rpartition("/")[2]
            place = f"{file}:{frame[2]}" + (f" in {frame[3]}" if frame[3] else "")
        elif line[:1] not in {" ", ""}:
            raised = _RAISED.match(line.rstrip())
            return None if raised is None else Traceback(raised[1], (raised[2] or "").strip(), place)
    return None


def _by_end(crash: Crash, raised: Traceback | None) -> Diagnosis:
    # A program in a container or a shell reports its child's signal as a status above 128.
    name = crash.signal or _NAMES_BY_NUMBER.get(crash.exit_status - _SIGNAL_BASE, "")
    if name in _BY_SIGNAL:
        return Diagnosis(*_BY_SIGNAL[name], retry=True)
    if crash.exit_status in _BY_STATUS and not crash.signal:
        return Diagnosis(*_BY_STATUS[crash.exit_status], retry=False)
    if raised is not None:
        return Diagnosis(
            "python_exception",
            f"The Python program ended with {raised.exception}.",
            "Read the code at the place named below, and the input it worked on.",
            retry=True,
        )
    how = f"signal {crash.signal}" if crash.signal else f"exit status {crash.exit_status}"
    return Diagnosis(
        UNKNOWN, f"It ended with {how}; no rule knows why.", "Read the collected log.", retry=True
    )


def _with_place(found: Diagnosis, raised: Traceback | None) -> Diagnosis:
    if raised is None:
        return found
    error = f"{raised.exception}: {raised.message}" if raised.message else raised.exception
    return found._replace(place=raised.place, error=error[:LINE_LENGTH_MAX])


def _last_match(pattern: str, lines: Sequence[str]) -> str | None:
    compiled = re.compile(pattern)
    return next((line for line in reversed(lines) if compiled.search(line)), None)
