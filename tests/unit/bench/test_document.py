from pathlib import Path

import pytest

from bench.document import BEGIN, END, MarkError, check, placed, write

DOCUMENT = f"# Performance\n\n{BEGIN}\nold\n{END}\n\nrest {END}\n"


def test_only_what_is_between_the_marks_changes() -> None:
    assert placed(DOCUMENT, "new") == f"# Performance\n\n{BEGIN}\n\nnew\n\n{END}\n\nrest {END}\n"
    assert placed(placed(DOCUMENT, "new"), "new") == placed(DOCUMENT, "new")


@pytest.mark.parametrize("text", ["", f"{END}\n{BEGIN}\n", f"{BEGIN}\n", f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_document_without_its_marks_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.md"
    path.write_text(text, "utf-8")
    with pytest.raises(MarkError):
        check(path)
    with pytest.raises(MarkError):
        write(path, "new")
    assert path.read_text("utf-8") == text


def test_the_file_is_written(tmp_path: Path) -> None:
    path = tmp_path / "x.md"
    path.write_text(DOCUMENT, "utf-8")
    check(path)
    write(path, "neu: ≥ 5")
    assert "neu: ≥ 5" in path.read_text("utf-8")


def test_the_project_s_document_has_the_marks() -> None:
    check(Path(__file__).resolve().parents[3] / "docs" / "performance.md")
