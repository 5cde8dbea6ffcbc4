"""Batches of signatures: every bad one is reported with its place, with workers and without."""

from __future__ import annotations

import pytest

from dragons.audit import signatures
from dragons.audit.signatures import Place, SignatureChecker, bad_signatures, frame_of, parts_of
from dragons.core.errors import StorageError
from dragons.core.keys import KeyRole
from tests.support.ledger import signer_of

SIGNER = signer_of("someone", KeyRole.INSTANCE)
OTHER = signer_of("other", KeyRole.INSTANCE)
KEY = SIGNER.public_key.raw


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of 4, and workers from the eighth signature on."""
    monkeypatch.setattr(signatures, "BATCH", 4)
    monkeypatch.setattr(signatures, "POOL_FROM", 8)


def test_bad_signatures_are_named_by_their_position() -> None:
    good, bad = SIGNER.sign(b"yes"), SIGNER.sign(b"no")
    assert bad_signatures([KEY, good, b"yes", KEY, bad, b"yes", KEY, good, b"yes"]) == [1]
    assert bad_signatures([OTHER.public_key.raw, good, b"yes"]) == [0]
    assert bad_signatures([]) == []


@pytest.mark.parametrize("parts", [[], [b""], [b"", b"a", b""], [KEY, bytes(64), bytes(2_000_000)]])
def test_a_joined_batch_is_the_same_batch(parts: list[bytes]) -> None:
    assert parts_of(frame_of(parts)) == parts


@pytest.mark.parametrize("length", [0, 63, 65])
def test_a_signature_of_another_length_is_bad(length: int) -> None:
    assert bad_signatures([KEY, bytes(length), b"x"]) == [0]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_all_batches_are_checked(workers: int) -> None:
    found: list[Place] = []
    checker = SignatureChecker(found.append, workers=workers)
    good = SIGNER.sign(b"yes")
    for index in range(150):
        message = b"no" if index in {3, 17, 149} else b"yes"
        checker.add((index, index + 100, "a signature"), KEY, good, message)
    assert len(checker._workers) == workers - 1
    checker.finish()
    assert sorted(found) == [Place(at, at + 100, "a signature") for at in (3, 17, 149)]


@pytest.mark.usefixtures("small")
def test_messages_larger_than_a_pipe_arrive() -> None:
    found: list[Place] = []
    checker = SignatureChecker(found.append, workers=2)
    message = bytes(1_500_000)
    good = SIGNER.sign(message)
    for index in range(24):
        checker.add((index, index, "x"), KEY, good, message if index != 20 else message[1:])
    checker.finish()
    assert found == [Place(20, 20, "x")]


@pytest.mark.usefixtures("small")
def test_a_worker_that_dies_is_an_error_and_no_answer() -> None:
    checker = SignatureChecker(lambda _: None, workers=2)
    good = SIGNER.sign(b"yes")
    for index in range(8):
        checker.add((index, index, "x"), KEY, good, b"yes")
    (worker,) = checker._workers
    worker._process.kill()
    worker._process.join()

    def go_on() -> None:
        for index in range(100):
            checker.add((index, index, "x"), KEY, good, b"yes")
        checker.finish()

    with pytest.raises(StorageError, match="ended") as caught:
        go_on()
    assert caught.value.code == "checker_ended"
    assert caught.value.fix
    checker.close()


@pytest.mark.usefixtures("small")
def test_close_without_finish_stops_the_workers() -> None:
    checker = SignatureChecker(lambda _: None, workers=2)
    for index in range(8):
        checker.add((index, index, "x"), KEY, SIGNER.sign(b"x"), b"x")
    process = checker._workers[0]._process
    assert process.is_alive()
    checker.close()
    checker.close()
    with pytest.raises(ValueError, match="closed"):
        process.is_alive()
