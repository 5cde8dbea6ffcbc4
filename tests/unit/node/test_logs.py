from __future__ import annotations

import stat
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dragons.core.ids import DISPATCH, new_id
from dragons.node.logs import EPOCHS_MAX, Log, epochs_in, log_path
from dragons.sdk.home import Home


def test_output_goes_to_a_file_of_its_own(tmp_path: Path) -> None:
    path = log_path(Home(tmp_path), "tnt_1", new_id(DISPATCH, 0), 3)
    log = Log(path)
    log.write(b"one\n")
    log.write(b"two\n")
    log.close()
    assert path.read_bytes() == b"one\ntwo\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = Log(path)
    again.write(b"three\n")
    again.close()
    assert path.read_bytes().endswith(b"two\nthree\n")
    assert epochs_in(path.parent) == [3]


@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(1, 16))
def test_what_is_kept_is_the_end_of_what_was_written(
    tmp_path_factory, pieces: list[bytes], bytes_max: int
) -> None:
    path = tmp_path_factory.mktemp("logs") / "1.log"
    log = Log(path, bytes_max=bytes_max, kept=2)
    for piece in pieces:
        log.write(piece)
    log.close()
    whole = b"".join(pieces)
    files = [path.with_name("1.log.2"), path.with_name("1.log.1"), path]
    sizes = [one.stat().st_size for one in files if one.exists()]
    kept = b"".join(one.read_bytes() for one in files if one.exists())
    assert whole.endswith(kept)
    assert all(size <= bytes_max for size in sizes)
    assert len(kept) == len(whole) or len(kept) > 2 * bytes_max
    assert len(list(path.parent.iterdir())) <= 3


def test_old_epochs_make_room(tmp_path: Path) -> None:
    for epoch in range(1, EPOCHS_MAX + 5):
        log = Log(tmp_path / f"{epoch}.log", bytes_max=2)
        log.write(b"text")
        log.close()
    assert len(epochs_in(tmp_path)) <= EPOCHS_MAX + 1
    assert not list(tmp_path.glob("1.log*"))
    assert epochs_in(tmp_path / "none") == []


def test_output_that_can_not_be_written_is_lost_and_said_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told: list[str] = []
    log = Log(tmp_path / "file" / "1.log", told.append)
    log.write(b"one")
    log.write(b"two")
    assert len(told) == 1
    assert "output is lost" in told[0]
