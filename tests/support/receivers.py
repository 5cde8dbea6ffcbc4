"""Who is told: a real HTTP server that checks signatures, a real SMTP server, and their certificate."""

from __future__ import annotations

import email
import hashlib
import hmac
import ipaddress
import json
import ssl
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import default as mail_policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from aiosmtpd.smtp import Session as SmtpSession
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

SECRET = "whsec_" + b64encode(b"a secret of at least 24 bytes, made up").decode()


@dataclass
class Post:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def is_signed(self, secret: str = SECRET) -> bool:
        """Standard Webhooks, as a receiver checks it."""
        key = b64decode(secret.removeprefix("whsec_"))
        head = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}."
        wanted = b64encode(hmac.new(key, head.encode() + self.body, hashlib.sha256).digest()).decode()
        return f"v1,{wanted}" in self.headers["webhook-signature"].split(" ")


@dataclass
class HttpReceiver:
    """Answers with the statuses of `script`, after that with the last one; waits for `gate` before it does."""

    script: list[int] = field(default_factory=lambda: [200])
    headers: dict[str, str] = field(default_factory=dict)
    gate: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Event = field(default_factory=threading.Event)
    posts: list[Post] = field(default_factory=list)
    url: str = ""

    def answer(self) -> int:
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


@contextmanager
def http_receiver(*script: int, tls: Certificate | None = None, held: bool = False) -> Iterator[HttpReceiver]:
    """A receiver on a free port of this machine. A `held` one takes requests and answers none."""
    found = HttpReceiver(list(script) or [200])
    if not held:
        found.gate.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            found.posts.append(Post(self.path, headers, body))
            found.arrived.set()
            found.gate.wait(30)
            self.send_response(found.answer())
            for name, value in found.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if tls is not None:
        server.socket = tls.context().wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    found.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    try:
        yield found
    finally:
        found.gate.set()
        server.shutdown()
        server.server_close()


@dataclass(frozen=True)
class Certificate:
    """A certificate of this machine that signs itself."""

    cert: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self.cert, self.key)
        return made


def make_certificate(folder: Path) -> Certificate:
    """A certificate for localhost and 127.0.0.1, in `folder`."""
    private, now = generate_private_key(SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, SHA256())
    )
    found = Certificate(folder / "tls.pem", folder / "tls.key")
    found.cert.write_bytes(made.public_bytes(Encoding.PEM))
    found.key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return found


@dataclass
class Mail:
    """A mail as the server took it."""

    sender: str
    recipients: list[str]
    data: bytes
    encrypted: bool

    @property
    def message(self) -> EmailMessage:
        return email.message_from_bytes(self.data, _class=EmailMessage, policy=mail_policy)  # type: ignore[arg-type]


@dataclass
class MailServer:
    """What the server took, and whom it refuses."""

    host: str = "localhost"
    port: int = 0
    mails: list[Mail] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    answer: str = "250 taken"
    logins: list[str] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: SmtpSession, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refused:
            return "550 nobody here"
        envelope.rcpt_tos.append(address)
        return "250 fine"

    async def handle_DATA(self, server: SMTP, session: SmtpSession, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        assert server.transport is not None
        implicit = server.transport.get_extra_info("sslcontext") is not None
        self.mails.append(
            Mail(
                str(envelope.mail_from),
                list(envelope.rcpt_tos),
                envelope.content,
                encrypted=implicit or session.ssl is not None,
            )
        )
        return self.answer


@contextmanager
def mail_server(
    certificate: Certificate | None = None, *, implicit: bool = False, login: tuple[str, str] | None = None
) -> Iterator[MailServer]:
    """An SMTP server on a free port: clear, with STARTTLS, or with TLS from the first byte."""
    found = MailServer()

    def check(_server: SMTP, _session: object, _envelope: object, _mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        given = (data.login.decode(), data.password.decode())
        found.logins.append(given[0])
        return AuthResult(success=given == login, handled=False)

    context = None if certificate is None else certificate.context()
    controller = Controller(
        found,
        hostname="127.0.0.1",
        port=_free_port(),
        ssl_context=context if implicit else None,
        tls_context=None if implicit else context,
        require_starttls=context is not None and not implicit,
        authenticator=check,
        auth_required=login is not None,
        auth_require_tls=context is not None and not implicit,
    )
    controller.start()
    found.port = controller.port
    try:
        yield found
    finally:
        controller.stop()


def _free_port() -> int:
    import socket  # noqa: PLC0415 - one use

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
