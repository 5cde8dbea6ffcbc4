"""Ed25519 against the vectors of Project Wycheproof."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dragons.core.errors import InvalidInputError
from dragons.core.keys import PublicKey

CASES = 151
GROUP_TYPES = {"EddsaVerify"}
RESULTS = {"valid", "invalid"}
FLAGS = {
    "CompressedSignature",
    "InvalidEncoding",
    "InvalidKtv",
    "InvalidSignature",
    "Ktv",
    "SignatureMalleability",
    "SignatureWithGarbage",
    "TinkOverflow",
    "TruncatedSignature",
    "Valid",
}


def groups(vectors: Path) -> list[dict[str, Any]]:
    (path,) = (vectors / "ed25519").iterdir()
    document = json.loads(path.read_bytes())
    assert document["algorithm"] == "EDDSA"
    assert document["numberOfTests"] == CASES
    found: list[dict[str, Any]] = document["testGroups"]
    return found


def verdict(group: dict[str, Any], case: dict[str, Any]) -> str:
    try:
        key = PublicKey(bytes.fromhex(group["publicKey"]["pk"]))
    except InvalidInputError:
        return "invalid"
    return "valid" if key.verify(bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"])) else "invalid"


def test_nothing_in_the_file_is_unknown(vectors: Path) -> None:
    for group in groups(vectors):
        assert group["type"] in GROUP_TYPES
        assert group["publicKey"]["curve"] == "edwards25519"
        for case in group["tests"]:
            assert set(case["flags"]) <= FLAGS
            assert case["result"] in RESULTS


def test_every_case_has_its_published_verdict(vectors: Path) -> None:
    cases = [(group, case) for group in groups(vectors) for case in group["tests"]]
    assert sorted(case["tcId"] for _, case in cases) == list(range(1, CASES + 1))
    assert [
        (case["tcId"], case["comment"]) for group, case in cases if verdict(group, case) != case["result"]
    ] == []
