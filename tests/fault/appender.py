"""A process that appends from many threads and says what was acknowledged. Run by the tests beside it.

    appender.py FOLDER COUNT [FILE_BYTES]

FOLDER is a home of `tests.support.home`. Each line of output is `seq chain_root`, written after the
store acknowledged; `ready` comes first, `failed CODE` where the store refused. COUNT 0 goes on until
the process is killed. With FILE_BYTES no file may grow beyond it, until a line arrives on standard input.
"""

from __future__ import annotations

import os
import resource
import sys
import threading
from pathlib import Path

from dragons.control.append import ClaimReceipt
from dragons.core.errors import StorageError
from tests.support.home import open_home
from tests.support.plane import Agent, Tenancy, make_manifest

AGENTS = 3
THREADS_PER_AGENT = 4
FAILED = 3


def say(line: str) -> None:
    # One write below PIPE_BUF arrives whole or not at all, even when the process is killed.
    os.write(1, f"{line}\n".encode())


def append(tenancy: Tenancy, agent: Agent, count: int, failed: threading.Event) -> None:
    done = 0
    while not failed.is_set() and (count == 0 or done < count):
        try:
            found = tenancy.work(agent)
        except StorageError as error:
            if not failed.is_set():
                say(f"failed {error.code}")
            failed.set()
            return
        if not isinstance(found, ClaimReceipt):
            raise TypeError(found)
        say(f"{found.appended.seq} {found.appended.chain_root}")
        done += 1


def run_all(tenancy: Tenancy, agents: list[Agent], count: int) -> bool:
    """Append from every thread; False when the store refused."""
    failed = threading.Event()
    threads = [
        threading.Thread(target=append, args=(tenancy, agent, count, failed), daemon=True)
        for agent in agents
        for _ in range(THREADS_PER_AGENT)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return not failed.is_set()


def main(folder: Path, count: int, file_bytes: int = 0) -> int:
    tenancy = open_home(folder)
    agents = [tenancy.started(make_manifest()) for _ in range(AGENTS)]
    say("ready")
    if file_bytes:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, hard))
        run_all(tenancy, agents, 0)
        sys.stdin.readline()
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    good = run_all(tenancy, agents, count)
    tenancy.plane.store.close()
    return 0 if good else FAILED


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *map(int, sys.argv[2:])))
