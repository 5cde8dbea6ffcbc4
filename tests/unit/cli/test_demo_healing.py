from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dragons.cli import demo_healing
from dragons.cli.demo_healing import Healing
from dragons.cli.stage import Stage, Surprise


@pytest.fixture
def healing(tmp_path: Path) -> Iterator[Healing]:
    made = Healing(Stage(tmp_path / "home", steps=9), tmp_path, tmp_path, lambda: "0" * 64)
    yield made
    made.close()


def run(program: Path, seconds: float) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, program], capture_output=True, timeout=seconds, check=False, cwd=program.parent
    )


def test_the_exporter_stalls_once_and_goes_on_where_it_was(healing: Healing) -> None:
    healing.exporter.write_text(demo_healing._EXPORTER)
    with pytest.raises(subprocess.TimeoutExpired) as first:
        run(healing.exporter, 3.0)
    assert (first.value.stdout or b"").splitlines()[-1] == b"page 3 is exported"
    with pytest.raises(subprocess.TimeoutExpired) as second:
        run(healing.exporter, 1.5)
    assert (second.value.stdout or b"").splitlines()[0] == b"page 4 is exported"


def test_the_importer_fails_until_the_orders_are_there(healing: Healing) -> None:
    healing.importer.write_text(demo_healing._IMPORTER)
    assert run(healing.importer, 30).returncode == 1
    healing.importer.with_name("orders.csv").write_text("A-1,3.50\n")
    done = run(healing.importer, 30)
    assert (done.returncode, done.stdout) == (0, b"imported A-1,3.50\n")


def test_a_control_plane_that_does_not_start_leaves_nothing_listening(
    healing: Healing, capsys: pytest.CaptureFixture[str]
) -> None:
    # The database can't be opened: its place is taken by a folder.
    (healing.stage.home / "control" / "dragons.db").mkdir(parents=True)
    with pytest.raises(Surprise, match="did not start"):
        healing.start()
    assert "DRAGONS_SWEEP_SECONDS=1 dragons up" in capsys.readouterr().out
    healing.close()
    assert healing.telephone is None
