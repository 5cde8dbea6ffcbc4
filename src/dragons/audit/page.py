"""The page in an evidence pack: one HTML file that opens from disk and verifies the pack in the browser.

Promises: the page asks the network for nothing, holds no secret, and judges as `dragons.audit.verify`
does, because the formats that it checks are written into it out of the same structs. Data in it is
base64 of deflated bytes, so nothing in a pack can become markup or code. Never part of what is
signed: a pack with another page, or none, is the same evidence.

The page is made of the files in `page/`: JavaScript modules with plain imports, joined in the order
of `MODULES`.
"""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

import msgspec
from msgspec import inspect

from dragons.audit import closing, fitting, kinds, organisms, pack, trust, verify
from dragons.audit.copies import COPIED
from dragons.authority import lease, revocation
from dragons.core.canonical import Document
from dragons.core.statement import payload_type
from dragons.core.vocabulary import Reason
from dragons.evidence import payload
from dragons.evidence.receipt import Header
from dragons.liveness.heartbeat import Heartbeat
from dragons.liveness.organism import MOVES

# Above this many bytes of entries the page comes without data and reads the file itself.
EMBEDDED_BYTES_MAX = 20_000_000
EMBEDDED = (pack.HEAD_FILE, pack.RECEIPTS_FILE, pack.PAYLOADS_FILE, pack.HEARTBEATS_FILE)
# As in `dragons.audit.pack`: more saves little and takes twice the time.
_COMPRESS_LEVEL = 1

# What judges a pack, lowest first, then what shows it.
VERIFIER = (
    "bytes", "inflate", "keys", "documents", "envelope", "merkle", "note", "verdicts", "zip", "pack", "selection",
    "sessions", "redaction", "trust", "leases", "organisms", "dispatches", "fitting", "mandate", "origins", "claims", "governance", "copies", "closing",
    "verify",
)  # fmt: skip
MODULES = (
    *VERIFIER,
    "embedded",
    "dom",
    "words",
    "story",
    "flip",
    "timeline",
    "detail",
    "evidence",
    "summary",
    "main",
)

_IMPORT = re.compile(r"^import [^;]*;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=async|class|const|function|let)", re.MULTILINE)


class EmbeddedPage:
    """The page of a pack while that is written: keeps the entries, deflated, as long as they are small."""

    def __init__(self) -> None:
        self._packed: dict[str, list[bytes]] = {}
        self._packers: dict[str, zlib._Compress] = {}
        self._sizes: dict[str, int] = {}

    def take(self, name: str, data: bytes) -> None:
        """The next bytes of an entry; of one that is no evidence nothing is kept."""
        if name not in EMBEDDED:
            return
        self._sizes[name] = self._sizes.get(name, 0) + len(data)
        if self._is_too_large():
            self._packed.clear()
            return
        packer = self._packers.setdefault(name, zlib.compressobj(_COMPRESS_LEVEL, wbits=-zlib.MAX_WBITS))
        self._packed.setdefault(name, []).append(packer.compress(data))

    def finish(self) -> bytes:
        """The page, with the entries in it unless they were too large."""
        return page_with("" if self._is_too_large() else "\n".join(map(self._element, self._packed)))

    def _is_too_large(self) -> bool:
        return sum(self._sizes.values()) > EMBEDDED_BYTES_MAX

    def _element(self, name: str) -> str:
        """An entry as a script element that no browser runs."""
        data = b64encode(b"".join(self._packed[name]) + self._packers[name].flush()).decode("ascii")
        size = self._sizes[name]
        return f'<script type="text/plain" data-entry="{name}" data-bytes="{size}">{data}</script>'


def build_page(entries: Mapping[str, bytes] | None = None) -> bytes:
    """The page, with a pack's entries in it when they are given and small enough."""
    page = EmbeddedPage()
    for name, data in (entries or {}).items():
        page.take(name, data)
    return page.finish()


def page_with(data: str) -> bytes:
    """The page around `data`, which are its elements of evidence; empty for a page that asks for a pack."""
    script, style = script_of(MODULES), _read("page.css")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_csp_hash(script)}'",
            f"style-src '{_csp_hash(style)}'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
        )
    )
    parts = {"POLICY": policy, "STYLE": style, "DATA": data, "SCRIPT": script}
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _read("page.html")).encode()


@cache
def script_of(modules: tuple[str, ...]) -> str:
    """These modules and the formats as one JavaScript module without imports."""
    # What stands in a script element may not look like the end of one.
    formats = json.dumps(formats_of_documents(), separators=(",", ":")).replace("<", "\\u003c")
    parts = [f"const FORMATS = {formats};\n"]
    for name in modules:
        source = _IMPORT.sub("", _read(f"{name}.js"))
        parts.append(f"\n// ---- {name} ----\n\n{_EXPORT.sub('', source).strip()}\n")
    return "".join(parts)


@cache
def formats_of_documents() -> dict[str, Any]:
    """What the page has to know of the formats, as JSON: documents, statements, names and limits."""
    documents: dict[str, Any] = {}
    for document in (
        pack.Head,
        pack.Pack,
        pack.Line,
        pack.HeartbeatDigest,
        Header,
        payload.Payload,
        Heartbeat,
    ):
        _describe(inspect.type_info(document), documents)
    statements = []
    for kind, several in kinds.STATEMENTS.items():
        for one in several:
            _describe(inspect.type_info(one.document), documents)
            statements.append(
                {
                    "kind": kind.value,
                    "type": payload_type(one.name),
                    "document": one.document.__name__,
                    "signer": one.signer.name.lower(),
                }
            )
    return {
        "documents": documents,
        "statements": statements,
        "copied": {document.__name__: pairs for document, pairs in COPIED.items()},
        "reasons": {reason.name: reason.value for reason in Reason},
        "ended_states": {state.value: reason.value for state, reason in organisms.ENDED_STATES.items()},
        "moves": [[before.value, trigger.value, after.value] for (before, trigger), after in MOVES.items()],
        "acts": sorted(organisms.ACTS),
        "by_a_person": organisms.BY_A_PERSON,
        "files": {
            "head": pack.HEAD_FILE,
            "receipts": pack.RECEIPTS_FILE,
            "payloads": pack.PAYLOADS_FILE,
            "heartbeats": pack.HEARTBEATS_FILE,
        },
        "limits": _limits(),
    }


def _limits() -> dict[str, Any]:
    return {
        "format": pack.FORMAT,
        "head_bytes_max": pack.HEAD_BYTES_MAX,
        "line_bytes_max": pack.LINE_BYTES_MAX,
        "payload_domain": payload.DOMAIN.decode("ascii"),
        "salt_bytes": payload.SALT_BYTES,
        "signing_roles": sorted(trust.SIGNING_ROLES),
        "backdate_ms": lease.BACKDATE_MS,
        "stale_after_ms": revocation.STALE_AFTER_MS,
        "depth_max": lease.DEPTH_MAX,
        "issue_skew_ms_max": fitting.ISSUE_SKEW_MS_MAX,
        "skew_ms_max": verify.SKEW_MS_MAX,
        "abandon_within_ms": closing.ABANDON_WITHIN_MS,
        "lapsed_within_ms": closing.LAPSED_WITHIN_MS,
    }


def _describe(kind: inspect.Type, documents: dict[str, Any]) -> dict[str, Any]:
    """A type as the page's reader of documents understands it; TypeError for one that it doesn't."""
    match kind:
        case inspect.StrType():
            return _bounded("text", kind.min_length, kind.max_length, pattern=kind.pattern)
        case inspect.BytesType():
            return _bounded("bytes", kind.min_length, kind.max_length)
        case inspect.IntType(gt=None, lt=None, multiple_of=None, ge=int(), le=int()):
            return {"kind": "integer", "min": kind.ge, "max": kind.le}
        case inspect.BoolType():
            return {"kind": "flag"}
        case inspect.EnumType():
            return {"kind": "word", "words": [member.value for member in kind.cls]}
        case inspect.ListType():
            item = _describe(kind.item_type, documents)
            return _bounded("list", kind.min_length, kind.max_length, item=item)
        case inspect.DictType(min_length=None, max_length=None):
            key, value = _describe(kind.key_type, documents), _describe(kind.value_type, documents)
            return {"kind": "map", "key": key, "value": value}
        case inspect.StructType() if issubclass(kind.cls, Document):
            name = kind.cls.__name__
            if name not in documents:
                documents[name] = {}
                documents[name] |= {field.encode_name: _field(field, documents) for field in kind.fields}
            return {"kind": "document", "name": name}
    msg = f"the page can't check {kind}"
    raise TypeError(msg)


def _field(field: inspect.Field, documents: dict[str, Any]) -> dict[str, Any]:
    described = _describe(field.type, documents)
    if field.required:
        return described
    described["optional"] = True
    if field.default_factory is list:
        described["omitted"] = "empty"
    elif field.default is not msgspec.NODEFAULT:
        msg = f"the page can't leave out {field.name} at its default"
        raise TypeError(msg)
    return described


def _bounded(kind: str, least: int | None, most: int | None, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    bounds = {"min": least, "max": most, **more}
    return {"kind": kind, **{name: value for name, value in bounds.items() if value is not None}}


def _csp_hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode('ascii')}"


def _read(name: str) -> str:
    return (files("dragons.audit") / "page" / name).read_text("utf-8")
