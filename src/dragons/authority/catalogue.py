"""The capability catalogue: what each capability means in a tenant, as reviewed YAML.

Never guesses: unknown fields and unknown values are errors that name the line.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import yaml

from dragons.core.canonical import Count, Document
from dragons.core.capability import CAPABILITY_PATTERN, check_capability
from dragons.core.clock import Timestamp
from dragons.core.errors import InvalidInputError
from dragons.core.ids import Id
from dragons.core.vocabulary import Risk

CATALOGUE = "catalogue"
CAPABILITIES_MAX = 1_000
YAML_BYTES_MAX = 512 * 1024
DESCRIPTION_LENGTH_MAX = 500

_FIELDS = {"description", "risk", "delegable"}


class Entry(Document):
    """What one capability means; `delegable` says whether a child lease may carry it."""

    description: Annotated[str, msgspec.Meta(min_length=1, max_length=DESCRIPTION_LENGTH_MAX)]
    risk: Risk
    delegable: bool


class Catalogue(Document):
    """One version of a tenant's catalogue, signed by an operator; versions count from 1."""

    tenant_id: Id
    version: Count
    capabilities: dict[Annotated[str, msgspec.Meta(pattern=CAPABILITY_PATTERN)], Entry]
    published_at: Timestamp


def parse_catalogue(text: str, *, source: str = "catalogue") -> dict[str, Entry]:
    """The entries of a YAML catalogue.

    InvalidInputError lists every fault as `source:line: what is wrong`, not only the first.
    """
    if len(text.encode(errors="surrogatepass")) > YAML_BYTES_MAX:
        raise _invalid([f"{source}: larger than {YAML_BYTES_MAX} bytes"])
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise _invalid([f"{source}:{line}: {getattr(error, 'problem', None) or error}"]) from error
    faults: list[str] = []
    entries: dict[str, Entry] = {}
    top = _mapping(root, source, faults, where="the catalogue")
    for name, (line, _) in top.items():
        if name != "capabilities":
            faults.append(f"{source}:{line}: unknown field {name!r}; only `capabilities` is known here")
    if "capabilities" not in top:
        faults.append(f"{source}:1: the field `capabilities` is missing")
    else:
        _read_capabilities(top["capabilities"][1], source, faults, entries)
    if faults:
        raise _invalid(faults)
    return entries


def _read_capabilities(node: Any, source: str, faults: list[str], entries: dict[str, Entry]) -> None:  # noqa: ANN401 - PyYAML's nodes are untyped
    found = _mapping(node, source, faults, where="`capabilities`")
    if len(found) > CAPABILITIES_MAX:
        faults.append(f"{source}:{node.start_mark.line + 1}: more than {CAPABILITIES_MAX} capabilities")
        return
    for name, (line, value) in found.items():
        try:
            check_capability(name)
        except InvalidInputError as error:
            faults.append(f"{source}:{line}: {error}")
        entry = _read_entry(name, line, value, source, faults)
        if entry is not None:
            entries[name] = entry


def _read_entry(name: str, line: int, node: Any, source: str, faults: list[str]) -> Entry | None:  # noqa: ANN401
    before = len(faults)
    fields = _mapping(node, source, faults, where=f"`{name}`")
    for field, (at, _) in fields.items():
        if field not in _FIELDS:
            faults.append(f"{source}:{at}: {name}: unknown field {field!r}; known are {sorted(_FIELDS)}")
    values = {field: _scalar(value) for field, (_, value) in fields.items()}
    description, risk = values.get("description"), values.get("risk", Risk.LOW.value)
    delegable = values.get("delegable", False)
    if not isinstance(description, str) or not 0 < len(description) <= DESCRIPTION_LENGTH_MAX:
        faults.append(
            f"{source}:{line}: {name}: `description` is a text of 1 to {DESCRIPTION_LENGTH_MAX} characters"
        )
    if risk not in list(Risk):
        faults.append(f"{source}:{fields['risk'][0]}: {name}: `risk` is low, medium or high, not {risk!r}")
    if not isinstance(delegable, bool):
        faults.append(f"{source}:{fields['delegable'][0]}: {name}: `delegable` is true or false")
    if len(faults) > before:
        return None
    return Entry(description=str(description), risk=Risk(str(risk)), delegable=bool(delegable))


def _mapping(node: Any, source: str, faults: list[str], *, where: str) -> dict[str, tuple[int, Any]]:  # noqa: ANN401
    if not isinstance(node, yaml.MappingNode):
        line = node.start_mark.line + 1 if node is not None else 1
        faults.append(f"{source}:{line}: {where} is a mapping of names to values")
        return {}
    found: dict[str, tuple[int, Any]] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        name = key.value if isinstance(key, yaml.ScalarNode) else None
        if name is None:
            faults.append(f"{source}:{line}: {where} has a name that is not a text")
        elif name in found:
            faults.append(f"{source}:{line}: {name!r} was already given in line {found[name][0]}")
        else:
            found[name] = (line, value)
    return found


def _scalar(node: Any) -> object:  # noqa: ANN401
    if not isinstance(node, yaml.ScalarNode):
        return None
    if node.tag == "tag:yaml.org,2002:str":
        return str(node.value)
    try:
        value: object = yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError):
        # PyYAML raises all of these for scalars that don't fit their tag; the field's own check names the line.
        return None
    return value


def _invalid(faults: list[str]) -> InvalidInputError:
    return InvalidInputError("catalogue_invalid", "\n".join(faults), fix="Correct the named lines.")
