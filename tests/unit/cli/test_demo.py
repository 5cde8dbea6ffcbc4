from __future__ import annotations

from pathlib import Path

import pytest

from dragons.cli import demo
from dragons.cli.demo_healing import Healing
from dragons.cli.main import run
from dragons.cli.stage import Stage, Surprise
from dragons.core.errors import NotFoundError


def test_the_example_is_found_in_a_checkout() -> None:
    example = demo.find_example()
    assert (example / "agent.py").is_file()
    assert (example / "capabilities.yaml").is_file()


def test_without_a_checkout_the_demo_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFoundError) as caught:
        demo.find_example(tmp_path / "site-packages" / "demo.py")
    assert "Clone the repository" in caught.value.fix


def test_there_are_as_many_steps_as_announced(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "home", steps=1)
    story = demo.Story(stage, demo.find_example(), tmp_path, tmp_path)
    healing = Healing(stage, tmp_path, tmp_path, lambda: story.fingerprint)
    assert len(story.steps()) + len(healing.steps()) == demo._STEPS


def test_a_surprise_ends_the_demo_with_no(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_self: demo.Story) -> None:
        raise Surprise("the dog barked")

    monkeypatch.setattr(demo.Story, "start", fails)
    assert run(["demo", "--out", str(tmp_path / "out")]) == 1
    assert "did not come out as it should: the dog barked" in capsys.readouterr().out


def test_the_scope_leaves_the_email_out() -> None:
    assert "send:email" not in demo.SCOPE
