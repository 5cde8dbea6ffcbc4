"""Liveness policies: publishing one, and which one counts for an agent now."""

from __future__ import annotations

from functools import lru_cache

from dragons.control.caller import Caller
from dragons.control.compromise import is_spoiled
from dragons.control.ports import About, Appended, Reader, Transaction
from dragons.control.rows import PolicyRow, TimerRow
from dragons.control.statements import check_date, take_operator_statement
from dragons.core.canonical import encode
from dragons.core.clock import parse_time
from dragons.core.errors import ConflictError
from dragons.core.statement import Envelope, parse_envelope
from dragons.core.vocabulary import Kind
from dragons.liveness.organism import Now
from dragons.liveness.outages import Outage
from dragons.liveness.policy import EVERY_AGENT, POLICY, LivenessPolicy, Policy, check_policy, thresholds

ORGANISM_TIMER = "organism"
# Outages before this don't matter: no threshold is longer.
_OUTAGES_MS = 31 * 24 * 3600 * 1000


def publish_policy(tx: Transaction, caller: Caller, statement: Envelope) -> Appended:
    """Record the next version of an agent's policy; it holds from now on, also for what runs already."""
    body, _ = take_operator_statement(tx, caller, statement, POLICY, Policy)
    check_policy(body)
    check_date("published_at", parse_time(body.published_at), tx.now_ms)
    known = tx.policy(caller.tenant_id, body.agent)
    expected = 1 if known is None else known.version + 1
    if body.version != expected:
        raise ConflictError(
            "policy_version_conflict",
            f"The next policy of {body.agent} has version {expected}, not {body.version}.",
            fix="Read the newest with `dragons policies show`, then publish again.",
        )
    tx.put_policy(PolicyRow(caller.tenant_id, body.agent, body.version, encode(statement), tx.now_ms))
    agent = None if body.agent == EVERY_AGENT else body.agent
    for instance in tx.instances(caller.tenant_id, agent=agent, live=True):
        # Its thresholds may have moved nearer, so it is looked at again at once.
        tx.put_timer(TimerRow(caller.tenant_id, ORGANISM_TIMER, instance.instance_id, tx.now_ms))
    known_about = About() if agent is None else About(agent=agent)
    return tx.append(caller.tenant_id, Kind.POLICY_PUBLISHED, statement, known_about)


def policy_of(reader: Reader, tenant_id: str, agent: str) -> LivenessPolicy:
    """The thresholds that count for `agent`: its own, else those for every agent, else the defaults."""
    row = effective(reader, tenant_id, agent)
    return LivenessPolicy() if row is None else thresholds_of(row)


def effective(reader: Reader, tenant_id: str, agent: str) -> PolicyRow | None:
    """The published policy that counts for `agent`, None where the defaults do.

    One whose signer was compromised by then is passed over, for the one before it.
    """
    return _sound(reader, tenant_id, agent) or _sound(reader, tenant_id, EVERY_AGENT)


def signer_of(row: PolicyRow) -> str:
    """The id of the key that signed a policy."""
    return _parsed(row.statement)[0]


def thresholds_of(row: PolicyRow) -> LivenessPolicy:
    """A published policy as decisions use it."""
    return _parsed(row.statement)[1]


def outages_of(
    reader: Reader, tenant_id: str, now_ms: int, since_ms: int | None = None
) -> tuple[Outage, ...]:
    """When the control plane was away since then, the present absence included: its next sweep will note it."""
    begin_ms = now_ms - _OUTAGES_MS if since_ms is None else since_ms
    known = tuple((row.from_ms, row.until_ms) for row in reader.outages(tenant_id, begin_ms))
    here = reader.presence(tenant_id)
    if here is None or now_ms - here.seen_ms <= here.outage_after_ms:
        return known
    return (*known, (here.seen_ms, now_ms))


def now_of(reader: Reader, tenant_id: str, agent: str, now_ms: int, since_ms: int | None = None) -> Now:
    """The time as `dragons.liveness.organism.step` wants it; outages that ended before `since_ms` don't matter."""
    outages = outages_of(reader, tenant_id, now_ms, since_ms)
    return Now(now_ms, policy_of(reader, tenant_id, agent), outages)


def _sound(reader: Reader, tenant_id: str, name: str) -> PolicyRow | None:
    newest = reader.policy(tenant_id, name)
    if newest is None or not _is_spoiled(reader, newest):
        return newest
    published = reversed(reader.policies(tenant_id, name))
    return next((row for row in published if not _is_spoiled(reader, row)), None)


def _is_spoiled(reader: Reader, row: PolicyRow) -> bool:
    return is_spoiled(reader, row.tenant_id, signer_of(row), row.published_ms)


@lru_cache(maxsize=1_000)
def _parsed(statement: bytes) -> tuple[str, LivenessPolicy]:
    """The signer's key id and the thresholds."""
    envelope = parse_envelope(statement)
    return envelope.signatures[0].keyid, thresholds(envelope.body(POLICY, Policy))
