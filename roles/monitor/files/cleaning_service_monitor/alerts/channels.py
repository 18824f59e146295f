"""Delivery of one message on one channel; loaded in the child process only.

Webhooks, Telegram and e-mail use the standard library, all other services Apprise (docs/decisions.md). No failure
repeats a secret: its sentence is made here, and the words of a server, which may repeat ours, are never quoted.
"""

import contextlib
import hashlib
import http.client
import json
import logging
import os
import smtplib
import socket
import ssl
from base64 import b64encode
from datetime import datetime, timezone
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any, cast
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit

from cleaning_service_monitor.alerts.settings import HEARTBEAT, Channel, Smtp
from cleaning_service_monitor.messages import RESOLVED, TEST, Message

TIMEOUT = 8.0  # seconds for each step of a delivery; `child.DEADLINE` bounds the whole
_MAX_TELEGRAM = 2 * 4096  # bytes of UTF-16: https://core.telegram.org/bots/api#sendmessage
_MAX_NTFY = 4096  # bytes; more becomes an attachment: https://docs.ntfy.sh/publish/#limitations
_REFUSALS = (400, 413, 422)  # the server refuses this message, not all of them
# A severity's priority for ntfy (https://docs.ntfy.sh/publish/#message-priority), and its type for Apprise.
_SEVERITIES = {"info": ("3", "info"), "warning": ("4", "warning"), "critical": ("5", "failure")}
_SMTP_REFUSALS: dict[type, str] = {
    smtplib.SMTPAuthenticationError: "the username or the password",
    smtplib.SMTPDataError: "the message",
    smtplib.SMTPNotSupportedError: "STARTTLS or the login",
    smtplib.SMTPRecipientsRefused: "all recipients",
    smtplib.SMTPSenderRefused: "the sender",
}
_FINAL_REPLY = 500  # an SMTP reply from here on says that trying again will not help


class DeliveryError(Exception):
    """A message was not delivered: a sentence without secrets. Where it was `refused`, others may get through."""

    def __init__(self, sentence: str, *, refused: bool = False) -> None:
        super().__init__(sentence)
        self.refused = refused


def send(channel: Channel, message: Message, host: str) -> str:
    """Deliver a message from this host, or raise a DeliveryError; returns a remark, mostly empty."""
    if channel.smtp:
        return _mail(channel.smtp, message, host)
    if channel.kind == "apprise":
        _apprise(channel.url, message)
    else:
        _ask(*_as_request(channel, message, host))
    return ""


def _ask(url: str, body: bytes | None, headers: dict[str, str]) -> None:
    """Send one HTTP request, a GET without a body, and expect a success."""
    parts = urlsplit(url)
    headers = {"User-Agent": "cleaning-service-monitor", "Content-Type": "text/plain; charset=utf-8", **headers}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
        url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    opener = request.build_opener(request.ProxyHandler({}), _NoRedirect)
    try:
        opener.open(request.Request(url, body, headers), timeout=TIMEOUT).close()  # noqa: S310
    except HTTPError as error:
        error.close()
        hint = ": the URL must be the one that it redirects to" if error.code in range(300, 400) else ""
        sentence = f"it answered {error.code} {http.client.responses.get(error.code, '')}".rstrip() + hint
        raise DeliveryError(sentence, refused=error.code in _REFUSALS) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise DeliveryError(_reason(error)) from None


class _NoRedirect(request.HTTPRedirectHandler):
    """Lets a redirect fail: following it would turn the POST into a GET."""

    def redirect_request(self, *_: object) -> None:
        """Return no request."""


def _as_request(channel: Channel, message: Message, host: str) -> tuple[str, bytes | None, dict[str, str]]:
    """Return the URL, the body and the headers for a webhook's format, Telegram or the heartbeat."""
    if channel.kind == HEARTBEAT:
        return channel.url, None, {}
    url, subject, text = channel.url, message["subject"], message["text"]
    if channel.kind == "ntfy":
        headers = {
            "Title": subject.encode("ascii", "replace").decode(),
            "Priority": _SEVERITIES[message["severity"]][0],
        }
        return url, _cut(text, _MAX_NTFY, "utf-8").encode(), headers
    if channel.kind == "healthchecks":  # https://healthchecks.io/docs/http_api/
        parts, ending = urlsplit(url), {RESOLVED: "", TEST: "/log"}.get(message["kind"], "/fail")
        return parts._replace(path=parts.path.rstrip("/") + ending).geturl(), f"{subject}\n\n{text}".encode(), {}
    body: dict[str, object]
    if channel.kind == "telegram":
        text = _cut(f"{subject}\n\n{text}", _MAX_TELEGRAM, "utf-16-le")
        body = {"chat_id": channel.chat_id, "text": text, "disable_web_page_preview": True}
    elif channel.kind == "slack":  # https://docs.slack.dev/messaging/formatting-message-text#escaping
        body = {"text": f"*{subject}*\n{text}".replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}
    else:
        body = {key: value for key, value in message.items() if key != "incident_data"} | {"host": host}
        body |= {key: message["incident_data"].get(key) for key in ("cause", "began", "ended", "steps", "evidence")}
    return url, json.dumps(body).encode(), {"Content-Type": "application/json"}


def _mail(smtp: Smtp, message: Message, host: str) -> str:
    trust, us = ssl.create_default_context(), socket.gethostname()  # the library would ask the resolver for our name
    try:
        if smtp.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(smtp.host, smtp.port, us, timeout=TIMEOUT, context=trust)
        else:
            server = smtplib.SMTP(smtp.host, smtp.port, us, timeout=TIMEOUT)
        with contextlib.closing(server):
            if smtp.security == "starttls":
                server.starttls(context=trust)
            if smtp.username:
                server.login(smtp.username, smtp.password)
            refused = server.send_message(_as_mail(smtp, message, host), smtp.sender, smtp.recipients)
            with contextlib.suppress(OSError):  # the server has the mail, whatever it answers now
                server.quit()
    except smtplib.SMTPServerDisconnected as error:
        raise DeliveryError(_reason(error.__context__ or error)) from None  # the library hides a time-out
    except smtplib.SMTPException as error:
        part, recipients = _SMTP_REFUSALS.get(type(error), "the connection"), getattr(error, "recipients", {})
        code = min((code for code, _ in recipients.values()), default=getattr(error, "smtp_code", 0))
        final = part in ("all recipients", "the message") and code >= _FINAL_REPLY
        raise DeliveryError(f"the server refused {part} ({code or type(error).__name__})", refused=final) from None
    except (OSError, ValueError) as error:
        raise DeliveryError(_reason(error)) from None
    return f"the server refused {len(refused)} of {len(smtp.recipients)} recipients" if refused else ""


def _as_mail(smtp: Smtp, message: Message, host: str) -> EmailMessage:
    def identifier(name: str) -> str:
        return f"<{hashlib.sha256(f'{host} {name}'.encode()).hexdigest()[:24]}@{smtp.sender.rpartition('@')[2]}>"

    mail = EmailMessage(SMTP)
    mail["From"], mail["To"], mail["Subject"] = smtp.sender, ", ".join(smtp.recipients), message["subject"]
    mail["Date"] = format_datetime(datetime.fromtimestamp(message["at"], timezone.utc))
    mail["Auto-Submitted"] = "auto-generated"
    # A mail program shows a message that had to be sent twice once, and keeps the mails of an incident together.
    mail["Message-ID"] = identifier(message["id"])
    if message["incident"]:
        mail["References"] = identifier(message["incident"])
    mail.set_content(message["text"], cte="quoted-printable")
    return mail


def apprise_target(url: str) -> Any:  # noqa: ANN401 - Apprise has no types everywhere
    """Have Apprise read a URL; returns None where it knows no such service."""
    import apprise  # noqa: PLC0415 - 30 MB, and installed only where it is used

    logging.getLogger("apprise").disabled = True  # what it logs repeats the URL
    # Apprise leaves it to smtplib to check a mail server's certificate, which does not.
    ssl._create_stdlib_context = lambda **_: ssl.create_default_context()  # type: ignore[attr-defined]  # noqa: SLF001
    target, service = apprise.Apprise(), cast("Any", apprise.Apprise.instantiate(url))
    if service and "overflow=" not in url:
        service.overflow_mode = apprise.OverflowMode.SPLIT  # else a text that is too long for a service is refused
    return target if target.add(service) else None


def _apprise(url: str, message: Message) -> None:
    target = apprise_target(url)
    kind = "success" if message["kind"] == RESOLVED else _SEVERITIES[message["severity"]][1]
    if not target or not target.notify(message["text"], message["subject"], kind, body_format="text"):
        raise DeliveryError("Apprise could not deliver it", refused=True)  # or the service: Apprise does not say which


def _reason(error: BaseException) -> str:
    """Return the cause in our words or the system's."""
    if isinstance(error, URLError) and isinstance(error.reason, Exception):
        return _reason(error.reason)
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, socket.gaierror):
        return "its name cannot be resolved"
    if isinstance(error, OSError) and error.errno and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno).lower()
    return f"it failed ({type(error).__name__})"


def _cut(text: str, length: int, encoding: str) -> str:
    """Shorten a text to a number of bytes of an encoding."""
    return text.encode(encoding, "replace")[:length].decode(encoding, "ignore")
