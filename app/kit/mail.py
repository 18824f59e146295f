"""E-mail: letters of the outbox over SMTP, in a thread of its own and within a time that is its own."""

import re
import smtplib
import socket
import ssl
from contextlib import suppress
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from app.kit.models import now
from app.kit.outbox import DeliveryError, Letter
from app.kit.problems import Overloaded
from app.kit.workers import WorkerPool
from app.settings import Settings

TIMEOUT = 30.0  # seconds for a whole letter; a quarter of the outbox's LEASE
STEP_TIMEOUT = 10.0  # seconds for each answer of the server
QUIT_TIMEOUT = 1.0  # seconds for a farewell that nothing depends on
ADDRESS = re.compile(r"""[^\s<>()\[\]:;@\\,"\x00-\x1f\x7f]+@[^\s<>()\[\]:;@\\,"\x00-\x1f\x7f]+""")
PERMANENT = 500  # and above: RFC 5321, section 4.2.1
POLICY = SMTP.clone(cte_type="7bit")
"""Seven bits go through every server; text beyond ASCII is encoded."""


class SmtpChannel:
    """Delivers through the mail server of the settings, one letter at a time."""

    def __init__(self, settings: Settings, *, timeout: float = TIMEOUT) -> None:
        """Prepare.

        Args:
            settings: SMTP_HOST and its like, MAIL_FROM.
            timeout: seconds for a whole letter.
        """
        self._settings = settings
        self._timeout = timeout
        self._tls = ssl.create_default_context()
        self.pool = WorkerPool("mail", threads=1, queue=0)

    async def deliver(self, letter: Letter) -> None:
        """Hand it over to the mail server.

        Raises:
            DeliveryError: the server has not accepted it.
        """
        delivery = _Delivery(self._settings, self._tls, compose(letter, self._settings.mail_from), letter.recipient)
        try:
            await self.pool.run(delivery.run, timeout=self._timeout)
        except Overloaded as error:
            raise DeliveryError("the delivery before it has not ended yet") from error
        except TimeoutError as error:
            if not delivery.accepted:
                raise DeliveryError(f"not delivered within {self._timeout:g} s") from error
        finally:
            delivery.abort()

    def close(self) -> None:
        """Take no more letters."""
        self.pool.close()


def compose(letter: Letter, sender: str) -> EmailMessage:
    """The letter as it goes over the wire.

    Raises:
        DeliveryError: it cannot be written as a message; permanent.
    """
    if not ADDRESS.fullmatch(letter.recipient):
        raise DeliveryError("the recipient is not an e-mail address", permanent=True)
    message = EmailMessage(POLICY)
    try:
        message["From"] = sender
        message["To"] = _address(letter.recipient)
        message["Subject"] = letter.subject
        # The same for each attempt, so that a second copy can be recognised.
        message["Message-ID"] = f"<{letter.id}@{sender.rpartition('@')[2]}>"
        message["Date"] = format_datetime(now())
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no automatic answers, please
    except (ValueError, UnicodeError) as error:
        raise DeliveryError("a header cannot hold this", permanent=True) from error
    message.set_content(letter.body)
    return message


def _address(text: str) -> Address:
    """An address whose domain is ASCII; its local part may not be."""
    local, _, domain = text.rpartition("@")
    return Address(username=local, domain=domain.encode("idna").decode())


class _Connection(smtplib.SMTP):
    """A connection whose socket can be seen from the first byte on, TLS handshake included."""

    def __init__(self, name: str, tls: ssl.SSLContext | None) -> None:
        """Prepare; call `connect`.

        Args:
            name: what it calls itself.
            tls: for TLS from the first byte on.
        """
        super().__init__(local_hostname=name, timeout=STEP_TIMEOUT)
        self._tls = tls

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        self._host = host  # the name that STARTTLS expects in the certificate
        self.sock = socket.create_connection((host, port), timeout)
        if self._tls:
            self.sock = encrypted = self._tls.wrap_socket(
                self.sock, server_hostname=host, do_handshake_on_connect=False
            )
            encrypted.do_handshake()
        return self.sock


class _Delivery:
    """One conversation with the server; `abort` ends it from another thread."""

    def __init__(self, settings: Settings, tls: ssl.SSLContext, message: EmailMessage, recipient: str) -> None:
        self._settings = settings
        self._tls = tls
        self._message = message
        self._recipient = recipient
        self._smtp: _Connection | None = None
        self._aborted = False
        self.accepted = False
        """Whether the server has taken the letter over."""

    def run(self) -> None:
        """In the thread: connect, log in, hand over.

        Raises:
            DeliveryError: the server has not accepted it.
        """
        try:
            # The name: else smtplib asks the resolver for this machine's, and that can take a while.
            name = self._settings.mail_from.rpartition("@")[2]
            self._smtp = smtp = _Connection(name, self._tls if self._settings.smtp_security == "tls" else None)
            try:
                smtp.connect(self._settings.smtp_host, self._settings.smtp_port)
                self._hand_over(smtp)
                self._farewell(smtp)
            finally:
                smtp.close()
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()))
            raise DeliveryError(self._reason("recipient refused", code, text), permanent=code >= PERMANENT) from error
        except smtplib.SMTPAuthenticationError as error:
            # The code alone: the text is the server's, and the command before it held the password.
            raise DeliveryError(f"log-in refused: {error.smtp_code}") from None
        except smtplib.SMTPResponseException as error:
            raise DeliveryError(self._reason("refused", error.smtp_code, error.smtp_error)) from error
        except (smtplib.SMTPException, OSError) as error:
            raise DeliveryError(f"{type(error).__name__}: {error}") from error

    def abort(self) -> None:
        """From any thread: cut the connection, so that the thread is free again whatever the server does."""
        self._aborted = True
        connection = self._smtp.sock if self._smtp else None
        if isinstance(connection, socket.socket):
            with suppress(OSError):
                # Not SSLSocket's method: that one would take the encryption away from under the reading thread.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def _hand_over(self, smtp: smtplib.SMTP) -> None:
        settings = self._settings
        if settings.smtp_security == "starttls":
            smtp.starttls(context=self._tls)  # fails when the server does not offer it
        if settings.smtp_username and settings.smtp_password:
            smtp.login(settings.smtp_username, settings.smtp_password.get_secret_value())
        if self._aborted:  # somebody else may be delivering it by now
            raise smtplib.SMTPServerDisconnected("given up")
        smtp.send_message(self._message, settings.mail_from, [str(self._message["To"].addresses[0].addr_spec)])
        self.accepted = True

    def _farewell(self, smtp: smtplib.SMTP) -> None:
        with suppress(smtplib.SMTPException, OSError):
            if smtp.sock:
                smtp.sock.settimeout(QUIT_TIMEOUT)
            smtp.quit()

    def _reason(self, what: str, code: int, text: bytes | str) -> str:
        """The server's words on one line, without the recipient's address."""
        said = text.decode(errors="replace") if isinstance(text, bytes) else text
        return f"{what}: {code} {' '.join(said.replace(self._recipient, '…').split())}"
