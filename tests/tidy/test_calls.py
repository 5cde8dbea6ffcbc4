"""Time and chance enter through a few modules only."""

from __future__ import annotations

import ast

import pytest

from tests.tidy.calls import CLOCK, RANDOM, RULES, STOPWATCH, Rule, uses
from tests.tidy.project import SRC, problems_in, relative, source_files, tree_of

all_rules = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.what.replace(" ", "-"))


@all_rules
def test_only_the_allowed_modules(rule: Rule) -> None:
    others = [path for path in source_files() if path.relative_to(SRC).as_posix() not in rule.allowed]
    assert not problems_in(others, lambda path: uses(tree_of(path), rule))


@all_rules
def test_permissions_are_in_use(rule: Rule) -> None:
    present = [SRC / name for name in rule.allowed if (SRC / name).is_file()]
    assert not [relative(path) for path in present if not uses(tree_of(path), rule)]


# --- the check itself ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "bad"),
    [
        (CLOCK, "import time\ntime.time()"),
        (CLOCK, "import time as t\nt.monotonic()"),
        (CLOCK, "from time import time_ns as now\nnow()"),
        (CLOCK, "import time\nfield(default_factory=time.time)"),
        (CLOCK, "import datetime\ndatetime.datetime.now(datetime.UTC)"),
        (CLOCK, "from datetime import datetime\ndatetime.utcnow().year"),
        (CLOCK, "def f():\n    from time import monotonic\n    return monotonic()"),
        (STOPWATCH, "import time\ntime.perf_counter()"),
        (RANDOM, "import random\nrandom.Random(1)"),
        (RANDOM, "import secrets\nsecrets.token_hex()"),
        (RANDOM, "from os import urandom\nurandom(8)"),
        (RANDOM, "from uuid import uuid4\nuuid4()"),
        (RANDOM, "import uuid_utils as u\nu.uuid7()"),
    ],
)
def test_uses_are_found(rule: Rule, bad: str) -> None:
    assert len(uses(ast.parse(bad), rule)) == 1


@pytest.mark.parametrize(
    "good",
    [
        "import time\ntime.sleep(1)",
        "def f(clock):\n    return clock.time()",
        "from datetime import UTC, datetime\ndatetime.fromtimestamp(0, UTC)",
        "import os\nos.getpid()",
        "import secrets\nsecrets.compare_digest(a, b)",
        "random = 4\nrandom.bit_length()",
    ],
)
def test_other_names_are_left_alone(good: str) -> None:
    assert not [problem for rule in RULES for problem in uses(ast.parse(good), rule)]
