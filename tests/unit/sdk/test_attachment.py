from __future__ import annotations

from pathlib import Path

import pytest

from dragons.core.clock import ManualClock
from dragons.core.errors import InvalidInputError, NotFoundError
from dragons.sdk.attachment import (
    Attachment,
    Follower,
    attachment_path,
    read_attachment,
    read_handover,
    remove_attachment,
    sweep_attachments,
    write_attachment,
    write_handover,
)
from dragons.sdk.instance import Instance
from tests.unit.sdk.kit import Plane


def attachment(plane: Plane, instance: Instance) -> Attachment:
    assert instance.granted is not None
    span = plane.span()
    return Attachment(
        url="http://x", tenant_id=plane.tenant_id, instance_id=instance.instance_id, seed=instance.signer.seed(),
        granted=instance.granted, sent_wall_ms=span.sent.wall_ms, sent_boot_ms=span.sent.boot_ms,
        received_boot_ms=span.received_boot_ms, session_id="ses", goal="g", store="/s", home="/h",
    )  # fmt: skip


def test_it_is_read_as_it_was_written(plane: Plane, instance: Instance, tmp_path: Path) -> None:
    path, given = tmp_path / "run" / "i.json", attachment(plane, instance)
    write_attachment(path, given)
    assert path.stat().st_mode & 0o777 == 0o600
    found = read_attachment(path)
    assert found == given
    assert found.signer.key_id == instance.signer.key_id
    assert found.span == plane.span()
    assert "seed" not in repr(found)


def test_the_environment_names_it(tmp_path: Path) -> None:
    assert attachment_path({}) is None
    assert attachment_path({"DRAGONS_INSTANCE": str(tmp_path)}) == tmp_path


def test_what_others_can_read_or_nobody_wrote_is_refused(
    plane: Plane, instance: Instance, tmp_path: Path
) -> None:
    path = tmp_path / "i.json"
    with pytest.raises(NotFoundError):
        read_attachment(path)
    write_attachment(path, attachment(plane, instance))
    path.chmod(0o644)
    with pytest.raises(InvalidInputError):
        read_attachment(path)
    path.write_bytes(b"{}")
    path.chmod(0o600)
    with pytest.raises(InvalidInputError):
        read_attachment(path)


def test_a_follower_sees_each_change_once(plane: Plane, instance: Instance, tmp_path: Path) -> None:
    path, given = tmp_path / "i.json", attachment(plane, instance)
    write_attachment(path, given)
    follower = Follower(path)
    assert follower.changed() is None
    given.goal = "other"
    write_attachment(path, given)
    changed = follower.changed()
    assert changed is not None
    assert changed.goal == "other"
    assert follower.changed() is None
    path.unlink()
    with pytest.raises(NotFoundError):
        follower.changed()


def test_what_killed_launchers_left_is_swept(
    plane: Plane, instance: Instance, tmp_path: Path, clock: ManualClock
) -> None:
    folder = tmp_path / "run"
    sweep_attachments(folder, clock.now_ms())
    write_attachment(folder / "live.json", attachment(plane, instance))
    (folder / "garbage.json").write_text("?")
    for name in ("live.12.waiting", "live.handover", "gone.13.waiting", "garbage.handover"):
        (folder / name).write_text("{}")
    sweep_attachments(folder, clock.now_ms())
    kept = ["live.12.waiting", "live.handover", "live.json"]
    assert sorted(path.name for path in folder.iterdir()) == kept
    sweep_attachments(folder, clock.now_ms() + 900_000)
    assert list(folder.iterdir()) == []


def test_a_run_takes_its_files_along(plane: Plane, instance: Instance, tmp_path: Path) -> None:
    path = tmp_path / "i.json"
    write_attachment(path, attachment(plane, instance))
    write_handover(path, {"epoch": 1})
    (tmp_path / "i.7.waiting").write_text("{}")
    (tmp_path / "ii.json").write_text("{}")
    remove_attachment(path)
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["ii.json"]
    remove_attachment(path)


def test_a_handover_is_read_as_it_was_written(tmp_path: Path) -> None:
    given = {"epoch": 2, "progress": {"sequence": 7, "source": "files"}, "names": ["a"]}
    path = write_handover(tmp_path / "i.json", given)
    assert (path.name, path.stat().st_mode & 0o777) == ("i.handover", 0o600)
    assert read_handover({"DRAGONS_HANDOVER": str(path)}) == given
    assert read_handover({}) is None


@pytest.mark.parametrize("given", [{"a": object()}, {"a": "x" * 64_000}])
def test_what_is_no_plain_and_small_handover_is_refused(tmp_path: Path, given: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        write_handover(tmp_path / "i.json", given)
    assert caught.value.code == "handover_malformed"
    assert caught.value.fix


def test_what_is_no_handover_is_not_read_as_one(tmp_path: Path) -> None:
    path = write_handover(tmp_path / "i.json", {})
    path.write_text("[1]")
    with pytest.raises(InvalidInputError):
        read_handover({"DRAGONS_HANDOVER": str(path)})
    path.chmod(0o644)
    with pytest.raises(InvalidInputError, match="Others may read"):
        read_handover({"DRAGONS_HANDOVER": str(path)})
