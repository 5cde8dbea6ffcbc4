"""How much each measurement does: in full, quickly, and tiny for the tests of the measurements themselves."""

from __future__ import annotations

import msgspec


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """`rounds` alternate between the limit or peer and our own work; their medians are what is shown."""

    rounds: int
    appenders: int
    receipts_each: int
    http_clients: int
    http_requests_each: int
    decisions: int
    pack_receipts: int
    pack_receipts_large: int
    ledger_small: int
    ledger_large: int
    stored: int
    operations: int
    tree: int
    durable_alone: int
    beat_instances: int
    beat_batches: int
    sweep_fleet: int
    sweep_due: int
    simulated_agents: int
    simulated_days: int
    heals: int
    heal_programs: int
    credentials: tuple[int, ...]


FULL = Sizes(
    rounds=5, appenders=64, receipts_each=100, http_clients=32, http_requests_each=150, decisions=5_000,
    pack_receipts=50_000, pack_receipts_large=1_000_000, ledger_small=1_000, ledger_large=1_000_000,
    stored=20_000, operations=10_000, tree=20_000, durable_alone=300, credentials=(1, 1_000, 10_000),
    beat_instances=1_000, beat_batches=10, sweep_fleet=100_000, sweep_due=1_000, simulated_agents=1_000, simulated_days=30,
    heals=200, heal_programs=20,
)  # fmt: skip

QUICK = Sizes(
    rounds=3, appenders=64, receipts_each=20, http_clients=32, http_requests_each=30, decisions=1_000,
    pack_receipts=2_000, pack_receipts_large=10_000, ledger_small=1_000, ledger_large=10_000,
    stored=2_000, operations=2_000, tree=4_000, durable_alone=60, credentials=(1, 1_000),
    beat_instances=100, beat_batches=4, sweep_fleet=10_000, sweep_due=200, simulated_agents=50, simulated_days=3,
    heals=6, heal_programs=3,
)  # fmt: skip

TINY = Sizes(
    rounds=1, appenders=3, receipts_each=2, http_clients=2, http_requests_each=2, decisions=20,
    pack_receipts=60, pack_receipts_large=60, ledger_small=10, ledger_large=1_100,
    stored=20, operations=20, tree=300, durable_alone=2, credentials=(1, 3),
    beat_instances=4, beat_batches=1, sweep_fleet=40, sweep_due=4, simulated_agents=3, simulated_days=1,
    heals=1, heal_programs=1,
)  # fmt: skip
