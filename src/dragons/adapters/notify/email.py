"""E-mail by SMTP, over TLS unless the server is on this machine.

The Message-ID follows from the message's id, so a mailbox knows a repetition; the bytes are the same in
every attempt. No fact can become a header: each is one line, and the message refuses any that is not.
"""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import NamedTuple

from dragons.adapters.notify.message import Message
from dragons.adapters.notify.templates import Wording, say
from dragons.control.messages import Sent
from dragons.core.hashing import sha256_hex

STARTTLS, TLS, CLEAR = "starttls", "tls", "none"
TIMEOUT_SECONDS = 10.0
_NAME = re.compile(r"[a-z]{3}_[0-9a-f]{32}", re.ASCII)


class Server(NamedTuple):
    """An SMTP server. `security` is starttls, tls, or none for one on this machine."""

    host: str
    port: int
    security: str
    username: str = ""
    password: str = ""
    ca_file: Path | None = None

    def __repr__(self) -> str:
        return f"Server({self.host}:{self.port})"


class Email:
    """Sends from one address to several, all in one message."""

    def __init__(
        self, server: Server, sender: str, recipients: tuple[str, ...], wordings: Mapping[str, Wording]
    ) -> None:
        self._server = server
        self._sender = sender
        self._recipients = recipients
        self._wordings = wordings

    def send(self, message: Message) -> Sent:
        """One attempt; delivered when the server took it for at least one recipient."""
        mail = build_mail(message, self._sender, self._recipients, self._wordings)
        data = mail.as_bytes(policy=SMTP)
        digest = sha256_hex(data)
        try:
            with self._connected() as server:
                refused = server.sendmail(self._sender, self._recipients, data)
        except smtplib.SMTPResponseException as error:
            # Its text is the server's; the code says enough and repeats nothing that was sent.
            return Sent(delivered=False, detail=f"refused with {error.smtp_code}", digest=digest)
        except smtplib.SMTPRecipientsRefused:
            return Sent(delivered=False, detail="every recipient was refused", digest=digest)
        except TimeoutError:
            return Sent(delivered=False, detail="there was no answer in time", digest=digest)
        except (smtplib.SMTPException, OSError) as error:
            return Sent(delivered=False, detail=f"could not send: {type(error).__name__}", digest=digest)
        taken = len(self._recipients) - len(refused)
        return Sent(delivered=True, detail=f"taken for {taken} of {len(self._recipients)}", digest=digest)

    def _connected(self) -> smtplib.SMTP:
        host, port, security, username, password, ca_file = self._server
        context = None if security == CLEAR else ssl.create_default_context(cafile=ca_file)
        server: smtplib.SMTP
        if security == TLS:
            server = smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_SECONDS, context=context)
        else:
            server = smtplib.SMTP(host, port, timeout=TIMEOUT_SECONDS)
        try:
            if security == STARTTLS:
                server.starttls(context=context)
            if username:
                server.login(username, password)
        except BaseException:
            server.close()
            raise
        return server


def build_mail(
    message: Message, sender: str, recipients: tuple[str, ...], wordings: Mapping[str, Wording]
) -> EmailMessage:
    """The mail of a message (RFC 5322); mails of one incident belong to one thread."""
    facts = {"message_id": message.message_id, "tenant_id": message.tenant_id, **message.facts}
    said = say(wordings, message.topic, facts)
    domain = sender.rpartition("@")[2]
    mail = EmailMessage(policy=SMTP)
    mail["Message-ID"] = f"<{message.message_id}@{domain}>"
    mail["Date"] = format_datetime(datetime.fromtimestamp(message.created_ms / 1000, UTC))
    mail["From"] = sender
    mail["To"] = ", ".join(recipients)
    mail["Subject"] = said.subject
    # RFC 3834: no answering machine shall answer.
    mail["Auto-Submitted"] = "auto-generated"
    incident = str(facts.get("incident_id", ""))
    if _NAME.fullmatch(incident):
        mail["References"] = f"<{incident}@{domain}>"
    mail.set_content(said.text)
    return mail
