"""The ways to a person: Telegram, mail, webhooks, and what Apprise knows.

Used within the short-lived child that delivers, so that neither a network nor the memory of a TLS library is in
the monitor's way. Every delivery ends within `TIMEOUT`, whatever the other side does. No failure repeats a secret:
the sentences are made here and the words of a server, which may repeat ours, are never quoted.
"""

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import smtplib
import socket
import ssl
import subprocess
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parsedate_to_datetime
from urllib.parse import SplitResult, unquote, urlsplit

from cleaning_service_monitor.alert_settings import AlertSettings, Smtp, Telegram, Webhook
from cleaning_service_monitor.messages import RESOLVED, TEST, Message

TIMEOUT = 10.0  # seconds for one delivery: the name, the connection, TLS and the last byte
MAX_HOLD = 3600.0  # seconds that a server may ask us to wait

_MAX_TELEGRAM = 4096  # UTF-16 code units: https://core.telegram.org/bots/api#sendmessage
_MAX_NTFY = 4096  # bytes; more becomes an attachment: https://docs.ntfy.sh/publish/#limitations
_MAX_ANSWER = 16 * 1024  # bytes that are read of an answer
_REFUSALS = (400, 413, 422)  # it is this message that the server does not want
_FINAL_REPLY = 500  # an SMTP reply from here on says that trying again will not help
_JSON = {"Content-Type": "application/json"}
_TEXT = {"Content-Type": "text/plain; charset=utf-8"}
_PRIORITIES = {"info": "3", "warning": "4", "critical": "5"}  # https://docs.ntfy.sh/publish/#message-priority
_APPRISE_TYPES = {"info": "info", "warning": "warning", "critical": "failure"}
_JSON_KEYS = ("id", "kind", "incident", "component", "severity", "at")
_JSON_INCIDENT_KEYS = ("cause", "began", "ended", "steps", "evidence")


class DeliveryError(Exception):
    """A message was not delivered; the text is a sentence without secrets.

    Args:
        reason: the sentence.
        refused: it is this message that the other side does not want; others may get through.
        retry_after: seconds for which the other side asked to be left alone; 0 where it did not.
    """

    def __init__(self, reason: str, *, refused: bool = False, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.refused = refused
        self.retry_after = retry_after


@dataclass(frozen=True)
class Channel:
    """One way to a person.

    `key` tells it from others in the spool, and changes with its address; `label` and `host` are for people. `send`
    returns a remark, mostly empty, and raises `DeliveryError`.
    """

    key: str = field(repr=False)
    label: str
    host: str
    send: Callable[[Message], str] = field(repr=False)

    @property
    def name(self) -> str:
        """What is logged."""
        return f"{self.label} ({self.host})"


def channels(settings: AlertSettings) -> list[Channel]:
    """Return all that are configured."""
    found = []
    if telegram := settings.telegram:
        key = _key("telegram", telegram.url, telegram.token, telegram.chat_id)
        host = urlsplit(telegram.url).hostname or ""
        found.append(Channel(key, "telegram", host, lambda message: _telegram(settings, telegram, message)))
    if smtp := settings.smtp:
        key = _key("smtp", smtp.host, *smtp.recipients)
        found.append(Channel(key, "smtp", smtp.host, lambda message: _mail(settings, smtp, message)))
    for number, webhook in enumerate(settings.webhooks, 1):
        found.append(_webhook_channel(settings, webhook, number))
    for number, url in enumerate(settings.apprise, 1):
        found.append(_apprise_channel(url, number))
    return found


def beat(settings: AlertSettings) -> None:
    """Tell the dead man's switch that the monitor lives.

    Raises:
        DeliveryError: it does not know it now.
    """
    _check(_ask(settings, settings.heartbeat_url, None, {}))


def heartbeat_host(settings: AlertSettings) -> str:
    """Return what may be logged of the heartbeat's URL."""
    return urlsplit(settings.heartbeat_url).hostname or ""


def _webhook_channel(settings: AlertSettings, webhook: Webhook, number: int) -> Channel:
    host = urlsplit(webhook.url).hostname or ""
    key = _key("webhook", webhook.url, webhook.format)
    return Channel(key, f"webhook-{number}", host, lambda message: _webhook(settings, webhook, message))


def _apprise_channel(url: str, number: int) -> Channel:
    # Only the scheme is told: what stands for the host is, with many services, a token.
    scheme = url.partition("://")[0]
    return Channel(_key("apprise", url), f"apprise-{number}", scheme, lambda message: _apprise(url, message))


def _key(kind: str, *address: str) -> str:
    return f"{kind}-{hashlib.sha256(json.dumps(address).encode()).hexdigest()[:12]}"


# What each of them wants.


def _telegram(settings: AlertSettings, telegram: Telegram, message: Message) -> str:
    text = _cut(f"{message['subject']}\n\n{message['text']}", _MAX_TELEGRAM, "utf-16-le", unit=2)
    body = {"chat_id": telegram.chat_id, "text": text, "disable_web_page_preview": True}
    answer = _ask(settings, f"{telegram.url}/bot{telegram.token}/sendMessage", json.dumps(body).encode(), _JSON)
    hints = {
        400: "is alerts.telegram.chat_id right?",
        401: "is alerts.telegram.token right?",
        403: "the bot may not write to the chat",
        404: "is alerts.telegram.token right?",
    }
    if not answer.retry_after:
        answer.retry_after = _retry_of_telegram(answer.body)
    _check(answer, hints.get(answer.status, ""))
    return ""


def _webhook(settings: AlertSettings, webhook: Webhook, message: Message) -> str:
    url, headers, body = webhook.url, dict(_TEXT), b""
    if webhook.format == "json":
        headers, body = _JSON, json.dumps(_as_json(settings, message)).encode()
    elif webhook.format == "slack":
        text = f"*{_slack(message['subject'])}*\n{_slack(message['text'])}"
        headers, body = _JSON, json.dumps({"text": text}).encode()
    elif webhook.format == "ntfy":
        headers["Title"] = message["subject"].encode("ascii", "replace").decode()
        headers["Priority"] = _PRIORITIES.get(message["severity"], "3")
        body = _cut(message["text"], _MAX_NTFY, "utf-8").encode()
    else:
        url = _healthchecks(url, message["kind"])
        body = f"{message['subject']}\n\n{message['text']}".encode()
    _check(_ask(settings, url, body, headers))
    return ""


def _as_json(settings: AlertSettings, message: Message) -> dict[str, object]:
    incident = message["incident_data"]
    return {
        **{key: message[key] for key in _JSON_KEYS},
        "host": settings.host,
        "subject": message["subject"],
        "text": message["text"],
        **{key: incident.get(key) for key in _JSON_INCIDENT_KEYS},
    }


def _slack(text: str) -> str:
    """Escape what Slack reads as links: https://docs.slack.dev/messaging/formatting-message-text#escaping."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _healthchecks(url: str, kind: str) -> str:
    """Return the URL for a kind of message: https://healthchecks.io/docs/http_api/."""
    parts = urlsplit(url)
    ending = {RESOLVED: "", TEST: "/log"}.get(kind, "/fail")
    return parts._replace(path=parts.path.rstrip("/") + ending).geturl()


def _mail(settings: AlertSettings, smtp: Smtp, message: Message) -> str:
    stage = ["the greeting"]
    try:
        with _connected(smtp.host, smtp.port) as connection:
            refused = _submit(settings, smtp, _as_mail(settings, smtp, message), connection, stage)
    except smtplib.SMTPRecipientsRefused as error:
        code = min(code for code, _ in error.recipients.values())
        raise DeliveryError(f"the server refused all recipients ({code})", refused=_final(code)) from None
    except smtplib.SMTPResponseException as error:
        what = "the sender" if isinstance(error, smtplib.SMTPSenderRefused) else stage[-1]
        unwanted = isinstance(error, smtplib.SMTPDataError) and _final(error.smtp_code)
        raise DeliveryError(f"the server refused {what} ({error.smtp_code})", refused=unwanted) from None
    except smtplib.SMTPNotSupportedError:
        raise DeliveryError(f"the server does not support {stage[-1]}") from None
    except smtplib.SMTPException as error:
        raise DeliveryError(f"it broke off at {stage[-1]} ({type(error).__name__})") from None
    except (OSError, ValueError) as error:
        raise DeliveryError(_reason(error)) from None
    return f"the server refused {len(refused)} of {len(smtp.recipients)} recipients" if refused else ""


def _submit(
    settings: AlertSettings, smtp: Smtp, mail: bytes, connection: socket.socket, stage: list[str]
) -> dict[str, tuple[int, bytes]]:
    """Hand a mail to a server; `stage` is told how far it came. Returns the recipients that were refused."""
    if smtp.security == "tls":
        connection = _trust(settings.ca_file).wrap_socket(connection, server_hostname=smtp.host)
    with contextlib.closing(_MailServer(smtp.host, connection)) as server:
        server.ehlo_or_helo_if_needed()
        if smtp.security == "starttls":
            stage.append("STARTTLS")
            server.starttls(context=_trust(settings.ca_file))
        if smtp.username:
            stage.append("the username or the password")
            server.login(smtp.username, smtp.password)
        stage.append("the message")
        refused = server.sendmail(smtp.sender, smtp.recipients, mail)
        with contextlib.suppress(OSError):  # it has the mail; what it says to our leave does not matter
            server.quit()
    return refused


class _MailServer(smtplib.SMTP):
    """A mail server behind a connection that is there already."""

    def __init__(self, host: str, connection: socket.socket) -> None:
        self._connection = connection
        name = socket.gethostname()
        # The library would ask the resolver for our name, for as long as that takes.
        us = name if name.isascii() and name.replace("-", "").replace(".", "").isalnum() else "[127.0.0.1]"
        try:
            super().__init__(host, smtplib.SMTP_PORT, local_hostname=us, timeout=TIMEOUT)
        except BaseException:
            connection.close()
            raise

    def _get_socket(self, _host: str, _port: int, _timeout: float) -> socket.socket:
        return self._connection


def _as_mail(settings: AlertSettings, smtp: Smtp, message: Message) -> bytes:
    mail = EmailMessage(SMTP)
    mail["From"], mail["To"], mail["Subject"] = smtp.sender, ", ".join(smtp.recipients), message["subject"]
    mail["Date"] = format_datetime(datetime.fromtimestamp(message["at"], timezone.utc))
    mail["Auto-Submitted"] = "auto-generated"
    # The same for the same message: a mail program shows one that had to be sent twice only once. The reference
    # keeps the mails of an incident together.
    mail["Message-ID"] = _message_id(settings, smtp, message["id"])
    if message["incident"]:
        mail["References"] = _message_id(settings, smtp, message["incident"])
    mail.set_content(message["text"], cte="quoted-printable")
    return mail.as_bytes()


def _message_id(settings: AlertSettings, smtp: Smtp, identifier: str) -> str:
    digest = hashlib.sha256(f"{settings.host} {identifier}".encode()).hexdigest()[:24]
    return f"<{digest}@{smtp.sender.rpartition('@')[2]}>"


def _final(code: int) -> bool:
    return code >= _FINAL_REPLY


def _apprise(url: str, message: Message) -> str:
    program = shutil.which("apprise")
    if not program:
        raise DeliveryError("the command `apprise` is not installed")
    # The URL is a secret: an environment is readable by the process's owner only, a command line by everybody.
    # Nothing else is inherited, so neither a proxy nor a configuration of somebody else is used.
    environment = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "LC_ALL") if key in os.environ}
    kind = _APPRISE_TYPES.get(message["severity"], "info") if message["kind"] != RESOLVED else "success"
    try:
        process = subprocess.Popen(
            [program, "--title", message["subject"], "--notification-type", kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,  # it may repeat the URL
            stderr=subprocess.DEVNULL,
            env={**environment, "APPRISE_URLS": url},
        )
        with process:
            try:
                process.communicate(message["text"].encode(), timeout=TIMEOUT)
            except subprocess.TimeoutExpired:
                raise TimeoutError from None
            finally:
                process.kill()
    except OSError as error:
        raise DeliveryError(_reason(error)) from None
    if process.returncode:
        raise DeliveryError(f"`apprise` ended with {process.returncode}")
    return ""


# HTTP, and connections that end in time.


@dataclass
class _Answer:
    status: int
    retry_after: float
    body: bytes


def _ask(settings: AlertSettings, url: str, body: bytes | None, headers: dict[str, str]) -> _Answer:
    """Send one request and read the answer as far as it matters: GET without a body, else POST.

    Raises:
        DeliveryError: there was none in time.
    """
    parts = urlsplit(url)
    secure, host = parts.scheme == "https", parts.hostname or ""
    http_connection = http.client.HTTPConnection("localhost")
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    try:
        with _connected(host, parts.port or (443 if secure else 80)) as plain, contextlib.closing(http_connection):
            trust = _trust(settings.ca_file) if secure else None
            http_connection.sock = trust.wrap_socket(plain, server_hostname=host) if trust else plain
            method = "GET" if body is None else "POST"
            http_connection.request(method, path, body, {**_headers(parts), **headers})
            with http_connection.getresponse() as response:
                answer = _Answer(response.status, _retry_after(response.headers.get("Retry-After", "")), b"")
                if not _is_success(answer):
                    with contextlib.suppress(OSError, http.client.HTTPException):
                        answer.body = response.read(_MAX_ANSWER)
                return answer
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise DeliveryError(_reason(error)) from None


def _headers(parts: SplitResult) -> dict[str, str]:
    host = parts.netloc.rpartition("@")[2]
    headers = {"Host": host, "User-Agent": "cleaning-service-monitor", "Connection": "close"}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
    return headers


def _check(answer: _Answer, hint: str = "") -> None:
    if _is_success(answer):
        return
    phrase = http.client.responses.get(answer.status, "")  # not the server's own, which could be anything
    if not hint and answer.status in range(300, 400):
        hint = "the URL must be the one that it redirects to"
    told = f" {phrase}" if phrase else ""
    raise DeliveryError(
        f"it answered {answer.status}{told}{': ' if hint else ''}{hint}",
        refused=answer.status in _REFUSALS,
        retry_after=answer.retry_after,
    )


def _is_success(answer: _Answer) -> bool:
    return answer.status in range(200, 300)


def _retry_after(value: str) -> float:
    """Read the header: seconds, or a date. 0 where it says nothing usable."""
    try:
        seconds = float(value) if value.isdigit() else parsedate_to_datetime(value).timestamp() - time.time()
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), MAX_HOLD)


def _retry_of_telegram(body: bytes) -> float:
    """Read `parameters.retry_after`: https://core.telegram.org/bots/api#responseparameters."""
    try:
        return _retry_after(str(json.loads(body)["parameters"]["retry_after"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0.0


@contextlib.contextmanager
def _connected(host: str, port: int) -> Iterator[socket.socket]:
    """Connect, and end everything on the connection at the deadline.

    A socket's own time-out bounds each operation only; a server that drips would hold us for as long as it likes.
    So a second handle on the connection hangs up at the deadline, whatever library is at work on the first.

    Raises:
        TimeoutError: the deadline has come.
        OSError: it cannot be connected, or broke.
    """
    deadline = time.monotonic() + TIMEOUT
    connection = _dial(host, port, deadline)
    handle = connection.dup()
    timer = threading.Timer(max(0.0, deadline - time.monotonic()), _hang_up, [handle])
    timer.daemon = True
    try:
        timer.start()
        yield connection
    except (OSError, ValueError, http.client.HTTPException):
        if time.monotonic() >= deadline:
            raise TimeoutError from None
        raise
    finally:
        timer.cancel()
        handle.close()
        connection.close()


def _hang_up(handle: socket.socket) -> None:
    with contextlib.suppress(OSError):
        handle.shutdown(socket.SHUT_RDWR)


def _dial(host: str, port: int, deadline: float) -> socket.socket:
    addresses = _resolve(host, port, deadline)
    trouble: OSError = TimeoutError()
    for tried, (family, address) in enumerate(addresses):
        connection = socket.socket(family, socket.SOCK_STREAM)
        # An address that swallows packets, such as IPv6 behind many routers, must leave time for the others.
        connection.settimeout(max(0.001, (deadline - time.monotonic()) / (len(addresses) - tried)))
        try:
            connection.connect(address)
        except OSError as error:
            connection.close()
            trouble = error
            continue
        connection.settimeout(TIMEOUT)
        return connection
    raise trouble


def _resolve(host: str, port: int, deadline: float) -> list[tuple[socket.AddressFamily, tuple[object, ...]]]:
    """Look up a name, in a thread: a resolver's own time-outs are not ours to set, and cannot be interrupted."""
    found: list[tuple[socket.AddressFamily, tuple[object, ...]]] = []
    trouble: list[Exception] = []

    def look_up() -> None:
        try:
            found.extend((each[0], each[4]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, ValueError) as error:
            trouble.append(error)

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(max(0.0, deadline - time.monotonic()))
    if trouble:
        raise trouble[0]
    if not found:
        raise TimeoutError
    return list(found)


def _trust(ca_file: str) -> ssl.SSLContext:
    """Return what checks a server's certificate.

    Raises:
        DeliveryError: the file cannot be used.
    """
    context = ssl.create_default_context()
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except OSError:
            raise DeliveryError("the certificates of alerts.ca_file cannot be read") from None
    return context


def _reason(error: Exception) -> str:
    """Say why, in words that are ours or the system's."""
    kind = type(error).__name__
    reasons: list[tuple[type[Exception], str]] = [
        (TimeoutError, f"no answer within {TIMEOUT:g} s"),
        (ssl.SSLCertVerificationError, f"its certificate is not trusted: {getattr(error, 'verify_message', '')}"),
        (ssl.SSLError, "there is no TLS at the other end, or none that both understand"),
        (socket.gaierror, "its name cannot be resolved"),
        (http.client.RemoteDisconnected, "it closed the connection without an answer"),
        (http.client.HTTPException, f"the answer is not HTTP ({kind})"),
    ]
    for known, reason in reasons:
        if isinstance(error, known):
            return reason
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number).lower() if number else f"it failed ({kind})"


def _cut(text: str, length: int, encoding: str, *, unit: int = 1) -> str:
    """Shorten a text to a number of units of an encoding; `unit` is the size of one in bytes."""
    data = text.encode(encoding, "replace")
    if len(data) <= length * unit:
        return text
    return data[: (length - 3) * unit].decode(encoding, "ignore") + "..."
