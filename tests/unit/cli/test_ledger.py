from __future__ import annotations

from pathlib import Path

import pytest

from dragons.cli import ledger
from dragons.core.errors import InvalidInputError
from dragons.core.keys import KeyRole, LocalSigner
from dragons.evidence.checkpoint import sign_checkpoint
from dragons.evidence.merkle import consistency_proof, root_at
from dragons.wire.evidence import Consistency, Fsck, LedgerView
from dragons.wire.identity import Keys, KeyView
from tests.support import story
from tests.support.ledger import Book
from tests.unit.cli.answers import cli_with

BOOK: Book = story.full().book
FIRST = 10


def root(size: int) -> bytes:
    return root_at(size, BOOK.read_node)


def key_of(signer: LocalSigner) -> KeyView:
    return KeyView(
        key_id=signer.key_id,
        role="ledger",
        subject="ledger",
        roles=[],
        public_key=signer.public_key.raw,
        not_before="",
        not_after="",
        status="valid",
    )


def answers(size: int, note: str) -> dict[str, object]:
    view = LedgerView(
        tenant_id=BOOK.tenant_id,
        size=size,
        root=root(size).hex(),
        chain_root="",
        checkpoint=note,
        revocations=0,
    )
    proof = [node.hex() for node in consistency_proof(FIRST, size, BOOK.read_node)]
    return {
        "ledger": view,
        "keys": Keys(keys=[key_of(BOOK.ledger)]),
        "consistency": Consistency(first=FIRST, second=size, proof=proof),
    }


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    file = tmp_path / "kept.note"
    file.write_text(sign_checkpoint(BOOK.tenant_id, FIRST, root(FIRST), BOOK.ledger))
    return file


SIZE = len(BOOK.placed)
NOW = sign_checkpoint(BOOK.tenant_id, SIZE, root(SIZE), BOOK.ledger)


def test_a_ledger_that_grew_is_consistent(
    kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli, _ = cli_with(tmp_path, **answers(SIZE, NOW))
    assert ledger.consistency(cli, checkpoint_file=kept) == 0
    assert "the past is as it was" in capsys.readouterr().out


def test_a_rewritten_past_shows(kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = sign_checkpoint(BOOK.tenant_id, SIZE, b"\x01" * 32, BOOK.ledger)
    cli, _ = cli_with(tmp_path, **answers(SIZE, other))
    assert ledger.consistency(cli, checkpoint_file=kept) == 1
    assert "REWRITTEN" in capsys.readouterr().out


def test_a_ledger_that_shrank_shows(tmp_path: Path) -> None:
    kept = tmp_path / "kept.note"
    kept.write_text(NOW)
    smaller = sign_checkpoint(BOOK.tenant_id, FIRST, root(FIRST), BOOK.ledger)
    cli, asked = cli_with(tmp_path, **answers(FIRST, smaller))
    assert ledger.consistency(cli, checkpoint_file=kept) == 1
    assert "consistency" not in [name for name, _, _ in asked.asked]


def test_a_checkpoint_signed_by_another_is_no_answer(kept: Path, tmp_path: Path) -> None:
    stranger = LocalSigner.from_seed(b"\x09" * 32, KeyRole.LEDGER)
    cli, _ = cli_with(tmp_path, **answers(SIZE, sign_checkpoint(BOOK.tenant_id, SIZE, root(SIZE), stranger)))
    assert ledger.consistency(cli, checkpoint_file=kept) == 1
    kept.write_text(sign_checkpoint(BOOK.tenant_id, FIRST, root(FIRST), stranger))
    with pytest.raises(InvalidInputError) as caught:
        ledger.consistency(cli, checkpoint_file=kept)
    assert caught.value.code == "checkpoint_untrusted"


def test_damage_is_a_storage_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli, _ = cli_with(tmp_path, fsck=Fsck(receipts=9, sound=False, damage=["receipt 4: its bytes changed"]))
    assert ledger.fsck(cli) == 6
    assert "receipt 4: its bytes changed" in capsys.readouterr().out
    cli, _ = cli_with(tmp_path, fsck=Fsck(receipts=9, sound=True, damage=[]))
    assert ledger.fsck(cli) == 0
