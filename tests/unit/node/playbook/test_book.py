from __future__ import annotations

from pathlib import Path

import pytest

from dragons.core.errors import ForbiddenError, InvalidInputError
from dragons.node.playbook.book import needed_by, open_book
from dragons.node.playbook.format import parse_playbook
from tests.unit.node.playbook.conftest import PLAYBOOK, RUNNER, write_book

NOTIFYING = PLAYBOOK + "notify: [{channel: slack}]\n"
MODEL = PLAYBOOK + 'on_crash: {model: {provider: openai, url: "http://m.example", model: small}}\n'


def test_a_book_is_read_by_its_folder_or_its_file(tmp_path: Path) -> None:
    folder = write_book(tmp_path / "shop", NOTIFYING, more=("notify:slack",))
    book = open_book(folder)
    assert book.manifest.hash() == open_book(folder / "playbook.yaml").manifest.hash()
    assert book.scope == tuple(sorted(RUNNER))
    assert book.handed_on == ("notify:slack",)
    assert [file.path for file in book.manifest.config] == ["playbook.yaml"]
    assert "service.py" in [file.path for file in book.manifest.code]
    assert book.service_folder == folder


def test_playbook_and_program_are_the_identity(tmp_path: Path) -> None:
    folder = write_book(tmp_path / "shop")
    before = open_book(folder).manifest.hash()
    (folder / "data").mkdir()
    (folder / "data" / "orders").write_text("1")
    assert open_book(folder).manifest.hash() == before
    write_book(folder, PLAYBOOK.replace("attempts: 1", "attempts: 2"))
    changed = open_book(folder).manifest.hash()
    write_book(folder, service="print(2)")
    assert len({before, changed, open_book(folder).manifest.hash()}) == 3


def test_the_postmortem_s_place_is_filled_in(tmp_path: Path) -> None:
    folder = write_book(tmp_path / "shop", PLAYBOOK + "postmortem: {path: 'data/{agent}/{session}.md'}\n")
    assert open_book(folder).postmortem_path("ses_1") == folder / "data" / "shop" / "ses_1.md"


def test_a_postmortem_outside_of_the_folder_needs_no_exclusion(tmp_path: Path) -> None:
    folder = write_book(tmp_path / "shop", PLAYBOOK + f"postmortem: {{path: '{tmp_path}/out.md'}}\n")
    assert open_book(folder).postmortem_path("ses_1") == tmp_path / "out.md"


@pytest.mark.parametrize(
    ("playbook", "code", "named"),
    [
        (NOTIFYING, "capability_not_declared", "notify:slack"),
        (MODEL, "capability_not_declared", "ask:model"),
        (PLAYBOOK + "postmortem: {path: out/p.md}\n", "postmortem_measured", "out/p.md"),
        (PLAYBOOK.replace("stop_grace_seconds: 1", "folder: none"), "folder_missing", "none"),
        (PLAYBOOK.replace("service.py", "/etc/passwd"), "program_unmeasured", "/etc/passwd"),
        (PLAYBOOK.replace("[python3, service.py]", "[python3]"), "program_unmeasured", "python3"),
    ],
)
def test_what_keeps_a_book_from_being_run_is_named(
    tmp_path: Path, playbook: str, code: str, named: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        open_book(write_book(tmp_path / "shop", playbook))
    assert caught.value.code == code
    assert named in caught.value.message
    assert caught.value.fix


def test_a_playbook_that_is_no_config_is_refused(tmp_path: Path) -> None:
    folder = write_book(tmp_path / "shop")
    described = folder / "agent.yaml"
    described.write_text(described.read_text().replace("config: [playbook.yaml]\n", ""))
    with pytest.raises(InvalidInputError) as caught:
        open_book(folder)
    assert caught.value.code == "playbook_unmeasured"


def test_what_a_playbook_needs_follows_from_what_it_does() -> None:
    assert needed_by(parse_playbook(PLAYBOOK)) == sorted(RUNNER)
    assert set(needed_by(parse_playbook(MODEL))) - set(RUNNER) == {"ask:model"}
    assert set(needed_by(parse_playbook(NOTIFYING))) - set(RUNNER) == {"notify:slack"}


def test_a_changed_folder_is_another_agent(tmp_path: Path) -> None:
    folder = write_book(tmp_path / "shop")
    book = open_book(folder)
    book.check_unchanged()
    (folder / "service.py").write_text("print(2)")
    with pytest.raises(ForbiddenError, match=r"changed service\.py") as caught:
        book.check_unchanged()
    assert caught.value.code == "manifest_mismatch"
