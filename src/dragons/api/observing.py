"""The figures of `/metrics` for a meter: all tenants', each sample with its tenant, and the process's own.

For who runs the process, so nothing is left out; histograms are told value by value elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable

from dragons.api.backend import Backend
from dragons.api.exposition import HISTOGRAM, Family
from dragons.api.ledger_metrics import LedgerMetrics
from dragons.api.measures import Measures
from dragons.control.ports import Reader

# Name, kind, meaning, and numbers with their attributes.
Observed = tuple[str, str, str, list[tuple[float, dict[str, str]]]]
TENANT = "dragons.tenant_id"


def names() -> list[tuple[str, str, str]]:
    """Name, kind and meaning of everything that `observed` can tell."""
    families = [*Measures().families(), *LedgerMetrics.described()]
    return [(one.name, one.kind, one.meaning) for one in families if one.kind != HISTOGRAM]


def observed(backend: Backend) -> list[Observed]:
    """All figures now. Reads the store in the calling thread."""
    found: dict[str, Observed] = {}
    _take(found, backend.measures.families(), {})
    now_ms = backend.clock.now_ms()

    def job(reader: Reader) -> None:
        for tenant in reader.tenants():
            families = backend.ledger_metrics.families(reader, tenant.tenant_id, now_ms)
            _take(found, families, {TENANT: tenant.tenant_id})

    backend.read_now(job)
    return list(found.values())


def _take(found: dict[str, Observed], families: Iterable[Family], more: dict[str, str]) -> None:
    for family in families:
        if family.kind != HISTOGRAM:
            known = found.setdefault(family.name, (family.name, family.kind, family.meaning, []))
            known[3].extend((sample.value, {**sample.labels, **more}) for sample in family.samples)
