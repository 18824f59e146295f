"""E-mail: real conversations with a real mail server."""

import asyncio
import ssl
import subprocess
import time
from contextlib import AbstractContextManager
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from app.kit import mail
from app.kit.mail import SmtpChannel, compose
from app.kit.models import now
from app.kit.outbox import LEASE, DeliveryError, Letter
from app.settings import Settings
from tests.app.conftest import free_port
from tests.app.mailserver import Mailbox, mail_server, silent_server

LETTER = Letter("0b9f7c1e-6d1f-4f0c-9a57-2f6d3c1f2a10", "anna@example.com", "Ваш заказ подтверждён", "Привет, Анна!\n")


def channel(port: int, timeout: float, **settings: str) -> SmtpChannel:
    """A channel to this port, without encryption unless the settings say otherwise."""
    defaults: dict[str, object] = {
        "secret_key": "s" * 32,
        "canary_token": "c" * 32,
        "smtp_host": "localhost",
        "smtp_port": port,
        "smtp_security": "none",
        "mail_from": "bookings@example.org",
    }
    return SmtpChannel(Settings.model_validate(defaults | settings), timeout=timeout)


def deliver(port: int, letter: Letter = LETTER, **settings: str) -> None:
    """Send one letter."""
    sender = channel(port, 5, **settings)
    try:
        asyncio.run(sender.deliver(letter))
    finally:
        sender.close()


def failure(port: int, letter: Letter = LETTER, **settings: str) -> DeliveryError:
    """Send a letter that is not delivered, and return why."""
    with pytest.raises(DeliveryError) as raised:
        deliver(port, letter, **settings)
    return raised.value


def test_a_letter_arrives_as_it_was_written() -> None:
    with mail_server() as mailbox:
        deliver(mailbox.port)
    (message,) = mailbox.messages
    assert message["Subject"] == LETTER.subject
    assert message.get_content().splitlines() == LETTER.body.splitlines()
    assert message["From"] == "bookings@example.org"
    assert message["To"] == LETTER.recipient
    assert message["Message-ID"] == f"<{LETTER.id}@example.org>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert abs(parsedate_to_datetime(message["Date"]) - now()) < timedelta(minutes=1)
    assert mailbox.recipients == [[LETTER.recipient]]


def test_a_letter_goes_through_a_server_that_knows_only_seven_bits() -> None:
    wire = compose(LETTER, "bookings@example.org").as_bytes()
    assert wire.isascii()
    assert all(len(line) < 998 for line in wire.splitlines())


def test_a_second_attempt_can_be_recognised() -> None:
    with mail_server() as mailbox:
        deliver(mailbox.port)
        deliver(mailbox.port)
    first, second = mailbox.messages
    assert first["Message-ID"] == second["Message-ID"]


@pytest.mark.parametrize("recipient", ["анна@example.com", "anna@пример.рф"])
def test_an_address_beyond_ascii_is_served(recipient: str) -> None:
    letter = Letter(LETTER.id, recipient, LETTER.subject, LETTER.body)
    with mail_server(enable_SMTPUTF8=True) as mailbox:
        deliver(mailbox.port, letter)
    local, _, domain = recipient.partition("@")
    assert mailbox.recipients == [[f"{local}@{domain.encode('idna').decode()}"]]


@pytest.mark.parametrize(
    ("recipient", "subject"),
    [
        ("anna@example.com\r\nBcc: eve@example.com", "x"),
        ("anna@example.com, eve@example.com", "x"),
        ("anna@example.com>\r\nRCPT TO:<eve@example.com", "x"),
        ("Anna <anna@example.com>", "x"),
        ("anna", "x"),
        ("", "x"),
        (f"anna@{'x' * 70}.example", "x"),
        ("anna@example.com", "x\r\nBcc: eve@example.com"),
        ("anna@example.com", "x\nBcc: eve@example.com"),
        ("anna@example.com", "x\rBcc: eve@example.com"),
    ],
)
def test_nobody_can_smuggle_in_a_header_or_a_recipient(recipient: str, subject: str) -> None:
    with mail_server() as mailbox:
        error = failure(mailbox.port, Letter(LETTER.id, recipient, subject, "x"))
    assert error.permanent
    assert not mailbox.messages


@pytest.mark.parametrize(
    ("answer", "permanent"), [("550 No such user", True), ("450 Greylisted", False), ("421 Going down", False)]
)
def test_a_refused_recipient_is_tried_again_only_if_that_can_help(answer: str, permanent: bool) -> None:  # noqa: FBT001
    with mail_server(refuse=lambda address: f"{answer} <{address}>") as mailbox:
        error = failure(mailbox.port)
    assert error.permanent is permanent
    assert answer in str(error)
    assert LETTER.recipient not in str(error)


def test_a_server_that_is_not_there_is_tried_again() -> None:
    assert not failure(free_port()).permanent


def test_a_server_whose_name_nobody_knows_is_tried_again() -> None:
    assert not failure(25, smtp_host="mail.invalid").permanent


@pytest.mark.parametrize("drip", [b"", b"220-"], ids=["silent", "endless"])
@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
def test_a_server_that_does_not_come_to_the_point_costs_bounded_time(drip: bytes, security: str) -> None:
    async def scene(port: int) -> None:
        sender = channel(port, 0.5, smtp_security=security)
        try:
            for _ in range(2):  # the thread is free for the next one
                started = time.monotonic()
                with pytest.raises(DeliveryError) as raised:
                    await sender.deliver(LETTER)
                assert not raised.value.permanent
                assert "delivery before it" not in str(raised.value)
                assert time.monotonic() - started < 1
                while sender.pool.running:
                    assert time.monotonic() - started < 2
                    await asyncio.sleep(0.01)
        finally:
            sender.close()

    with silent_server(drip) as port:
        asyncio.run(scene(port))


def test_the_time_for_a_letter_is_well_under_half_a_lease() -> None:
    assert mail.STEP_TIMEOUT < mail.TIMEOUT
    assert LEASE.total_seconds() >= 4 * mail.TIMEOUT


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for `localhost` that nobody knows, and its key."""
    directory = tmp_path_factory.mktemp("tls")
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", str(key), "-out", str(certificate), "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


@pytest.fixture
def server_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    """The server's side."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@pytest.fixture
def trusted(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the certificate one that this machine trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))


SECURITY = {"starttls": "tls_context", "tls": "ssl_context"}


def tls_server(security: str, tls: ssl.SSLContext) -> AbstractContextManager[Mailbox]:
    """A mail server that encrypts in this way."""
    options: dict[str, Any] = {SECURITY[security]: tls}
    return mail_server(**options)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("security", SECURITY)
def test_it_logs_in_through_an_encrypted_connection(security: str, server_tls: ssl.SSLContext) -> None:
    options: dict[str, Any] = {SECURITY[security]: server_tls, "auth_require_tls": security == "starttls"}
    with mail_server(**options) as mailbox:
        deliver(mailbox.port, smtp_security=security, smtp_username="api", smtp_password="right")
    assert len(mailbox.messages) == 1
    assert mailbox.logins == [("api", "right")]


@pytest.mark.parametrize("security", SECURITY)
def test_a_server_with_an_unknown_certificate_gets_nothing(security: str, server_tls: ssl.SSLContext) -> None:
    with tls_server(security, server_tls) as mailbox:
        error = failure(mailbox.port, smtp_security=security)
    assert "CERTIFICATE_VERIFY_FAILED" in str(error)
    assert not mailbox.messages


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("security", SECURITY)
def test_a_server_with_another_name_gets_nothing(security: str, server_tls: ssl.SSLContext) -> None:
    with tls_server(security, server_tls) as mailbox:
        error = failure(mailbox.port, smtp_security=security, smtp_host="127.0.0.1")
    assert "CERTIFICATE_VERIFY_FAILED" in str(error)
    assert not mailbox.messages


def test_without_starttls_nothing_is_sent_in_the_clear() -> None:
    with mail_server() as mailbox:
        error = failure(mailbox.port, smtp_security="starttls")
    assert not error.permanent
    assert not mailbox.messages


def test_a_wrong_password_is_tried_again_and_shown_to_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    with mail_server(auth_require_tls=False) as mailbox:
        error = failure(mailbox.port, smtp_username="api", smtp_password="hunter2")
    assert not error.permanent
    assert "535" in str(error)
    shown = f"{error!r} {error.__cause__!r} {capsys.readouterr()}"
    assert "hunter2" not in shown
    assert not mailbox.messages
