"""A Slack incoming webhook: text for notifications, blocks for reading.

Facts are escaped, so that what an agent wrote can neither mention anybody nor hide a link; lengths keep
to Slack's limits (header 150, section 3,000 characters). Slack knows no idempotency: a repeated attempt
is a second post, and the message's id in the last line shows it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dragons.adapters.notify.message import Message
from dragons.adapters.notify.post import Receiver
from dragons.adapters.notify.templates import Wording, cut, say
from dragons.control.messages import Sent
from dragons.core.canonical import canonical
from dragons.core.hashing import sha256_hex

HEADER_MAX, SECTION_MAX = 150, 3_000
_HALF_ENTITY = re.compile(r"&[a-z]{0,3}…\Z")


class Slack:
    """Sends to one incoming webhook, whose address is its secret."""

    def __init__(self, receiver: Receiver, wordings: Mapping[str, Wording]) -> None:
        self._receiver = receiver
        self._wordings = wordings

    def send(self, message: Message) -> Sent:
        """One attempt."""
        body = canonical(slack_body(message, self._wordings))
        return Sent(*self._receiver.post(body, {}), sha256_hex(body))


def slack_body(message: Message, wordings: Mapping[str, Wording]) -> dict[str, Any]:
    """The payload of an incoming webhook (docs.slack.dev, "Sending messages using incoming webhooks")."""
    facts = {"message_id": message.message_id, "tenant_id": message.tenant_id, **message.facts}
    said = say(wordings, message.topic, facts, escape)
    foot = " · ".join(one for one in (message.message_id, str(facts.get("incident_id", ""))) if one)
    return {
        # Plain text, and yet Slack reads links and mentions in it.
        "text": cut_escaped(escape(said.subject), HEADER_MAX),
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": cut(said.subject, HEADER_MAX)}},
            {"type": "section", "text": _mrkdwn(said.text)},
            {"type": "context", "elements": [_mrkdwn(escape(foot))]},
        ],
    }


def escape(text: str) -> str:
    """`text` without the three characters that mean something to Slack."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def cut_escaped(text: str, limit: int) -> str:
    """As `cut`, without half an entity at the end."""
    return _HALF_ENTITY.sub("…", cut(text, limit))


def _mrkdwn(text: str) -> dict[str, Any]:
    # Verbatim: nothing but what is marked up becomes a link or a mention.
    return {"type": "mrkdwn", "text": cut_escaped(text, SECTION_MAX), "verbatim": True}
