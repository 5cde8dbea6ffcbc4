"""Mail arrives encrypted, is the same in every attempt, and no fact becomes a header."""

from __future__ import annotations

import socket
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragons.adapters.notify.email import CLEAR, STARTTLS, TLS, Email, Server, build_mail
from dragons.adapters.notify.templates import BUILT_IN
from dragons.core.hashing import sha256_hex
from tests.support.receivers import Certificate, MailServer, mail_server, make_certificate
from tests.unit.adapters.notify.messages import INCIDENT, MESSAGE, message

# The server doesn't see that its first byte was encrypted already.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

SENDER, ADA, BOB = "dragons@example.org", "ada@example.org", "bob@example.org"
HEADERS = {
    "message-id", "date", "from", "to", "subject", "auto-submitted", "references", "content-type",
    "content-transfer-encoding", "mime-version",
}  # fmt: skip


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def mail_to(server: MailServer, security: str, ca_file: Path | None = None, **login: str) -> Email:
    where = Server(server.host, server.port, security, ca_file=ca_file, **login)
    return Email(where, SENDER, (ADA, BOB), BUILT_IN)


def test_a_mail_arrives() -> None:
    with mail_server() as server:
        sent = mail_to(server, CLEAR).send(message())
    (mail,) = server.mails
    assert (sent.delivered, sent.detail) == (True, "taken for 2 of 2")
    assert (mail.sender, mail.recipients) == (SENDER, [ADA, BOB])
    found = mail.message
    assert found["subject"] == "[Dragons] reconciler is quarantined"
    assert found["message-id"] == f"<{MESSAGE}@example.org>"
    assert found["references"] == f"<{INCIDENT}@example.org>"
    assert found["auto-submitted"] == "auto-generated"
    assert found["date"] == "Fri, 15 Jan 2027 08:00:00 +0000"
    assert "restarted 3 times within 6 h" in found.get_content()
    assert {name.lower() for name in found} == HEADERS


def test_a_repetition_is_the_same_mail() -> None:
    with mail_server() as server:
        made = mail_to(server, CLEAR)
        first, second = made.send(message()), made.send(message())
    one, two = server.mails
    assert one.data == two.data
    assert (
        first.digest
        == second.digest
        == sha256_hex(build_mail(message(), SENDER, (ADA, BOB), BUILT_IN).as_bytes(policy=SMTP))
    )


@pytest.mark.parametrize("security", [STARTTLS, TLS])
def test_tls_and_login(certificate: Certificate, security: str) -> None:
    login = ("dragons", "hunter2")
    with mail_server(certificate, implicit=security == TLS, login=login) as server:
        sent = mail_to(server, security, certificate.cert, username="dragons", password="hunter2").send(
            message()
        )
        assert sent.delivered, sent
        assert server.mails[0].encrypted
        wrong = mail_to(server, security, certificate.cert, username="dragons", password="wrong").send(
            message()
        )
        assert (wrong.delivered, wrong.detail) == (False, "refused with 535")
        without = mail_to(server, security, certificate.cert).send(message())
        assert (without.delivered, without.detail) == (False, "refused with 530")
    assert len(server.mails) == 1


@pytest.mark.parametrize("security", [STARTTLS, TLS])
def test_a_strange_certificate_is_refused(certificate: Certificate, security: str) -> None:
    with mail_server(certificate, implicit=security == TLS, login=("dragons", "hunter2")) as server:
        sent = mail_to(server, security, username="dragons", password="hunter2").send(message())
    assert (sent.delivered, sent.detail) == (False, "could not send: SSLCertVerificationError")
    assert not server.logins


def test_a_server_without_starttls_gets_nothing() -> None:
    with mail_server(login=("dragons", "hunter2")) as server:
        sent = mail_to(server, STARTTLS, username="dragons", password="hunter2").send(message())
    assert (sent.delivered, sent.detail) == (False, "could not send: SMTPNotSupportedError")
    assert not server.logins
    assert not server.mails


def test_some_recipients_are_enough() -> None:
    with mail_server() as server:
        server.refused = {BOB}
        assert mail_to(server, CLEAR).send(message())[:2] == (True, "taken for 1 of 2")
        server.refused = {ADA, BOB}
        assert mail_to(server, CLEAR).send(message())[:2] == (False, "every recipient was refused")


def test_a_servers_refusal_is_told_by_its_code() -> None:
    with mail_server() as server:
        server.answer = "451 try again, hunter2"
        assert mail_to(server, CLEAR).send(message())[:2] == (False, "refused with 451")


def test_nobody_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        server = MailServer("127.0.0.1", taken.getsockname()[1])
        sent = mail_to(server, CLEAR).send(message())
    assert (sent.delivered, sent.detail) == (False, "could not send: ConnectionRefusedError")


def test_a_password_is_not_shown() -> None:
    assert "hunter2" not in repr(Server("h", 1, TLS, "ada", "hunter2"))


@pytest.mark.parametrize("break_", ["\n", "\r\n", "\r", "\u2028", "\x85", "\x00", "\x0b"])
def test_a_header_can_not_be_put_in(break_: str) -> None:
    evil = f"x{break_}Bcc: eve@example.org{break_}{break_}<b>body</b>"
    for topic in BUILT_IN:
        facts = dict.fromkeys(("agent", "subject", "incident_id", "requested_by", "kind"), evil)
        data = build_mail(message(topic, **facts), SENDER, (ADA,), BUILT_IN).as_bytes(policy=SMTP)
        found = message_from_bytes(data)
        assert "bcc" not in found
        assert {name.lower() for name in found.keys()} <= HEADERS  # noqa: SIM118 - of headers, not of a dict


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_fact_changes_the_headers(agent: str, reason: str) -> None:
    facts = {"agent": agent, "incident_id": reason, "subject": agent, "text": reason}
    for topic in ("quarantined", "notice"):
        data = build_mail(message(topic, **facts), SENDER, (ADA,), BUILT_IN).as_bytes(policy=SMTP)
        found = message_from_bytes(data)
        assert {name.lower() for name in found.keys()} == HEADERS - {"references"}  # noqa: SIM118 - as above
        assert (found["to"], found["from"]) == (ADA, SENDER)
