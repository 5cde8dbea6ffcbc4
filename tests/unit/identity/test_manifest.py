"""The manifest: one form, one hash, and differences that a person can look at."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from dragons.core.canonical import decode, encode
from dragons.core.errors import InvalidInputError
from dragons.core.hashing import sha256_hex
from dragons.identity.manifest import (
    FILES_MAX,
    MANIFEST_BYTES_MAX,
    Difference,
    FileDigest,
    Manifest,
    check_manifest,
    check_path,
    difference,
)

IMAGE = "sha256:" + "ab" * 32


def file(path: str, content: bytes = b"x") -> FileDigest:
    return FileDigest(path=path, sha256=sha256_hex(content), bytes=len(content))


def manifest(**changes: Any) -> Manifest:
    return replace(
        Manifest(
            agent="reconciler",
            code=[file("agent.py"), file("lib/a.py")],
            config=[file("rules.json")],
            capabilities=["read:payments", "write:ledger"],
            entrypoint=["python", "agent.py"],
        ),
        **changes,
    )


def refused(value: Manifest) -> str:
    with pytest.raises(InvalidInputError) as caught:
        check_manifest(value)
    return caught.value.code


def test_the_hash_is_over_the_canonical_manifest() -> None:
    value = manifest()
    assert value.hash() == sha256_hex(encode(value))
    assert decode(Manifest, encode(value)).hash() == value.hash()


@pytest.mark.parametrize(
    "changes",
    [
        {"agent": "reconciles"},
        {"code": [file("agent.py", b"y"), file("lib/a.py")]},
        {"code": [file("agent.py")]},
        {"code": [file("agent.py"), file("lib/b.py")]},
        {"config": []},
        {"config": [file("rules.json", b"y")]},
        {"capabilities": ["read:payments"]},
        {"entrypoint": ["agent.py", "python"]},
        {"entrypoint": ["python agent.py"]},
        {"image": IMAGE},
    ],
)
def test_any_change_changes_the_hash(changes: dict[str, Any]) -> None:
    assert manifest(**changes).hash() != manifest().hash()


def test_a_good_manifest_passes() -> None:
    check_manifest(manifest())
    check_manifest(manifest(code=[], config=[], image=IMAGE))


@pytest.mark.parametrize("label", ["code", "config"])
@pytest.mark.parametrize("paths", [["b", "a"], ["a", "a"]])
def test_files_that_are_not_distinct_and_sorted_are_refused(label: str, paths: list[str]) -> None:
    assert refused(manifest(**{label: [file(path) for path in paths]})) == "manifest_unsorted"


@pytest.mark.parametrize("label", ["code", "config"])
def test_a_path_that_leaves_the_root_is_refused(label: str) -> None:
    assert refused(manifest(**{label: [file("../agent.py")]})) == "path_malformed"


def test_capabilities_that_are_not_sorted_are_refused() -> None:
    assert refused(manifest(capabilities=["write:ledger", "read:payments"])) == "scope_unsorted"


def test_a_manifest_of_nothing_is_refused() -> None:
    assert refused(manifest(code=[])) == "manifest_empty"


def test_a_manifest_has_a_largest_size() -> None:
    value = manifest(entrypoint=["x" * MANIFEST_BYTES_MAX])
    assert refused(value) == "manifest_too_large"
    spare = MANIFEST_BYTES_MAX - len(encode(manifest(entrypoint=[""])))
    check_manifest(manifest(entrypoint=["x" * spare]))
    assert refused(manifest(entrypoint=["x" * (spare + 1)])) == "manifest_too_large"


def test_a_document_refuses_more_files_than_the_limit() -> None:
    files = [file(f"{number:06}.py") for number in range(FILES_MAX + 1)]
    assert len(decode(Manifest, encode(manifest(code=files[1:]))).code) == FILES_MAX
    with pytest.raises(InvalidInputError):
        decode(Manifest, encode(manifest(code=files)))


@pytest.mark.parametrize(
    "image", ["", "latest", IMAGE[:-1], IMAGE + "0", IMAGE.upper(), f"{IMAGE}\n", IMAGE[7:]]
)
def test_an_image_is_an_oci_digest(image: str) -> None:
    with pytest.raises(InvalidInputError):
        decode(Manifest, encode(manifest(image=image)))


@pytest.mark.parametrize("path", ["a", "a/b.py", ".hidden", "a b", "...", "é", "a/..b"])
def test_a_plain_relative_path_passes(path: str) -> None:
    check_path(path)


@pytest.mark.parametrize(
    "path", ["", "/", "/a", "a/", "a//b", ".", "..", "./a", "a/.", "a/../b", "../a", "a\\b", "\\a"]
)
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_path(path)
    assert caught.value.code == "path_malformed"


def test_equal_manifests_do_not_differ() -> None:
    found = difference(manifest(), manifest())
    assert found == Difference([], [], [])
    assert not found
    assert found.describe() == ""


def test_the_difference_names_files_and_fields() -> None:
    measured = manifest(
        code=[file("agent.py", b"y"), file("new.py")],
        config=[file("rules.json", b"y")],
        capabilities=["read:payments"],
    )
    found = difference(manifest(), measured)
    assert found
    assert found.added == ["new.py"]
    assert found.removed == ["lib/a.py"]
    assert found.changed == ["agent.py", "config rules.json", "the capabilities"]
    assert found.describe() == (
        "changed agent.py, changed config rules.json, changed the capabilities, added new.py, removed lib/a.py"
    )


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"agent": "other"}, "the agent"),
        ({"capabilities": []}, "the capabilities"),
        ({"entrypoint": []}, "the entrypoint"),
        ({"image": IMAGE}, "the image"),
    ],
)
def test_every_field_beside_the_files_is_named(changes: dict[str, Any], name: str) -> None:
    assert difference(manifest(), manifest(**changes)).changed == [name]
    assert difference(manifest(**changes), manifest()).changed == [name]


def test_a_file_that_moves_between_code_and_config_is_named_twice() -> None:
    found = difference(manifest(), manifest(code=[*manifest().code, file("rules.json")], config=[]))
    assert found.added == ["rules.json"]
    assert found.removed == ["config rules.json"]


def test_a_code_file_whose_name_looks_like_config_does_not_hide_a_change() -> None:
    recorded = manifest(code=[file("config rules.json"), file("x.py")])
    measured = manifest(code=[file("config rules.json", b"changed"), file("x.py")])
    assert recorded.hash() != measured.hash()
    assert difference(recorded, measured)


@pytest.mark.parametrize(
    "found", [Difference(["a"], [], []), Difference([], ["a"], []), Difference([], [], ["a"])]
)
def test_one_name_alone_is_a_difference(found: Difference) -> None:
    assert found


def test_a_long_difference_is_cut_and_counted() -> None:
    found = Difference([f"f{number}" for number in range(5)], [], ["c"])
    assert found.describe(limit=3) == "changed c, added f0, added f1 and 3 more"
    assert found.describe(limit=6) == "changed c, added f0, added f1, added f2, added f3, added f4"


def test_an_absent_image_is_not_written() -> None:
    assert b"image" not in encode(manifest())
    assert manifest().image is msgspec.UNSET
