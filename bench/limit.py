"""The limit of appending: the Ed25519 operations that one receipt needs, and nothing else, on one core.

Two signatures are made (the instance's over its claim, the ledger's over the header) and one is verified
(the claim's), over messages as long as those of a real receipt.
"""

from __future__ import annotations

from bench.figures import rate
from dragons.core.keys import KeyRole, LocalSigner
from dragons.core.statement import Envelope, pae, payload_type
from dragons.evidence.receipt import RECEIPT

# More would be no different: the operations don't depend on each other.
OPERATIONS = 1_500


class Limit:
    """Signs and verifies messages as long as `claim` and `header`."""

    def __init__(self, claim: Envelope, header: bytes) -> None:
        self.claim = claim.pae()
        self.header = pae(payload_type(RECEIPT), header)
        self._instance = LocalSigner.generate(KeyRole.INSTANCE)
        self._ledger = LocalSigner.generate(KeyRole.LEDGER)

    def measure(self, count: int = OPERATIONS) -> float:
        """How many receipts a second the signatures alone would allow."""
        return rate(lambda: self._run(count), count)

    def _run(self, count: int) -> None:
        sign, verify, seal = self._instance.sign, self._instance.public_key.verify, self._ledger.sign
        for _ in range(count):
            signature = sign(self.claim)
            assert verify(signature, self.claim)
            seal(self.header)
