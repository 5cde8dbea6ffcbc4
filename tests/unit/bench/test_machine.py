import os
import platform
import socket
import sys
from pathlib import Path

import msgspec

from bench.machine import processor, this_machine


def test_the_processor_is_the_first_that_is_named() -> None:
    cpuinfo = "processor\t: 0\nmodel name\t: Quick 9: fast\nflags\t: a b\n\nmodel name\t: Quick 10\n"
    assert processor(cpuinfo) == "Quick 9: fast"


def test_a_machine_that_names_no_processor_has_an_architecture() -> None:
    assert processor("processor : 0\n") == platform.machine()


def test_this_machine_is_described_without_names_and_paths() -> None:
    machine = this_machine()
    text = msgspec.json.encode(machine).decode()
    assert machine.python.endswith(platform.python_version())
    assert 1 <= machine.cores <= (os.cpu_count() or 1)
    assert machine.packages["dragons-control-plane"]
    for secret in (socket.gethostname(), str(Path.cwd()), sys.prefix):
        assert secret not in text
    assert "/" not in text
