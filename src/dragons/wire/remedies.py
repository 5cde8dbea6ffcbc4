"""What helps against each refusal: the `fix` of a problem whose place of origin names none.

A refusal is decided far below the API, where nobody knows which command mends it. One table says it
for the API, the SDK and the command line; tests/unit/wire measures that it misses no code.
"""

from __future__ import annotations

from types import MappingProxyType

from dragons.core.errors import DragonsError
from dragons.core.vocabulary import Reason

_RELAUNCH = "Launch a new instance."
_RESTATE = "Make the statement anew, as spec/ describes its kind, and sign it again."
_SIGNER = "Sign with the key that the kind of statement demands, and send exactly what was signed."
_OWN = "An instance acts for itself only: use its own credential and its own statements."
_REQUEST = "Compare the request with /v1/openapi.json."
_ANEW = "Take a new id, sign the statement again and send it."
_CLOCK = "Set the clock of the machine that signs."
_RECEIPTS = "`dragons receipts list` shows the receipts."
_SESSIONS = "`dragons sessions list` shows the sessions; open a new one to go on."
_DOCK = "Dock the agent: `dragons docks create --agent NAME --scope CAP`."
_REGISTER = "Register and activate what you want to run: `dragons manifests register DIR --activate`."
_AGENTS = "`dragons agents list` shows the agents, `dragons agents show NAME` their instances."
_KEYS = "`dragons keys list` shows the keys."
_KEY = "Give the 32 bytes of an Ed25519 public key, as `dragons keys add-operator --public-key` takes them."
_TTL = "Ask for a shorter lease with --ttl, or dock the agent with a longer one."
_CATALOGUE = "Describe it in the catalogue and publish that: `dragons capabilities publish FILE`."

_DENIALS = {
    Reason.LEASE_MISSING: f"`dragons leases list` shows the leases. {_RELAUNCH}",
    Reason.LEASE_NOT_YET_VALID: _CLOCK,
    Reason.LEASE_EXPIRED: _RELAUNCH,
    Reason.LEASE_DELEGATED: "Let the instance act that the lease was delegated to.",
    Reason.LEASE_RELEASED: _RELAUNCH,
    Reason.REVOKED_OPERATOR: "Dock the agent with the key of an operator who still may.",
    Reason.REVOKED_DOCK: _DOCK,
    Reason.REVOKED_AGENT: "A revoked agent stays ended: register it under another name.",
    Reason.REVOKED_VERSION: "Activate another version: `dragons agents activate NAME@vN`.",
    Reason.REVOKED_INSTANCE: _RELAUNCH,
    Reason.REVOKED_LEASE: _RELAUNCH,
    Reason.REVOKED_PARENT: "Let a parent with a valid lease delegate anew.",
    Reason.DOCK_MISSING: _DOCK,
    Reason.DOCK_EXPIRED: "Dock the agent anew: `dragons docks create --agent NAME --scope CAP`.",
    Reason.DOCK_INSTANCES_EXHAUSTED: "Stop an instance, or dock the agent with more --instances.",
    Reason.MANIFEST_UNRECORDED: _REGISTER,
    Reason.MANIFEST_MISMATCH: _REGISTER,
    Reason.VERSION_INACTIVE: "Activate it: `dragons agents activate NAME@vN`.",
    Reason.INSTANCE_MISMATCH: _OWN,
    Reason.TENANT_MISMATCH: "Use the credential of the tenant that the statement names.",
    Reason.EPOCH_STALE: "A newer instance took over this dispatch; end this one.",
    Reason.CAPABILITY_UNKNOWN: _CATALOGUE,
    Reason.CAPABILITY_NOT_DECLARED: (
        "Declare it in agent.yaml and register the manifest, or leave it out of --scope."
    ),
    Reason.CAPABILITY_NOT_DOCKED: "Leave it out of --scope, or dock the agent up to it.",
    Reason.CAPABILITY_NOT_LEASED: "Launch the agent with this capability in --scope.",
    Reason.CAPABILITY_NOT_DELEGABLE: "Leave it out of what is delegated, or publish it as delegable.",
    Reason.ONLINE_CHECK_REQUIRED: "Let the control plane decide the action: POST /v1/decisions.",
    Reason.SCOPE_EXCEEDED: "Ask for no more than the lease or the session above it has.",
    Reason.TTL_EXCEEDED: _TTL,
    Reason.DELEGATION_TOO_DEEP: "Delegate from an instance nearer to the first lease.",
    Reason.ORGANISM_AUTOHEALING: "Wait until the instance sends heartbeats and makes progress again.",
    Reason.ORGANISM_QUARANTINED: "Find out why: `dragons incidents list --agent NAME`. `dragons agents release NAME` ends it.",
    Reason.ORGANISM_STOPPED: _RELAUNCH,
    Reason.AUTHORITY_STALE: "See that the control plane can be reached: `dragons doctor`.",
    Reason.CLOCK_JUMPED: "Keep the machine's clock steady, then launch a new instance.",
    Reason.SESSION_CLOSED: _SESSIONS,
    Reason.DISPATCH_ENDED: "Order a new one: `dragons dispatch create`.",
    Reason.DISPATCH_NOT_ORDERED: "Launch with the epoch of an open order: `dragons dispatch show ID`.",
    Reason.STEP_COMPLETED: "There is nothing to do: the receipt says what was done.",
    Reason.STEP_IN_DOUBT: "Find out whether it happened, and say so: `session.resolve_step(...)`.",
}

_REFUSALS = {
    # The form of a request or a document.
    "query_malformed": _REQUEST,
    "request_invalid": _REQUEST,
    "request_malformed": "Send one JSON value in UTF-8.",
    "last_event_id_malformed": "Send the `id` of the last event that was seen, or leave the header out.",
    "consistency_range": "Give the smaller size as `first`.",
    "document_malformed": _RESTATE,
    "not_canonical": "Encode the document as spec/canonical.md says, then sign it.",
    "statement_kind": "Send the kind of statement that spec/api.md names for this route.",
    "statement_signatures": _SIGNER,
    "id_malformed": "Make ids as spec/canonical.md says.",
    "time_malformed": "Write times as 2026-11-20T19:44:03.123Z.",
    "scope_too_large": "Name fewer capabilities.",
    "scope_unsorted": "Sort the capabilities and name each once.",
    "dock_empty": "Name what the agent may do with --scope.",
    "manifest_empty": "Name the agent's code in agent.yaml, or its image.",
    "manifest_unsorted": "Let `dragons manifests measure DIR` make the manifest.",
    "path_malformed": "Let `dragons manifests measure DIR` make the manifest.",
    "manifest_hash_wrong": "Compute manifest_hash over the canonical manifest, as spec/identity.md says.",
    "target_malformed": "Name the target as spec/authority.md says for its kind.",
    "selection_malformed": "Name a session, an agent, a window of times, or nothing for the whole ledger.",
    "position_missing": "Run `dragons ledger fsck`: the record contradicts its own counts.",
    "outcome_invalid": "Send one of the outcomes that spec/receipt.md lets an instance send.",
    "ttl_invalid": _TTL,
    "policy_invalid": "Correct the thresholds: `dragons policies show AGENT` shows those that count now.",
    # Keys and signatures.
    "signature_invalid": _SIGNER,
    "signer_not_valid": "Sign with a key that `dragons keys list` shows as valid and as admin or operator.",
    "operator_mismatch": "Let the operator whom the dock names sign it.",
    "date_implausible": _CLOCK,
    "key_malformed": _KEY,
    "key_non_canonical": _KEY,
    "key_low_order": _KEY,
    "key_id_mismatch": "Compute the key id from the key and its role, as spec/statement.md says.",
    "key_roles": "Give an operator's key roles out of these, and other keys none.",
    "key_validity": "Let not_after be later than not_before.",
    "key_exists": "Make a new key; each is registered once.",
    "key_revoked": "There is nothing to do; `dragons keys show KEY_ID` shows since when.",
    "key_missing": _KEYS,
    "proof_missing": "Sign the request as spec/api.md says.",
    "genesis_malformed": "Let `dragons init` make the tenant.",
    # What does not exist.
    "tenant_missing": "Use the credential of a tenant of this control plane.",
    "receipt_missing": _RECEIPTS,
    "receipts_missing": "`dragons ledger show` shows how many there are.",
    "session_missing": "`dragons sessions list` shows the sessions.",
    "instance_missing": _AGENTS,
    "agent_missing": _AGENTS,
    "order_missing": "Leave it out of the report: there is nobody to tell.",
    "dispatch_missing": "Leave dispatch_id out to begin a new dispatch.",
    "target_missing": "Check the name; the `list` command of its noun shows what exists.",
    "catalogue_missing": "Publish one: `dragons capabilities publish FILE`.",
    "route_undeclared": "/v1/openapi.json lists what may be asked.",
    # What contradicts the record.
    "claim_reused": _ANEW,
    "dock_exists": _ANEW,
    "dispatch_exists": _ANEW,
    "session_exists": _ANEW,
    "instance_exists": "Launch with a new instance id and a new key.",
    "tenant_exists": "The tenant is there; use it.",
    "sessions_exhausted": "Close a session first.",
    "revoked_already": "There is nothing to do; the revocation is on the record.",
    "version_conflict": "Ask for the next numbers, GET /v1/agents/{agent}/next, and sign the statement again.",
    "epoch_conflict": "Somebody else continued the dispatch; launch again to continue it from there.",
    "step_not_in_doubt": "Ask for the step again: the answer says how it stands.",
    "heartbeat_old": "Number heartbeats upwards and send each once.",
    # The store and the machine.
    "store_closed": "The control plane shuts down; try again when it is up.",
    "checkpoint_missing": "Try again in a moment; `dragons ledger fsck` looks deeper.",
    "checkpoint_malformed": "Run `dragons ledger fsck`.",
}

REMEDIES = MappingProxyType({**{reason.value: fix for reason, fix in _DENIALS.items()}, **_REFUSALS})


def remedy_of(error: DragonsError) -> str:
    """What helps against `error`: its own fix, else the table's, else nothing."""
    return error.fix or REMEDIES.get(error.code, "")
