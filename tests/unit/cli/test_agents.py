from __future__ import annotations

import pytest

from dragons.cli.agents import version_of
from dragons.core.errors import InvalidInputError


def test_a_version_is_named() -> None:
    assert version_of("reconciler@v12") == ("reconciler", 12)


@pytest.mark.parametrize("text", ["reconciler", "reconciler@7", "reconciler@v0", "reconciler@v", "@"])
def test_what_names_no_version_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        version_of(text)
    assert "name@vN" in caught.value.fix
