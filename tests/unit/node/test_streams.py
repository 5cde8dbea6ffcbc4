from __future__ import annotations

import hashlib
import os

import pytest

from dragons.node.streams import Stream


def pipes() -> tuple[int, int, int, int]:
    return (*os.pipe(), *os.pipe())


def test_what_is_read_is_written_on_and_digested() -> None:
    source, write, read, target = pipes()
    stream = Stream("stdout", source, target)
    for data in (b"one", b"two"):
        os.write(write, data)
        assert stream.pass_on() == data
    os.close(write)
    assert stream.pass_on() == b""
    assert (stream.open, stream.size, stream.sha256) == (False, 6, hashlib.sha256(b"onetwo").hexdigest())
    assert os.read(read, 10) == b"onetwo"
    stream.close()
    os.close(read)
    os.close(target)


def test_when_nobody_reads_the_program_notices() -> None:
    source, write, read, target = pipes()
    os.close(read)
    stream = Stream("stdout", source, target)
    os.write(write, b"data")
    assert stream.pass_on() == b"data"
    assert not stream.open
    with pytest.raises(BrokenPipeError):
        os.write(write, b"more")
    os.close(write)
    os.close(target)


def test_a_target_that_does_not_block_is_waited_for() -> None:
    source, write, read, target = pipes()
    os.set_blocking(target, False)
    os.set_blocking(read, False)
    stream = Stream("stdout", source, target)
    os.write(write, b"x")
    stream.pass_on()
    os.write(target, b"y" * 65_000)
    assert os.get_blocking(target) is False
    stream.close()
    for descriptor in (write, read, target):
        os.close(descriptor)


def test_output_may_go_to_whatever_takes_it() -> None:
    source, write = os.pipe()
    taken: list[bytes] = []
    stream = Stream("stdout", source, taken.append)
    os.write(write, b"one")
    assert stream.pass_on() == b"one"
    assert (taken, stream.open, stream.size) == ([b"one"], True, 3)
    stream.close()
    os.close(write)
