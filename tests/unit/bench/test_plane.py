from pathlib import Path

from bench.plane import opened, seed_of
from dragons.core.keys import KeyRole, LocalSigner


def test_every_task_appends_its_share(tmp_path: Path) -> None:
    with opened(tmp_path, 2) as plane:
        before = plane.size()
        plane.append(3, 2)
        assert plane.size() == before + 6
        receipt = plane.append_alone(plane.workers[1])
        assert receipt.appended.seq == before + 6
        assert len({worker.session_id for worker in plane.workers}) == 2


def test_a_load_generator_can_act_as_a_worker(tmp_path: Path) -> None:
    with opened(tmp_path, 1) as plane:
        worker = plane.workers[0]
    again = LocalSigner.from_seed(seed_of(worker), KeyRole.INSTANCE)
    assert again.public_key.raw == worker.stating.signer.public_key.raw
