"""A webhook: JSON with a Standard Webhooks signature, for programs that act or pass on.

The body is the same in every attempt, and so is `webhook-id`, by which a receiver knows a repetition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dragons.adapters.notify.message import Message
from dragons.adapters.notify.post import Receiver
from dragons.adapters.notify.signing import signature_headers
from dragons.adapters.notify.templates import Wording, say
from dragons.control.messages import Sent
from dragons.core.canonical import canonical
from dragons.core.clock import Clock, format_time
from dragons.core.hashing import sha256_hex


class Webhook:
    """Sends to one receiver, signed with every one of `secrets`."""

    def __init__(
        self, receiver: Receiver, secrets: Sequence[bytes], wordings: Mapping[str, Wording], clock: Clock
    ) -> None:
        self._receiver = receiver
        self._secrets = tuple(secrets)
        self._wordings = wordings
        self._clock = clock

    def send(self, message: Message) -> Sent:
        """One attempt."""
        body = webhook_body(message, self._wordings)
        headers = signature_headers(message.message_id, self._clock.now_ms(), body, self._secrets)
        return Sent(*self._receiver.post(body, headers), sha256_hex(body))


def webhook_body(message: Message, wordings: Mapping[str, Wording]) -> bytes:
    """The canonical JSON of a message: `type`, `timestamp` and `data`, as the specification recommends."""
    facts = {"message_id": message.message_id, "tenant_id": message.tenant_id, **message.facts}
    said = say(wordings, message.topic, facts)
    return canonical(
        {
            "type": f"dragons.{message.topic}",
            "timestamp": format_time(message.created_ms),
            "data": {**facts, "subject": said.subject, "text": said.text},
        }
    )
