import json
from pathlib import Path

import pytest

from bench.__main__ import failed, main
from bench.document import BEGIN, END
from bench.figures import Found, Line, Spread
from bench.machine import this_machine
from bench.sizes import FULL, QUICK
from bench.suite import MEASUREMENTS, Run


def found(ratio: float) -> Found:
    one = Spread(1, 1, 1)
    return Found([
        Line(name="x", of="", ours=one, unit="", theirs=one, ratio=Spread(ratio, ratio, ratio), target=1)
    ])  # fmt: skip


class Suite:
    """What `run_all` was asked for; every measurement finds `answer`."""

    def __init__(self, answer: Found) -> None:
        self.answer = answer
        self.names: list[str] = []
        self.sizes: object = None

    def run_all(self, names: list[str], sizes: object, _say: object) -> dict[str, Found]:
        self.names, self.sizes = names, sizes
        return dict.fromkeys(names, self.answer)


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> Suite:
    made = Suite(found(1))
    monkeypatch.setattr("bench.__main__.run_all", made.run_all)
    return made


@pytest.mark.parametrize(
    ("answer", "plain", "checked"),
    [
        (found(1), False, False),
        (found(0.9), False, True),
        (Found(missing="no peer"), False, True),
        (Found(missing="it broke", crashed=True), True, True),
    ],
)
def test_what_ends_with_an_error(answer: Found, plain: bool, checked: bool) -> None:
    run = Run("x", this_machine(), {"append": answer})
    assert failed(run, check=False) is plain
    assert failed(run, check=True) is checked


def test_everything_is_measured_in_full(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert suite.names == list(MEASUREMENTS)
    assert suite.sizes is FULL
    assert "Durable receipts in process" in capsys.readouterr().out


def test_only_what_is_named(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    suite.answer = found(0.5)
    assert main(["--quick", "--only", "http", "--only", "append", "-o", "json", "--check"]) == 1
    assert suite.names == ["append", "http"]
    assert suite.sizes is QUICK
    data = json.loads(capsys.readouterr().out)
    assert data["command"] == "python -m bench --quick --only http --only append"
    assert data["met"] is False


def test_figures_are_written(suite: Suite, tmp_path: Path) -> None:
    assert suite.names == []
    path = tmp_path / "performance.md"
    path.write_text(f"before\n{BEGIN}\n{END}\nafter\n", "utf-8")
    assert main(["--write", str(path)]) == 0
    text = path.read_text("utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "Command: `python -m bench`" in text
    assert str(tmp_path) not in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["--only", "nothing"],
        ["--write", "absent.md"],
        ["--write", "{file}"],
        ["--write", "{good}", "--only", "append"],
    ],
)
def test_wrong_options_end_before_anything_is_measured(
    arguments: list[str], suite: Suite, tmp_path: Path
) -> None:
    (tmp_path / "x.md").write_text("no marks", "utf-8")
    (tmp_path / "good.md").write_text(f"{BEGIN}\n{END}\n", "utf-8")
    places = {"file": str(tmp_path / "x.md"), "good": str(tmp_path / "good.md")}
    with pytest.raises(SystemExit) as ended:
        main([argument.format(**places) for argument in arguments])
    assert ended.value.code == 2
    assert suite.names == []
