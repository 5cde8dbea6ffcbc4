"""A node and its control plane: dispatches run, end, crash, and come back."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

from dragons.audit.verify import verify_file
from dragons.sdk.localstore import LocalStore
from dragons.sdk.packs import export_pack
from dragons.wire.evidence import PackRequest
from tests.functional.node.conftest import Node, World, agent_of, lives, until

Write = Callable[[str], Path]

# Says its process, then something new all the time.
BUSY = """
import json, os, time
place = os.environ.get("DRAGONS_HANDOVER")
print("handover", json.dumps(json.load(open(place)) if place else None), flush=True)
print("pid", os.getpid(), flush=True)
for number in range(10_000):
    print("step", number, flush=True)
    time.sleep(0.2)
"""


def test_a_dispatch_runs_to_its_completion(world: World, node: Node, program: Write, tmp_path: Path) -> None:
    (tmp_path / "input.txt").write_text("from the folder")
    file = program(
        "import os, sys\nprint(open(sys.argv[1]).read(), os.environ['GREETING'], os.environ.get('SECRET'))\n"
        "print(sorted(name for name in os.environ if 'DRAGONS' in name), sys.stdin.read() == '')\n"
    )
    told = world.run(
        "dispatch", "create", "--goal", "read it", "--agent", agent_of(file), "--node", node.name, "--env",
        "GREETING=hello", "-o", "json", "--", "python3", str(file), str(tmp_path / "input.txt"),
    )  # fmt: skip
    made = json.loads(told)
    dispatch_id = made["dispatch_id"]
    assert stat.S_IMODE(Path(made["spec"]).stat().st_mode) == 0o600
    world.until_state(dispatch_id, "completed")
    first, second = world.run("dispatch", "logs", dispatch_id).splitlines()
    assert first == "from the folder hello None"
    assert second == "['DRAGONS_AGENT', 'DRAGONS_INSTANCE', 'DRAGONS_SESSION'] True"
    detail = world.show(dispatch_id)
    (instance,) = detail.instances
    assert (instance.state, instance.epoch, instance.node) == ("stopped", 1, node.name)
    assert detail.view.state_reason == "exit status 0"
    assert detail.orders == []
    kinds = world.kinds(agent_of(file))
    for kind in ("dispatch.ordered", "redispatched", "dispatch.ended"):
        assert kinds.count(kind) == 1, kinds
    assert node.name in world.run("nodes", "list")
    assert dispatch_id in world.run("dispatch", "list", "--agent", agent_of(file))
    assert "completed" in world.run("dispatch", "show", dispatch_id)


def test_a_crashing_program_is_restarted_held_and_released(
    world: World, node: Node, program: Write, tmp_path: Path
) -> None:
    mended = tmp_path / "mended"
    file = program(
        f"import os, sys\nprint('tries', flush=True)\nsys.exit(0 if os.path.exists({str(mended)!r}) else 3)\n"
    )
    dispatch_id, agent = world.create(file, node=node.name), agent_of(file)
    world.until_state(dispatch_id, "held")
    detail = world.show(dispatch_id)
    assert [one.epoch for one in detail.starts] == [1, 2, 3, 4]
    assert [one.fenced_by for one in detail.starts] == ["none", "death", "death", "death"]
    assert all(one.reason == "exit status 3" for one in detail.starts[1:])
    assert detail.instances[-1].state == "quarantined"
    assert detail.orders == []
    told = [one for one in world.client.messages().messages if one.agent == agent]
    (escalation,) = [one for one in told if one.topic == "quarantined"]
    assert escalation.incident_id
    mended.touch()
    world.run("agents", "release", agent, "--reason", "mended")
    world.until_state(dispatch_id, "completed")
    after = world.show(dispatch_id)
    assert [one.epoch for one in after.starts] == [1, 2, 3, 4, 5]
    assert world.kinds(agent).count("intervention") == 1


def test_a_program_that_stands_still_is_replaced(world: World, node: Node, program: Write) -> None:
    file = program(BUSY)
    dispatch_id = world.create(file, node=node.name)
    pid = int(world.line(dispatch_id, 1, "pid "))
    first = until(lambda: world.show(dispatch_id).instances, "an instance")[0].instance_id
    until(lambda: world.client.instance(first).progress_sequence, "progress")
    assert world.client.instance(first).state == "running"
    os.kill(pid, signal.SIGSTOP)
    handed = json.loads(world.line(dispatch_id, 2, "handover "))
    assert (handed["instance_id"], handed["epoch"]) == (first, 1)
    assert handed["progress_source"] == "output"
    assert not lives(pid), "the next one began while the old program was there"
    assert lives(int(world.line(dispatch_id, 2, "pid ")))
    start = world.show(dispatch_id).starts[-1]
    assert (start.epoch, start.fenced_by) == (2, "death")
    states = [
        one.header["organism_state"]
        for one in world.client.receipts(agent=agent_of(file), kind="state.changed").receipts
    ]
    assert states[:3] == ["degraded", "autohealing", "stopped"]
    cancel(world, dispatch_id)


def test_a_node_that_is_killed_takes_its_programs_along(world: World, node: Node, program: Write) -> None:
    file = program(BUSY)
    dispatch_id = world.create(file, node=node.name)
    pid = int(world.line(dispatch_id, 1, "pid "))
    node.end(signal.SIGKILL)
    until(lambda: not lives(pid), "the program's end")
    node.restart()
    assert lives(int(world.line(dispatch_id, 2, "pid ")))
    start = world.show(dispatch_id).starts[-1]
    assert (start.fenced_by, start.reason) == ("death", "its node no longer runs it")
    cancel(world, dispatch_id)


def test_a_node_that_is_asked_to_leave_drains(world: World, node: Node, program: Write) -> None:
    file = program(BUSY)
    dispatch_id = world.create(file, node=node.name)
    pid = int(world.line(dispatch_id, 1, "pid "))
    assert node.end(signal.SIGTERM) == 0
    assert not lives(pid)
    (order,) = world.show(dispatch_id).orders
    assert (order.kind, order.epoch, order.target) == ("start", 2, node.name)
    node.restart()
    assert lives(int(world.line(dispatch_id, 2, "pid ")))
    cancel(world, dispatch_id)


def test_a_node_that_stood_still_comes_back(world: World, node: Node, program: Write) -> None:
    file = program(BUSY)
    dispatch_id = world.create(file, node=node.name)
    pid = int(world.line(dispatch_id, 1, "pid "))
    node.process.send_signal(signal.SIGSTOP)

    def ordered() -> list[str]:
        return sorted(one.kind for one in world.show(dispatch_id).orders)

    until(lambda: ordered() == ["start", "stop"], "the orders to replace it")
    assert world.show(dispatch_id).starts[-1].fenced_by == "staleness"
    node.process.send_signal(signal.SIGCONT)
    assert lives(int(world.line(dispatch_id, 2, "pid ")))
    until(lambda: not lives(pid), "the end of the old program")
    until(lambda: ordered() == [], "the results")
    assert [one.epoch for one in world.show(dispatch_id).starts] == [1, 2]
    cancel(world, dispatch_id)


def test_what_completed_while_nobody_listened_is_not_done_again(
    world: World, node: Node, program: Write, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    file = program(
        "import os, time\nprint('pid', os.getpid(), flush=True)\n"
        f"while not os.path.exists({str(gate)!r}): time.sleep(0.1)\n"
    )
    dispatch_id = world.create(file, node=node.name)
    pid = int(world.line(dispatch_id, 1, "pid "))
    # A time away that is shorter than 30 s is not made good, so it has to be shorter than the thresholds.
    world.run("policies", "set", agent_of(file), "--degrade-after", "60s", "--autoheal-after", "120s")
    world.plane.kill()
    gate.touch()
    until(lambda: not lives(pid), "the program's end")
    # Its launcher tries to tell for a while, then leaves that to the node.
    until(lambda: "receipts wait in" in node.log.read_text(), "the launcher's end")
    world.plane.start()
    world.until_state(dispatch_id, "completed")
    assert [one.epoch for one in world.show(dispatch_id).starts] == [1]


def test_an_operator_cancels(world: World, node: Node, program: Write) -> None:
    file = program(BUSY)
    dispatch_id = world.create(file, node=node.name)
    pid = int(world.line(dispatch_id, 1, "pid "))
    cancel(world, dispatch_id)
    until(lambda: not lives(pid), "the program's end")
    until(lambda: not world.show(dispatch_id).orders, "the order's end")
    assert [one.epoch for one in world.show(dispatch_id).instances] == [1]
    assert "interven" not in world.run("dispatch", "cancel", dispatch_id, expected=1)


def test_a_specification_that_was_changed_is_not_run(world: World, node: Node, program: Write) -> None:
    file = program("print('never')\n")
    node.end(signal.SIGKILL)
    dispatch_id = world.create(file, node=node.name)
    spec = world.plane.home.store_path(world.plane.tenant_id).parent / "dispatches" / f"{dispatch_id}.json"
    spec.write_bytes(spec.read_bytes().replace(b"program.py", b"another.py"))
    node.restart()
    world.until_state(dispatch_id, "held")
    detail = world.show(dispatch_id)
    assert "spec_mismatch" in detail.view.state_reason
    assert (detail.instances, detail.view.epoch) == ([], 0)


def test_many_begin_at_once(world: World, node: Node, program: Write) -> None:
    file = program("import time\nfor n in range(5):\n    print('step', n, flush=True)\n    time.sleep(0.1)\n")
    node.end(signal.SIGKILL)
    made = [world.create(file, node=node.name) for _ in range(6)]
    node.restart()
    for dispatch_id in made:
        world.until_state(dispatch_id, "completed")
        assert [one.epoch for one in world.show(dispatch_id).instances] == [1]


def test_one_node_of_a_name(world: World, node: Node) -> None:
    world.run("node", "--name", node.name, expected=1)


def test_the_record_of_all_this_is_valid(world: World, node: Node, program: Write, tmp_path: Path) -> None:
    cancel(world, world.create(program(BUSY), node=node.name))
    pack = tmp_path / "pack.zip"
    with LocalStore(world.plane.home.store_path(world.plane.tenant_id)) as store:
        export_pack(world.client, PackRequest(), pack, store)
    report = verify_file(pack, world.plane.pin)
    assert report.valid, report.to_json()


def cancel(world: World, dispatch_id: str) -> None:
    world.run("dispatch", "cancel", dispatch_id, "--reason", "the test is over")
    assert world.state(dispatch_id) == "cancelled"
