"""RFC 6962 proofs against the vectors of transparency-dev/merkle."""

from __future__ import annotations

import json
from base64 import b64decode
from collections import Counter
from pathlib import Path
from typing import Any

from dragons.evidence.merkle import verify_consistency, verify_inclusion

FILES = {"consistency": 98, "inclusion": 98}
INCLUSION = {"leafIdx", "treeSize", "root", "leafHash", "proof", "desc", "wantErr"}
CONSISTENCY = {"size1", "size2", "root1", "root2", "proof", "desc", "wantErr"}


def holds(case: dict[str, Any]) -> bool:
    proof = [b64decode(item) for item in case["proof"] or []]
    if set(case) == INCLUSION:
        leaf, root = b64decode(case["leafHash"] or ""), b64decode(case["root"] or "")
        return verify_inclusion(case["leafIdx"], case["treeSize"], leaf, proof, root)
    assert set(case) == CONSISTENCY, f"unknown form: {sorted(case)}"
    first, second = b64decode(case["root1"] or ""), b64decode(case["root2"] or "")
    return verify_consistency(case["size1"], case["size2"], first, second, proof)


def cases(vectors: Path) -> dict[str, dict[str, Any]]:
    folder = vectors / "merkle"
    return {
        str(path.relative_to(folder)): json.loads(path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_every_file_is_used(vectors: Path) -> None:
    found = cases(vectors)
    assert Counter(name.split("/")[0] for name in found) == FILES
    for name, case in found.items():
        assert set(case) == (INCLUSION if name.startswith("inclusion/") else CONSISTENCY)
    assert {case["wantErr"] for case in found.values()} == {True, False}


def test_every_file_has_its_published_verdict(vectors: Path) -> None:
    assert [name for name, case in sorted(cases(vectors).items()) if holds(case) is case["wantErr"]] == []
