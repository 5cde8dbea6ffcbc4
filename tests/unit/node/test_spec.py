from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragons.core.canonical import decode, encode
from dragons.core.clock import format_time
from dragons.core.errors import ConflictError, DragonsError, InvalidInputError, NotFoundError
from dragons.core.ids import DISPATCH, TENANT, new_id
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.statement import Envelope, sign
from dragons.liveness.dispatch import DISPATCH_ORDER, Dispatch
from dragons.node.spec import SPEC_BYTES_MAX, Spec, absolute, read_spec, spec_path, write_spec
from dragons.sdk.home import Home

NOW_MS = 1_800_000_000_000
TENANT_ID = new_id(TENANT, NOW_MS)
SIGNER = LocalSigner.generate(KeyRole.OPERATOR)


def spec(**changes: Any) -> Spec:
    made = Spec(
        dispatch_id=new_id(DISPATCH, NOW_MS),
        agent="reconciler",
        goal="reconcile May",
        salt=b"s" * 32,
        command=["python3", "/agents/run.py"],
        folder="/agents",
        scope=["read:payments"],
        ttl_seconds=900,
    )
    return msgspec.structs.replace(made, **changes)


def order(of: Spec, **changes: Any) -> Envelope:
    body = Dispatch(
        dispatch_id=of.dispatch_id,
        tenant_id=TENANT_ID,
        agent=of.agent,
        dispatcher="process",
        target="n1",
        scope=of.scope,
        ttl_seconds=of.ttl_seconds,
        goal_hash=of.goal_hash(),
        spec_hash=of.hash(),
        created_at=format_time(NOW_MS),
    )
    return sign(DISPATCH_ORDER, msgspec.structs.replace(body, **changes), SIGNER)


def test_what_was_signed_is_read_back(tmp_path: Path) -> None:
    home, kept = Home(tmp_path), spec(environment={"TOKEN": "secret"}, inherited=["LANG"], watch=["/out"])
    path = write_spec(home, TENANT_ID, kept)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path == spec_path(home, TENANT_ID, kept.dispatch_id)
    assert read_spec(home, TENANT_ID, order(kept)) == kept
    with pytest.raises(ConflictError) as caught:
        write_spec(home, TENANT_ID, kept)
    assert caught.value.code == "spec_exists"


@pytest.mark.parametrize(
    "changes",
    [
        {"spec_hash": "0" * 64},
        {"goal_hash": "0" * 64},
        {"agent": "another"},
        {"scope": []},
        {"ttl_seconds": 901},
        {"tenant_id": new_id(TENANT, NOW_MS)},
    ],
)
def test_what_was_not_signed_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    home, kept = Home(tmp_path), spec()
    write_spec(home, TENANT_ID, kept)
    with pytest.raises(InvalidInputError) as caught:
        read_spec(home, TENANT_ID, order(kept, **changes))
    assert caught.value.code == "spec_mismatch"
    assert caught.value.fix


def test_what_is_missing_exposed_or_damaged_is_refused(tmp_path: Path) -> None:
    home, kept = Home(tmp_path), spec()
    with pytest.raises(NotFoundError) as missing:
        read_spec(home, TENANT_ID, order(kept))
    assert missing.value.code == "secret_missing"
    path = write_spec(home, TENANT_ID, kept)
    path.chmod(0o644)
    with pytest.raises(InvalidInputError) as exposed:
        read_spec(home, TENANT_ID, order(kept))
    assert exposed.value.code == "secret_exposed"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(DragonsError) as damaged:
        read_spec(home, TENANT_ID, order(kept))
    assert damaged.value.code == "not_canonical"


def test_a_specification_is_bounded(tmp_path: Path) -> None:
    words = ["x" * 100_000] * (SPEC_BYTES_MAX // 100_000 + 1)
    with pytest.raises(InvalidInputError) as caught:
        write_spec(Home(tmp_path), TENANT_ID, spec(command=words))
    assert caught.value.code == "spec_too_large"


def test_the_run_that_it_describes() -> None:
    made = spec(
        environment={"A": "1"},
        inherited=["B", "C"],
        watch=["/out"],
        agent_dir="/agents",
        capabilities=["x:y"],
    )
    options = made.options({"A": "0", "B": "2", "PATH": "/bin", "OTHER": "3"})
    assert options.environment == {"A": "1", "B": "2", "PATH": "/bin"}
    assert (options.supervised, options.auto_register, options.replay) == (True, False, False)
    assert (options.folder, options.agent_dir, options.watch) == (
        Path("/agents"), Path("/agents"), (Path("/out"),),
    )  # fmt: skip
    assert options.dispatch_id == made.dispatch_id
    assert spec().options({}).agent_dir is None


@given(
    st.lists(st.text(max_size=20), max_size=4),
    st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4),
    st.binary(min_size=32, max_size=32),
)
def test_each_specification_has_one_form_and_one_hash(
    command: list[str], environment: dict[str, str], salt: bytes
) -> None:
    made = spec(command=command, environment=environment, salt=salt)
    again = decode(Spec, encode(made))
    assert again == made
    assert (again.hash(), again.goal_hash()) == (made.hash(), made.goal_hash())
    assert made.hash() != msgspec.structs.replace(made, command=[*command, "more"]).hash()


def test_paths_keep_their_links(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert absolute(tmp_path / "link" / ".." / "link") == str(tmp_path / "link")
