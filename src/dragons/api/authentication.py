"""Who is asking: an API token, or a workload token or an operator key with proof that the key is at hand.

Caches signature checks, keyed by the token's SHA-256, and never a decision: expiry, revocation and
the keys behind a token are looked at in every request. Never logs or returns a token.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from hashlib import sha256
from typing import NamedTuple

from dragons.api.limits import NonceMemory
from dragons.control.caller import Caller
from dragons.control.ports import Reader, Store
from dragons.control.statements import key_holds, operator_holds
from dragons.control.tokens import PREFIX, authenticate_token
from dragons.core.canonical import decode
from dragons.core.clock import Clock
from dragons.core.errors import DragonsError, UnauthenticatedError
from dragons.core.ids import new_nonce
from dragons.core.keys import KeyRole, PublicKey
from dragons.core.vocabulary import Role
from dragons.identity.proof import Parsed, Request, parse_input, verify_request
from dragons.identity.tokens import TOKEN_BYTES_MAX, Workload, thumbprint, verify_token

_API_TOKEN_LENGTH = len(PREFIX) + 43
_FIX = "Send `Authorization: Bearer` and a token, as spec/api.md says."
# Names the tenant and the key; what proves the caller is the signature over the request.
KEY_SCHEME = "operatorkey"


class Proof(NamedTuple):
    """A request as it was signed, and the signature's parameters; not yet verified."""

    request: Request
    digest: str
    signature: str
    parsed: Parsed


class Identified(NamedTuple):
    """A caller; `key` is the key whose possession the request still has to prove under `key_id`, if any.

    `issuer_key_id` issued the caller's workload token: `check_issuer` looks at it in the same view
    of the store as what the caller asks for.
    """

    caller: Caller
    credential: str
    key: PublicKey | None = None
    key_id: str = ""
    issuer_key_id: str = ""


class _Checked(NamedTuple):
    """A workload token whose signature was found good, with the key that it is bound to."""

    claims: Workload
    issuer_key_id: str
    key: PublicKey


class Authenticator:
    """One per process."""

    def __init__(self, store: Store, clock: Clock, *, tokens_max: int, nonces_max: int) -> None:
        self._store = store
        self._clock = clock
        self._tokens_max = tokens_max
        self._checked: OrderedDict[bytes, _Checked] = OrderedDict()
        self._nonces = NonceMemory(nonces_max)

    def identify(self, authorization: str) -> Identified:
        """The caller that the `Authorization` header names; UnauthenticatedError when it names none."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == KEY_SCHEME:
            return self._identify_operator_key(token)
        if scheme.lower() != "bearer" or not token:
            raise UnauthenticatedError("credential_missing", "The request carries no credential.", fix=_FIX)
        if token.startswith(PREFIX):
            return self._identify_api_token(token)
        return self._identify_workload(token)

    def verify_proof(self, proof: Proof, key: PublicKey, key_id: str) -> None:
        """UnauthenticatedError unless `proof` was made by `key`, for this request, just now, and only once."""
        if proof.parsed.key_id != key_id:
            raise UnauthenticatedError(
                "proof_key",
                "The proof of possession is by another key.",
                fix="Sign with the key that the credential names.",
            )
        verify_request(
            proof.request, (proof.digest, proof.signature), proof.parsed, key, now_ms=self._clock.now_ms()
        )
        self._nonces.use(key_id, proof.parsed.nonce, self._clock.boot_ms())

    def _identify_api_token(self, token: str) -> Identified:
        if len(token) != _API_TOKEN_LENGTH:
            raise UnauthenticatedError("token_invalid", "The API token is malformed.", fix=_FIX)
        with self._store.read() as reader:
            caller = authenticate_token(reader, token, self._clock.now_ms())
        return Identified(caller, caller.token_id)

    def _identify_operator_key(self, credential: str) -> Identified:
        tenant_id, _, key_id = credential.partition(".")
        with self._store.read() as reader:
            row = reader.key(tenant_id, key_id)
            if row is None or row.role != "operator" or not operator_holds(reader, row, self._clock.now_ms()):
                raise UnauthenticatedError(
                    "signer_not_valid",
                    "The credential names no operator key that holds.",
                    fix="Name a key that `dragons keys list` shows as valid, or let the root vouch for a new one.",
                )
        caller = Caller(tenant_id, Role.KEYHOLDER, key_id=key_id)
        return Identified(caller, key_id, PublicKey(row.public_key), key_id)

    def _identify_workload(self, token: str) -> Identified:
        if len(token) > TOKEN_BYTES_MAX:
            raise UnauthenticatedError("token_invalid", "The workload token is malformed.", fix=_FIX)
        digest = sha256(token.encode()).digest()
        checked = self._checked.get(digest)
        if checked is None:
            with self._store.read() as reader:
                checked = self._check(reader, token, digest)
        claims = checked.claims
        caller = Caller(
            claims.tenant_id,
            Role.INSTANCE,
            instance_id=claims.sub,
            lease_id=claims.lease_id,
            lapsed=self._clock.now_ms() >= claims.exp * 1000,
        )
        key_id = instance_key_id(checked.key)
        return Identified(caller, claims.sub, checked.key, key_id, checked.issuer_key_id)

    def _check(self, reader: Reader, token: str, digest: bytes) -> _Checked:
        tenant_id = _claimed_tenant(token)
        issuers = {
            row.key_id: PublicKey(row.public_key) for row in reader.keys(tenant_id) if row.role == "issuer"
        }
        verified = verify_token(token, issuers)
        claims = verified.claims
        instance = reader.instance(tenant_id, claims.sub)
        if instance is None:
            raise UnauthenticatedError("token_invalid", "The workload token names no instance.", fix=_FIX)
        key = PublicKey(instance.public_key)
        if thumbprint(key) != claims.cnf.jkt:
            raise UnauthenticatedError(
                "token_invalid", "The workload token is bound to another key.", fix=_FIX
            )
        checked = _Checked(claims, verified.issuer_key_id, key)
        if len(self._checked) >= self._tokens_max:
            self._checked.popitem(last=False)
        self._checked[digest] = checked
        return checked


def check_issuer(reader: Reader, tenant_id: str, issuer_key_id: str, now_ms: int) -> None:
    """UnauthenticatedError unless the key that issued a workload token still holds."""
    issuer = reader.key(tenant_id, issuer_key_id)
    if issuer is None or not key_holds(issuer, now_ms):
        raise UnauthenticatedError(
            "token_invalid", "The key that issued the workload token has ended.", fix="Launch a new instance."
        )


def parse_proof(request: Request, headers: dict[bytes, bytes]) -> Proof:
    """The proof of possession in a request's headers; UnauthenticatedError when there is none."""
    values = [headers.get(name) for name in (b"content-digest", b"signature", b"signature-input")]
    if None in values:
        raise UnauthenticatedError(
            "proof_missing",
            "The request carries no proof of possession.",
            fix="Sign the request as spec/api.md says.",
        )
    digest, signature, parameters = (value.decode("latin-1") for value in values if value is not None)
    return Proof(request, digest, signature, parse_input(parameters))


def instance_key_id(key: PublicKey) -> str:
    """The key id under which an instance signs."""
    return key.key_id(KeyRole.INSTANCE)


def new_api_token() -> str:
    """A new API token: `dgt_` and 32 random bytes in base64url."""
    secret = bytes.fromhex(new_nonce() + new_nonce())
    return PREFIX + urlsafe_b64encode(secret).rstrip(b"=").decode()


def _claimed_tenant(token: str) -> str:
    # Only chooses which keys the signature is checked with; a lie finds no key that fits.
    try:
        payload = token.encode().split(b".")[1]
        return decode(Workload, urlsafe_b64decode(payload + b"=" * (-len(payload) % 4))).tenant_id
    except (IndexError, ValueError, DragonsError) as error:
        raise UnauthenticatedError("token_invalid", "The workload token is malformed.", fix=_FIX) from error
