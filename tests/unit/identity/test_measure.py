"""What counts as an agent's code, and that its hash depends on contents alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from dragons.core.canonical import decode, encode
from dragons.core.errors import InvalidInputError, NotFoundError
from dragons.core.hashing import sha256_hex
from dragons.identity import measure
from dragons.identity.manifest import Manifest, difference
from dragons.identity.measure import digest_file, load_description, measure_directory, measure_program, walk

DESCRIPTION = """\
agent: reconciler
entrypoint: [python, agent.py]
capabilities: [write:ledger, read:payments]
config: [rules.json]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "agent"
    write(
        root,
        {"agent.yaml": DESCRIPTION, "agent.py": "print(1)\n", "rules.json": "{}\n", "lib/a.py": "A = 1\n"},
    )
    return root


def write(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


def paths(root: Path, *exclude: str) -> list[str]:
    return list(walk(root, exclude))


def refused(root: Path) -> str:
    with pytest.raises(InvalidInputError) as caught:
        measure_directory(root)
    return caught.value.code


def test_a_manifest_lists_code_and_config_apart_and_sorted(root: Path) -> None:
    manifest = measure_directory(root)
    assert manifest.agent == "reconciler"
    assert [file.path for file in manifest.code] == ["agent.py", "agent.yaml", "lib/a.py"]
    assert [file.path for file in manifest.config] == ["rules.json"]
    assert manifest.capabilities == ["read:payments", "write:ledger"]
    assert manifest.entrypoint == ["python", "agent.py"]
    assert manifest.code[0].sha256 == sha256_hex(b"print(1)\n")
    assert manifest.code[0].bytes == 9
    assert decode(Manifest, encode(manifest)) == manifest


@pytest.mark.parametrize(
    "path",
    [
        ".git/config", ".hg/store", ".svn/entries", ".venv/bin/python", "venv/lib/x.py", "node_modules/a/index.js",
        "__pycache__/agent.cpython-311.pyc", "lib/__pycache__/a.pyc", "lib/a.pyc", "a.pyo", ".mypy_cache/x",
        ".ruff_cache/x", ".pytest_cache/x", ".hypothesis/x", ".tox/x", "agent.egg-info/PKG-INFO", ".DS_Store", "lib/.DS_Store",
    ],
)  # fmt: skip
def test_caches_environments_and_version_control_never_count(root: Path, path: str) -> None:
    before = measure_directory(root).hash()
    write(root, {path: "noise"})
    assert path not in paths(root)
    assert measure_directory(root).hash() == before


@pytest.mark.parametrize(
    "path",
    ["git/config", "venvs/x.py", "a.pycx", "pycache/x.py", "build/x.py", "dist/x", ".env", ".hidden/x.py"],
)
def test_everything_else_counts(root: Path, path: str) -> None:
    before = measure_directory(root).hash()
    write(root, {path: "real"})
    assert path in paths(root)
    assert measure_directory(root).hash() != before


def test_the_git_file_of_a_linked_worktree_never_counts(root: Path) -> None:
    before = measure_directory(root).hash()
    write(root, {".git": "gitdir: /somewhere/else\n"})
    assert measure_directory(root).hash() == before


def test_what_gitignore_ignores_does_not_count(root: Path) -> None:
    write(
        root,
        {
            ".gitignore": "*.log\nout/\n/top.txt\n",
            "a.log": "",
            "lib/b.log": "",
            "out/x": "",
            "top.txt": "",
            "lib/top.txt": "",
        },
    )
    assert paths(root) == [".gitignore", "agent.py", "agent.yaml", "lib/a.py", "lib/top.txt", "rules.json"]


def test_a_gitignore_further_down_speaks_for_its_own_folder(root: Path) -> None:
    write(
        root,
        {
            "lib/.gitignore": "*.txt\n/deep/only.py\n",
            "lib/x.txt": "",
            "lib/sub/y.txt": "",
            "z.txt": "",
            "lib/deep/only.py": "",
            "lib/sub/deep/only.py": "",
        },
    )
    found = paths(root)
    assert "lib/x.txt" not in found
    assert "lib/sub/y.txt" not in found
    assert "lib/deep/only.py" not in found
    assert "lib/sub/deep/only.py" in found
    assert "z.txt" in found


def test_a_negation_brings_a_file_back(root: Path) -> None:
    write(root, {".gitignore": "*.log\n!keep.log\n", "a.log": "", "keep.log": ""})
    found = paths(root)
    assert "keep.log" in found
    assert "a.log" not in found


def test_a_negation_further_down_overrides_the_rule_above(root: Path) -> None:
    write(
        root,
        {
            ".gitignore": "*.log\n",
            "lib/.gitignore": "!keep.log\n",
            "lib/keep.log": "",
            "lib/a.log": "",
            "keep.log": "",
        },
    )
    found = paths(root)
    assert "lib/keep.log" in found
    assert "lib/a.log" not in found
    assert "keep.log" not in found


def test_a_negation_cannot_reach_into_an_ignored_folder(root: Path) -> None:
    write(root, {".gitignore": "out/\n!out/keep.py\n", "out/keep.py": "", "out/.gitignore": "!keep.py\n"})
    assert "out/keep.py" not in paths(root)


def test_no_gitignore_brings_back_what_is_always_excluded(root: Path) -> None:
    write(
        root,
        {
            ".gitignore": "!*.pyc\n!__pycache__/\n!.venv/\n",
            "a.pyc": "",
            "__pycache__/b.py": "",
            ".venv/c.py": "",
        },
    )
    assert paths(root) == [".gitignore", "agent.py", "agent.yaml", "lib/a.py", "rules.json"]


def test_the_agents_own_exclusions_do_not_count(root: Path) -> None:
    write(
        root,
        {
            "agent.yaml": f"{DESCRIPTION}exclude: [data/, '*.csv']\n",
            "data/x.py": "",
            "lib/data/y.py": "",
            "z.csv": "",
        },
    )
    assert [file.path for file in measure_directory(root).code] == ["agent.py", "agent.yaml", "lib/a.py"]


def test_no_gitignore_brings_back_what_the_agent_excludes(root: Path) -> None:
    write(root, {".gitignore": "!*.csv\n", "z.csv": ""})
    assert "z.csv" in paths(root)
    assert "z.csv" not in paths(root, "*.csv")


def test_the_agent_may_take_an_exclusion_back(root: Path) -> None:
    write(root, {"keep.csv": "", "z.csv": ""})
    found = paths(root, "*.csv", "!keep.csv")
    assert "keep.csv" in found
    assert "z.csv" not in found


def test_a_new_gitignore_that_hides_itself_changes_the_hash(root: Path) -> None:
    before = measure_directory(root).hash()
    write(root, {".gitignore": ".gitignore\njson.py\n", "json.py": "import os\n"})
    assert measure_directory(root).hash() != before


def test_a_new_folder_that_ignores_itself_changes_the_hash(root: Path) -> None:
    before = measure_directory(root).hash()
    write(root, {"plugins/.gitignore": "*\n", "plugins/evil.py": "import os\n"})
    assert measure_directory(root).hash() != before


def test_the_description_counts_even_when_it_excludes_itself(root: Path) -> None:
    write(root, {"agent.yaml": f"{DESCRIPTION}exclude: [agent.yaml]\n"})
    before = measure_directory(root).hash()
    write(root, {"agent.yaml": f"{DESCRIPTION}exclude: [agent.yaml, json.py]\n", "json.py": "import os\n"})
    assert measure_directory(root).hash() != before


def test_the_hash_does_not_depend_on_place_order_times_or_modes(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "deeper"
    for path in sorted(paths(root), reverse=True):
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / path, copy / path)
        os.utime(copy / path, (1, 1))
        (copy / path).chmod(0o700)
    assert measure_directory(copy) == measure_directory(root)
    assert measure_directory(copy).hash() == measure_directory(root).hash()


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("agent.py", "agent.py"),
        ("lib/a.py", "lib/a.py"),
        ("rules.json", "config rules.json"),
        ("agent.yaml", "agent.yaml"),
    ],
)
def test_one_changed_byte_changes_the_hash_and_is_named(root: Path, path: str, named: str) -> None:
    before = measure_directory(root)
    content = (root / path).read_bytes()
    (root / path).write_bytes(content + b"\n")
    after = measure_directory(root)
    assert after.hash() != before.hash()
    assert difference(before, after).changed == [named]


def test_a_changed_capability_changes_the_hash_and_is_named(root: Path) -> None:
    before = measure_directory(root)
    write(root, {"agent.yaml": DESCRIPTION.replace("write:ledger", "write:ledgers")})
    after = measure_directory(root)
    assert after.hash() != before.hash()
    assert difference(before, after).changed == ["agent.yaml", "the capabilities"]


def test_a_renamed_file_changes_the_hash_and_is_named(root: Path) -> None:
    before = measure_directory(root)
    (root / "lib/a.py").rename(root / "lib/b.py")
    after = measure_directory(root)
    assert after.hash() != before.hash()
    assert (difference(before, after).added, difference(before, after).removed) == (
        ["lib/b.py"],
        ["lib/a.py"],
    )


def test_an_empty_file_counts(root: Path) -> None:
    before = measure_directory(root)
    write(root, {"lib/__init__.py": ""})
    after = measure_directory(root)
    assert difference(before, after).added == ["lib/__init__.py"]


def test_a_link_inside_the_root_counts_with_its_targets_contents(root: Path) -> None:
    (root / "alias.py").symlink_to("lib/a.py")
    digests = {file.path: file.sha256 for file in measure_directory(root).code}
    assert digests["alias.py"] == digests["lib/a.py"]


def test_a_link_that_leaves_the_root_is_refused(root: Path) -> None:
    write(root.parent, {"outside.py": "secret"})
    (root / "alias.py").symlink_to("../outside.py")
    assert refused(root) == "link_leaves_root"


def test_a_link_to_a_sibling_whose_name_begins_like_the_root_is_refused(root: Path) -> None:
    write(root.parent, {"agent-evil/x.py": "secret"})
    (root / "alias.py").symlink_to("../agent-evil/x.py")
    assert refused(root) == "link_leaves_root"


def test_a_chain_of_links_that_ends_outside_is_refused(root: Path) -> None:
    write(root.parent, {"outside.py": "secret"})
    (root / "second.py").symlink_to(root.parent / "outside.py")
    (root / "first.py").symlink_to("second.py")
    assert refused(root) == "link_leaves_root"


def test_a_link_to_a_folder_is_refused(root: Path) -> None:
    (root / "more").symlink_to("lib")
    assert refused(root) == "link_to_folder"


def test_an_excluded_link_is_not_followed(root: Path) -> None:
    write(root, {".gitignore": "alias.py\n"})
    (root / "alias.py").symlink_to("/nowhere/else.py")
    assert "alias.py" not in paths(root)
    measure_directory(root)


def test_a_pipe_is_not_read(root: Path) -> None:
    os.mkfifo(root / "pipe")
    assert "pipe" not in paths(root)


def test_a_root_that_is_itself_reached_by_a_link_is_measured(root: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(root)
    assert measure_directory(link).hash() == measure_directory(root).hash()


def test_config_that_matches_no_file_is_refused(root: Path) -> None:
    (root / "rules.json").unlink()
    assert refused(root) == "config_missing"


def test_an_agent_without_config_is_measured(root: Path) -> None:
    write(root, {"agent.yaml": DESCRIPTION.replace("config: [rules.json]\n", "")})
    manifest = measure_directory(root)
    assert manifest.config == []
    assert "rules.json" in [file.path for file in manifest.code]


def test_more_files_than_the_limit_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "FILES_MAX", 4)
    measure_directory(root)
    write(root, {"one-more.py": ""})
    assert refused(root) == "too_many_files"


def test_a_file_above_the_limit_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "FILE_BYTES_MAX", 1_000)
    write(root, {"big.bin": "x" * 1_000})
    measure_directory(root)
    write(root, {"big.bin": "x" * 1_001})
    assert refused(root) == "file_too_large"


def test_a_file_larger_than_one_read_is_digested_whole(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "_CHUNK_BYTES", 7)
    write(root, {"long.txt": "0123456789" * 5})
    assert digest_file(root, "long.txt").sha256 == sha256_hex(b"0123456789" * 5)
    assert digest_file(root, "long.txt").bytes == 50


def test_a_file_name_with_a_backslash_is_refused(root: Path) -> None:
    write(root, {"a\\b.py": ""})
    assert refused(root) == "path_malformed"


def test_a_folder_without_a_description_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        measure_directory(tmp_path)
    assert caught.value.code == "description_missing"
    assert "agent.yaml" in caught.value.fix


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "object"),
        ("[]", "object"),
        ("agent: [", "YAML"),
        ("agent: 5\nentrypoint: [a]\ncapabilities: []\n", "agent"),
        ("entrypoint: [a]\ncapabilities: []\n", "agent"),
        ("agent: a\nentrypoint: a\ncapabilities: []\n", "entrypoint"),
        ("agent: a\nentrypoint: [a]\n", "capabilities"),
        ("agent: a\nentrypoint: [a]\ncapabilities: [1]\n", "capabilities"),
        ("agent: a\nentrypoint: [a]\ncapabilities: []\ncode: [x]\n", "code"),
    ],
)
def test_a_malformed_description_is_refused_and_the_field_named(tmp_path: Path, text: str, word: str) -> None:
    write(tmp_path, {"agent.yaml": text})
    with pytest.raises(InvalidInputError) as caught:
        load_description(tmp_path / "agent.yaml")
    assert caught.value.code == "description_malformed"
    assert word in str(caught.value)


def test_a_description_with_a_bad_agent_name_is_refused(root: Path) -> None:
    write(root, {"agent.yaml": DESCRIPTION.replace("reconciler", "Reconciler")})
    assert refused(root) == "agent_name_malformed"


def test_a_description_with_a_bad_capability_is_refused(root: Path) -> None:
    write(root, {"agent.yaml": DESCRIPTION.replace("write:ledger", "'write:*'")})
    assert refused(root) == "capability_malformed"


def test_a_description_that_is_not_utf_8_is_refused(root: Path) -> None:
    (root / "agent.yaml").write_bytes(b"agent: \xff\n")
    assert refused(root) == "description_malformed"


def test_a_gitignore_may_hold_any_bytes(root: Path) -> None:
    (root / ".gitignore").write_bytes(b"\xff.log\n*.txt\n")
    write(root, {"x.txt": ""})
    assert "x.txt" not in paths(root)


@pytest.mark.parametrize("line", ["exclude: ['!']", "config: ['!']"])
def test_a_pattern_that_is_none_is_refused(root: Path, line: str) -> None:
    write(root, {"agent.yaml": DESCRIPTION.replace("config: [rules.json]", line)})
    refused(root)


def test_an_image_in_the_description_is_an_oci_digest(root: Path) -> None:
    image = "sha256:" + "ab" * 32
    write(root, {"agent.yaml": f"{DESCRIPTION}image: {image}\n"})
    assert measure_directory(root).image == image
    write(root, {"agent.yaml": f"{DESCRIPTION}image: reconciler:latest\n"})
    refused(root)


def test_a_program_is_measured_with_its_command_line(root: Path) -> None:
    manifest = measure_program(
        "tool", root / "agent.py", ["agent.py", "--fast"], ["write:ledger", "read:payments"]
    )
    assert [file.path for file in manifest.code] == ["agent.py"]
    assert manifest.entrypoint == ["agent.py", "--fast"]
    assert manifest.capabilities == ["read:payments", "write:ledger"]
    other = measure_program("tool", root / "agent.py", ["agent.py"], ["write:ledger", "read:payments"])
    assert other.hash() != manifest.hash()


@pytest.mark.parametrize("name", ["missing.py", "lib"])
def test_a_program_that_is_no_file_is_not_found(root: Path, name: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        measure_program("tool", root / name, [], [])
    assert caught.value.code == "program_missing"


def test_a_program_with_a_bad_agent_name_is_refused(root: Path) -> None:
    with pytest.raises(InvalidInputError) as caught:
        measure_program("Bad Name", root / "agent.py", [], [])
    assert caught.value.code == "agent_name_malformed"
