"""Two processes that write one database: their receipts make one chain, whatever one of them does."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.fault.appender import AGENTS, THREADS_PER_AGENT
from tests.fault.processes import acknowledged, appending, assert_kept, hear, reopened
from tests.support.plane import assert_sound

COUNT = 40


def test_two_writers_make_one_chain(home: Path) -> None:
    with ExitStack() as stack:
        both = [stack.enter_context(appending(home, COUNT)) for _ in range(2)]
        # Whoever speaks is ready; only then do both append at the same time.
        assert [next(hear(process)) for process in both] == ["ready", "ready"]
        heard = [list(hear(process)) for process in both]
        assert [process.wait() for process in both] == [0, 0]
    told = [acknowledged(lines) for lines in heard]
    assert [len(one) for one in told] == [COUNT * AGENTS * THREADS_PER_AGENT] * 2
    assert not told[0].keys() & told[1].keys()
    with reopened(home) as tenancy:
        assert_kept(tenancy, told[0] | told[1])
        assert_sound(tenancy.plane, tenancy)


def test_one_goes_on_when_the_other_is_killed(home: Path) -> None:
    with appending(home, 0) as victim, appending(home, COUNT) as other:
        lines = list(hear(victim, 60))
        heard = list(hear(other, 10))
        victim.kill()
        lines.extend(hear(victim))
        heard.extend(hear(other))
        assert other.wait() == 0
    told = acknowledged([*lines, *heard])
    assert len(acknowledged(heard)) == COUNT * AGENTS * THREADS_PER_AGENT
    with reopened(home) as tenancy:
        assert_kept(tenancy, told)
        assert_sound(tenancy.plane, tenancy)


def test_a_plane_in_this_process_follows_what_another_wrote(home: Path) -> None:
    with reopened(home) as tenancy:
        before = tenancy.size()
        agent = tenancy.started(tenancy.ready("notifier"))
        with appending(home, 2) as process:
            told = acknowledged(hear(process))
            assert process.wait() == 0
        assert tenancy.size() > before + len(told)
        tenancy.work(agent)
        assert_kept(tenancy, told)
