"""The file: what is in it, what its policy allows, and that nothing in a pack can become part of the page."""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from base64 import b64decode, b64encode
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.wheel import WheelBuilder
from msgspec import inspect

from dragons.audit import page as page_module
from dragons.audit.kinds import STATEMENTS
from dragons.audit.page import (
    EMBEDDED,
    MODULES,
    VERIFIER,
    EmbeddedPage,
    build_page,
    formats_of_documents,
    page_with,
    script_of,
)
from dragons.audit.verdicts import Question
from dragons.core.vocabulary import Kind, Reason
from tests.conftest import ROOT

FOLDER = Path(str(files("dragons.audit") / "page"))
SOURCES = {path.stem: path.read_text("utf-8") for path in FOLDER.glob("*.js")}
STYLE = (FOLDER / "page.css").read_text("utf-8")
ENTRIES = {name: f"of {name}\n".encode() for name in EMBEDDED}
LINES_MAX = 300
CONTRAST_MIN = 4.5
_EXPORTED = re.compile(r"^export (?:async function|function|class|const) (\w+)", re.MULTILINE)
_METHOD = re.compile(r"^ +(?:async |static )*(\w+)\([^()]*\) \{$", re.MULTILINE)
_DATA = re.compile(r'<script type="text/plain" data-entry="([^"]*)" data-bytes="(\d+)">([^<]*)</script>')


def embedded(page: bytes) -> dict[str, bytes]:
    """The entries in a page, as the page reads them."""
    found = {}
    for name, size, data in _DATA.findall(page.decode()):
        found[name] = zlib.decompress(b64decode(data), wbits=-zlib.MAX_WBITS)
        assert len(found[name]) == int(size)
    return found


# --- the evidence in it --------------------------------------------------------------------------


def test_the_entries_are_in_the_page() -> None:
    assert embedded(build_page(ENTRIES)) == ENTRIES
    assert embedded(build_page({**ENTRIES, "notes.txt": b"of somebody else"})) == ENTRIES
    assert embedded(build_page()) == {}


def test_an_entry_comes_in_parts() -> None:
    page = EmbeddedPage()
    for part in (b"", b"one\n", b"two\n"):
        page.take("receipts.jsonl", part)
    page.take("pack.json", b"{}")
    assert embedded(page.finish()) == {"receipts.jsonl": b"one\ntwo\n", "pack.json": b"{}"}


def test_a_large_pack_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "EMBEDDED_BYTES_MAX", sum(map(len, ENTRIES.values())))
    assert embedded(build_page(ENTRIES)) == ENTRIES
    monkeypatch.setattr(page_module, "EMBEDDED_BYTES_MAX", sum(map(len, ENTRIES.values())) - 1)
    assert build_page(ENTRIES) == build_page()


def test_evidence_is_neither_markup_nor_a_template() -> None:
    hostile = b"</script><script>alert(1)</script>{{SCRIPT}}"
    page = build_page(dict.fromkeys(EMBEDDED, hostile)).decode()
    assert "alert(1)" not in page
    assert page.count("<script") == len(EMBEDDED) + 1
    assert embedded(page.encode()) == dict.fromkeys(EMBEDDED, hostile)


# --- the policy ----------------------------------------------------------------------------------


def test_the_policy_allows_this_script_and_style_alone() -> None:
    page = build_page(ENTRIES).decode()
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    (script,) = re.findall(r'<script type="module">(.*?)</script>', page, re.DOTALL)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    hashes = [b64encode(sha256(text.encode()).digest()).decode() for text in (script, style)]
    rules = [
        "default-src 'none'",
        f"script-src 'sha256-{hashes[0]}'",
        f"style-src 'sha256-{hashes[1]}'",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
    ]
    assert policy == ["; ".join(rules)]
    assert page.index("Content-Security-Policy") < page.index("<style>")


def test_the_page_has_no_address_to_ask() -> None:
    page = page_with("")
    assert set(re.findall(r"[a-z]+://[^\s\"'`]*", page.decode())) == {"http://www.w3.org/2000/svg"}
    assert not re.findall(
        r"""\s(?:src|href|action|srcset|style|on\w+)=(?!"#walk")""", page.decode().split("<script")[0]
    )
    assert not re.findall(r"url\(|@import", STYLE)


@pytest.mark.parametrize(
    "banned",
    [
        "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "import(",
        "fetch(", "XMLHttpRequest", "WebSocket", "EventSource", "sendBeacon", "localStorage", "window.open",
        "location",
    ],
)  # fmt: skip
def test_no_module_can_make_markup_or_requests(banned: str) -> None:
    assert not [name for name, source in SOURCES.items() if banned in source]


def test_the_script_cannot_end_its_element() -> None:
    script = script_of(MODULES)
    assert "</" not in script
    assert "<!--" not in script
    assert "{{" not in build_page().decode()


# --- the modules ---------------------------------------------------------------------------------


def test_every_module_is_used_and_short() -> None:
    assert set(SOURCES) == set(MODULES)
    assert len(MODULES) == len(set(MODULES))
    assert set(VERIFIER) < set(MODULES)
    assert not [name for name, source in SOURCES.items() if len(source.splitlines()) > LINES_MAX]


def test_modules_are_joined_in_the_order_of_their_imports() -> None:
    exported: dict[str, set[str]] = {}
    for name in MODULES:
        for names, source in re.findall(
            r'^import \{ ([^}]*) \} from "\./(\w+)\.js";$', SOURCES[name], re.MULTILINE
        ):
            assert set(names.split(", ")) <= exported.get(source, set()), f"{name} imports from {source}"
        exported[name] = set(_EXPORTED.findall(SOURCES[name]))
    assert "import " not in re.sub(r"//.*|\"[^\"]*\"", "", script_of(MODULES))


def test_what_one_module_uses_of_another_is_imported() -> None:
    """Joined modules share their names: without its import a name would still be found."""
    homes = {one: name for name, source in SOURCES.items() for one in _EXPORTED.findall(source)}
    for name, source in SOURCES.items():
        code = re.sub(r"//.*|\"[^\"\n]*\"", "", source)
        imported = set(re.findall(r"\w+", " ".join(re.findall(r"^import \{([^}]*)\}", source, re.MULTILINE))))
        own = set(re.findall(r"(?:function|const|let|class) (\w+)", code)) | set(_METHOD.findall(code))
        called = set(re.findall(r"(?<![.\w#])(\w+)\(", code)) & set(homes)
        assert called - own <= imported, name


def test_no_name_is_declared_twice() -> None:
    names = re.findall(
        r"^(?:async function|function|class|const|let) (\w+)", script_of(MODULES), re.MULTILINE
    )
    assert sorted({one for one in names if names.count(one) > 1}) == []


# --- the formats ---------------------------------------------------------------------------------


def test_the_formats_are_those_of_the_structs() -> None:
    formats = formats_of_documents()
    assert {one["kind"] for one in formats["statements"]} == {kind.value for kind in Kind}
    assert len(formats["statements"]) == sum(map(len, STATEMENTS.values()))
    assert set(formats["reasons"].values()) == {reason.value for reason in Reason}
    assert formats["documents"]["Head"]["start"] == {"kind": "text", "optional": True}
    assert formats["documents"]["Head"]["consistency"]["omitted"] == "empty"
    assert formats["documents"]["GapNode"]["hash"] == {"kind": "bytes", "min": 32, "max": 32}
    assert formats["limits"]["format"] == "dragons-pack/1"
    named = {
        name
        for fields in formats["documents"].values()
        for one in fields.values()
        for name in documents_in(one)
    }
    assert named <= set(formats["documents"])
    assert json.loads(script_of(VERIFIER).partition("const FORMATS = ")[2].partition(";\n")[0]) == json.loads(
        json.dumps(formats)
    )


def documents_in(described: dict[str, Any]) -> set[str]:
    inner = [described[part] for part in ("item", "key", "value") if part in described]
    own = {described["name"]} if described["kind"] == "document" else set()
    return own.union(*map(documents_in, inner))


@pytest.mark.parametrize("kind", [float, int, str | int, tuple[int, ...]])
def test_a_type_that_the_page_cannot_check_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match="the page can't check"):
        page_module._describe(inspect.type_info(kind), {})


def test_the_page_asks_the_same_questions() -> None:
    (listed,) = re.findall(r"^export const QUESTIONS = (\[.*\]);$", SOURCES["verdicts"], re.MULTILINE)
    assert json.loads(listed) == [question.value for question in Question]


# --- what a reader sees --------------------------------------------------------------------------


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    digits = colour.removeprefix("#")
    digits = "".join(one * 2 for one in digits) if len(digits) == 3 else digits
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


PAIRS = [
    *((text, ground) for text in ("ink", "soft", "accent") for ground in ("ground", "sheet", "sunk", "wash")),
    *(
        (f"{tone}", ground)
        for tone in ("good", "bad", "mild")
        for ground in ("sheet", "sunk", f"{tone}-wash")
    ),
    ("on-accent", "accent"),
]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_has_enough_contrast(scheme: int) -> None:
    block = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([\w-]+): (#\w+)", block))
    for text, ground in PAIRS:
        dark, light = sorted((luminance(colours[text]), luminance(colours[ground])))
        assert (light + 0.05) / (dark + 0.05) >= CONTRAST_MIN, f"{text} on {ground}"


def test_a_wheel_brings_the_page(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"dragons/audit/page/{path.name}" for path in FOLDER.iterdir()} <= names
