import os
import subprocess
import sys

import pytest

from bench.processes import ROOT, Talk, started

ECHO = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"


def test_lines_go_to_and_fro() -> None:
    with started([sys.executable, "-c", ECHO], os.environ) as talk:
        talk.say({"a": 1})
        assert talk.hear(dict) == {"a": 1}
        talk.say(2.5)
        assert talk.hear(float) == 2.5


def test_a_process_that_ends_is_an_error() -> None:
    with (
        started([sys.executable, "-c", ""], os.environ) as talk,
        pytest.raises(AssertionError, match="process of the benchmark ended"),
    ):
        talk.hear(float)


def test_no_process_is_left_behind() -> None:
    kept: list[Talk] = []

    def failing() -> None:
        with started([sys.executable, "-c", ECHO], os.environ) as talk:
            kept.append(talk)
            raise ValueError("a measurement failed")

    with pytest.raises(ValueError, match="a measurement failed"):
        failing()
    with pytest.raises(ValueError, match="closed file"):
        kept[0].say("y")


def test_it_runs_at_the_root() -> None:
    with started([sys.executable, "-c", "import os, json; print(json.dumps(os.getcwd()))"], {}) as talk:
        assert talk.hear(str) == str(ROOT)


def test_a_worker_ends_with_its_parent() -> None:
    # The parent is killed; its child, which would sleep for an hour, holds the other end of the pipe.
    child = "from bench.processes import end_with_parent as e; e(); print(1, flush=True); import time; time.sleep(3600)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        process.kill()
        assert process.stdout.read() == b""
