"""The marked blocks of the specification and of docs/operations.md, written from the code they describe.

A block is `<!-- KIND: NAME -->` … `<!-- end -->`. Types, limits and presence come from the documents'
own annotations, meanings from `scripts/spec_fields.yaml`; a field without a meaning, or a meaning
without a field, is an error. Never touches anything outside a block.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import inspect

from dragons.audit import pack
from dragons.audit.copies import COPIED
from dragons.audit.kinds import STATEMENTS
from dragons.authority import catalogue, dock, lease, revocation
from dragons.core import statement
from dragons.core.canonical import INT_MAX
from dragons.core.clock import TIME_PATTERN
from dragons.core.vocabulary import OrganismState, Reason
from dragons.evidence import payload, receipt
from dragons.identity import manifest, measure, records, tokens
from dragons.liveness import dispatch, heartbeat, policy
from dragons.liveness.organism import MOVES, Trigger
from dragons.settings import Settings
from scripts.spec_examples import EXAMPLES

ROOT = Path(__file__).resolve().parents[1]
MEANINGS = ROOT / "scripts" / "spec_fields.yaml"
_MODULES = (
    statement, manifest, measure, records, tokens, catalogue, dock, lease, revocation, receipt, payload,
    heartbeat, policy, dispatch, pack,
)  # fmt: skip
_BLOCK = re.compile(
    r"(?P<open><!-- (?P<kind>[a-z]+)(?:: (?P<name>[A-Za-z_-]+))? -->)\n(?P<body>.*?)(?P<end><!-- end -->)",
    re.DOTALL,
)
_AGENT = r"^[a-z][a-z0-9-]{0,62}$(?!\n)"
# Texts with exactly these lengths are names and digests: see the legend in spec/canonical.md.
_BY_LENGTH = {24: "time", 32: "instance id", 36: "id", 64: "digest"}


class Meanings:
    """What every field and code means, in words."""

    def __init__(self) -> None:
        found: dict[str, Any] = yaml.safe_load(MEANINGS.read_text("utf-8"))
        self.reasons: dict[str, str] = found.pop("reasons")
        self.states: dict[str, str] = found.pop("states")
        self.triggers: dict[str, str] = found.pop("triggers")
        self.settings: dict[str, str] = found.pop("settings")
        self.shared: dict[str, Any] = found.pop("shared")
        self.documents: dict[str, dict[str, Any]] = found

    def of(self, document: str, field: str) -> tuple[str, str]:
        """Meaning and presence rule; KeyError when nobody wrote them."""
        own = self.documents.get(document, {})
        value = own[field] if field in own else self.shared[field]
        if isinstance(value, dict) and set(value) != {"is", "if"}:
            raise ValueError(f"{document}.{field}: a meaning has `is` and `if`; quote what holds a comma")
        return (value["is"], value["if"]) if isinstance(value, dict) else (value, "")


def documents() -> dict[str, type[msgspec.Struct]]:
    """Every document of the formats, by name."""
    return {
        name: found
        for module in _MODULES
        for name, found in vars(module).items()
        if isinstance(found, type)
        and issubclass(found, msgspec.Struct)
        and found.__module__ == module.__name__
    }


def fields(name: str, meanings: Meanings) -> str:
    """The table of one document's fields, in canonical order."""
    rows = ["| field | type | present | meaning |", "|---|---|---|---|"]
    for field in sorted(inspect.type_info(documents()[name]).fields, key=lambda one: one.encode_name):  # type: ignore[attr-defined]
        meaning, rule = meanings.of(name, field.encode_name)
        if field.required == bool(rule):
            raise ValueError(f"{name}.{field.encode_name}: a presence rule belongs to what may be absent")
        present = "always" if field.required else rule
        rows.append(f"| `{field.encode_name}` | {type_name(field.type)} | {present} | {meaning} |")
    return "\n".join(rows)


def type_name(kind: inspect.Type) -> str:
    """A type with its limits, in the words of spec/canonical.md."""
    match kind:
        case inspect.Metadata():
            return type_name(kind.type)
        case inspect.StrType():
            return _text_name(kind)
        case inspect.IntType():
            return _number_name(kind)
        case inspect.BytesType():
            return f"base64, {kind.min_length} bytes" if kind.min_length is not None else "base64"
        case inspect.BoolType():
            return "boolean"
        case inspect.EnumType():
            values = [str(member.value) for member in kind.cls]
            return "kind" if len(values) > 10 else " or ".join(f"`{value}`" for value in values)  # noqa: PLR2004
        case inspect.ListType():
            return f"list of {type_name(kind.item_type)}{_lengths(kind)}"
        case inspect.DictType():
            return f"object, {type_name(kind.key_type)} → {type_name(kind.value_type)}"
        case inspect.StructType():
            return f"{kind.cls.__name__}"
        case inspect.UnionType():
            rest = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
            return " or ".join(type_name(one) for one in rest)
    raise TypeError(f"no name for {kind!r}")


def _text_name(kind: inspect.StrType) -> str:
    if kind.pattern == TIME_PATTERN:
        return "time"
    if kind.pattern == _AGENT:
        return "agent name"
    if kind.pattern is not None and ":" in kind.pattern and "a-z0-9_./-" in kind.pattern:
        return "capability"
    if kind.pattern is not None:
        return f"text `{kind.pattern.removesuffix('(?!' + chr(92) + 'n)').replace('|', chr(92) + '|')}`"
    if kind.min_length is not None and kind.min_length == kind.max_length:
        return _BY_LENGTH[kind.min_length]
    return f"text{_lengths(kind)}"


def _number_name(kind: inspect.IntType) -> str:
    low, high = kind.ge, kind.le
    if (low, high) == (0, INT_MAX):
        return "count"
    return f"integer, {low} to {high}"


def _lengths(kind: inspect.StrType | inspect.ListType) -> str:
    low, high = kind.min_length, kind.max_length
    if high is None:
        return ""
    return f", {low} to {high:,}" if low else f", up to {high:,}"


def kinds(_: str, __: Meanings) -> str:
    """The table of receipt kinds."""
    rows = ["| kind | statement | document | signed by |", "|---|---|---|---|"]
    for kind, several in STATEMENTS.items():
        for one in several:
            signer = one.signer.name.lower()
            rows.append(f"| `{kind.value}` | `{one.name}` | {one.document.__name__} | {signer} key |")
    return "\n".join(rows)


def copies(_: str, __: Meanings) -> str:
    """The table of what a header repeats from its statement."""
    rows = ["| statement | header field = statement field |", "|---|---|"]
    for document, pairs in COPIED.items():
        same = ", ".join(f"`{one}`" if one == other else f"`{one}` = `{other}`" for one, other in pairs)
        rows.append(f"| {document.__name__} | {same} |")
    return "\n".join(rows)


def reasons(_: str, meanings: Meanings) -> str:
    """The table of reason codes."""
    codes = [reason.value for reason in Reason]
    if set(codes) != set(meanings.reasons):
        raise ValueError(f"reason codes and their meanings differ: {set(codes) ^ set(meanings.reasons)}")
    return "\n".join(
        ["| code | the action is denied because |", "|---|---|"]
        + [f"| `{code}` | {meanings.reasons[code]} |" for code in codes]
    )


def organism(_: str, meanings: Meanings) -> str:
    """The table of organism states and the diagram of what may follow what."""
    rows = ["| state | meaning | may become |", "|---|---|---|"]
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> running"]
    for state in OrganismState:
        follows = {after for (before, _), after in MOVES.items() if before is state}
        after = [one for one in OrganismState if one in follows]
        names = ", ".join(f"`{one.value}`" for one in after)
        rows.append(f"| `{state.value}` | {meanings.states[state.value]} | {names or 'nothing: terminal'} |")
        lines += [f"    {state.value} --> {one.value}" for one in after] or [f"    {state.value} --> [*]"]
    return "\n".join([*rows, "", *lines, "```"])


def moves(_: str, meanings: Meanings) -> str:
    """The one table: which trigger leads from which state to which."""
    if {trigger.value for trigger in Trigger} != set(meanings.triggers):
        raise ValueError(f"triggers and their meanings differ: {set(Trigger) ^ set(meanings.triggers)}")
    rows = ["| trigger | because | from | to |", "|---|---|---|---|"]
    for trigger in Trigger:
        pairs = [(before, after) for (before, why), after in MOVES.items() if why is trigger]
        begins = ", ".join(f"`{before.value}`" for before in OrganismState if before in dict(pairs))
        (to,) = {after for _, after in pairs}
        rows.append(f"| `{trigger.value}` | {meanings.triggers[trigger.value]} | {begins} | `{to.value}` |")
    return "\n".join(rows)


def settings(_: str, meanings: Meanings) -> str:
    """The table of the server's settings."""
    fields_of = Settings.model_fields
    if set(fields_of) != set(meanings.settings):
        raise ValueError(f"settings and their meanings differ: {set(fields_of) ^ set(meanings.settings)}")
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in fields_of.items():
        default = "none" if field.default is None else f"`{field.default}`"
        rows.append(f"| `DRAGONS_{name.upper()}` | {default} | {meanings.settings[name]} |")
    return "\n".join(rows)


def example(name: str, _: Meanings) -> str:
    """One example, computed by the code."""
    text = msgspec.json.format(msgspec.json.encode(EXAMPLES[name]()), indent=2).decode()
    return f"```json\n{text}\n```"


MAKERS = {
    "fields": fields,
    "kinds": kinds,
    "copies": copies,
    "reasons": reasons,
    "organism": organism,
    "moves": moves,
    "settings": settings,
    "example": example,
}  # fmt: skip


def filled(text: str, meanings: Meanings) -> str:
    """`text` with every block written anew."""

    def write(found: re.Match[str]) -> str:
        make = MAKERS.get(found["kind"])
        if make is None:
            raise ValueError(f"there is no block {found['kind']!r}")
        return f"{found['open']}\n{make(found['name'] or '', meanings)}\n{found['end']}"

    return _BLOCK.sub(write, text)


def blocks(text: str) -> Iterator[tuple[str, str, str]]:
    """Kind, name and body of every block."""
    for found in _BLOCK.finditer(text):
        yield found["kind"], found["name"] or "", found["body"]


def unused_meanings(texts: list[str], meanings: Meanings) -> list[str]:
    """Meanings of fields or documents that are not there any more, or that no page shows."""
    shown = {name for text in texts for kind, name, _ in blocks(text) if kind == "fields"}
    known = documents()
    wrong = [name for name in meanings.documents if name not in known or name not in shown]
    for name in set(meanings.documents) & set(known):
        own = {field.encode_name for field in inspect.type_info(known[name]).fields}  # type: ignore[attr-defined]
        wrong += [f"{name}.{field}" for field in meanings.documents[name] if field not in own]
    return sorted(wrong)


def stale(root: Path = ROOT) -> dict[Path, str]:
    """Pages whose blocks are out of date, with what they should say."""
    meanings = Meanings()
    places = [*sorted((root / "spec").glob("*.md")), root / "docs" / "operations.md"]
    pages = {path: path.read_text("utf-8") for path in places}
    made = {path: filled(text, meanings) for path, text in pages.items()}
    if wrong := unused_meanings(list(pages.values()), meanings):
        raise ValueError(f"{MEANINGS.name} describes what is not there: {wrong}")
    return {path: text for path, text in made.items() if text != pages[path]}


def main() -> int:
    """Write the blocks, or with --check say which are out of date."""
    out_of_date = stale()
    for path, text in out_of_date.items():
        print(path.relative_to(ROOT))
        if "--check" not in sys.argv:
            path.write_text(text, "utf-8")
    return int("--check" in sys.argv and bool(out_of_date))


if __name__ == "__main__":
    raise SystemExit(main())
