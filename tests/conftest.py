"""What every test may use: the test vectors written by others, and the Hypothesis profiles."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

# Deadlines are off: the machine that runs the tests is shared, a slow example is not a wrong one.
settings.register_profile("default", max_examples=100, deadline=None)
settings.register_profile("deep", max_examples=2000, deadline=None)
# The same cases in every run, and how to repeat the one that failed.
settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of test vectors written by others; the test skips where it is absent."""
    folder = Path(os.environ.get("DRAGONS_VECTORS") or ROOT / "../shared/vectors").resolve()
    if not folder.is_dir():
        pytest.skip(f"no test vectors at {folder}; DRAGONS_VECTORS names another folder")
    return folder
