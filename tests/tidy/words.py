"""Words that have no place in a public project: whoever reads it was never at the place it was made.

Each pattern writes one letter in brackets, so that it doesn't find itself.
"""

from __future__ import annotations

import re

FORBIDDEN = {
    "a person's home directory": re.compile(r"(?<![\w.])/(?:[h]ome|[U]sers)/\w|(?<![\w.])/[r]oot/"),
    "a directory of the place of work": re.compile(r"(?<![\w.])/[w]ork/"),
    "a directory beside the repository": re.compile(
        r"\.\./[s]hared/(?!vectors)|(?<![\w./])[s]hared/(?!vectors)|(?<![\w.])/[s]hared/"
    ),
    "the number of an issue": re.compile(r"(?i)\b[i]ssues?\s*#?\d|\(#\d+\)|\bGH-\d"),
    "a package registry's address": re.compile(
        r"(?i)\b(?:[p]ypi\.org|files\.[p]ythonhosted\.org|registry\.[n]pmjs\.org|index\.[c]rates\.io|"
        r"proxy\.[g]olang\.org|registry\.[y]arnpkg\.com)"
    ),
    "the place of work": re.compile(r"(?i)\b[w]orkplace\b|\b[s]ub-?agents?\b|\b[d]esign/\w+\.md\b"),
}


def forbidden_words(text: str) -> list[str]:
    """Each forbidden word with its line."""
    return [
        f"line {number}: {match[0]!r}, {what}"
        for number, line in enumerate(text.splitlines(), start=1)
        for what, pattern in FORBIDDEN.items()
        for match in pattern.finditer(line)
    ]
