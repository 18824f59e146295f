"""The `alerts` object of the configuration, checked completely on reading."""

import socket
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cleaning_service_monitor.checks import Section, SettingError, is_plain

SECURITIES = ("starttls", "tls", "none")
FORMATS = ("json", "slack", "ntfy", "healthchecks")
HEARTBEAT = "heartbeat"

_TELEGRAM_URL = "https://api.telegram.org"
_MAX_TARGETS = 10  # webhooks, Apprise URLs, recipients: each channel has a thread of its own
_KEYS = {"host_name", "reminder_interval", "telegram", "smtp", "webhooks", "urls", "apprise_urls", "heartbeat_url"}


@dataclass(frozen=True)
class Smtp:
    """A mail server, the sender and the recipients; without a username there is no login."""

    host: str
    port: int
    security: str
    username: str
    password: str = field(repr=False)
    sender: str
    recipients: tuple[str, ...]


@dataclass(frozen=True)
class Channel:
    """One way to a person, or to the dead man's switch.

    `label` is its name in the spool, such as `webhook-1`; `kind` is telegram, smtp, apprise, heartbeat or a webhook's
    format. `host` may be logged; `url` is a secret, as whoever knows it can send there.
    """

    label: str
    kind: str
    host: str
    url: str = field(default="", repr=False)
    chat_id: str = ""
    smtp: Smtp | None = None

    @property
    def name(self) -> str:
        """Its name in the log."""
        return f"{self.label} ({self.host})"


@dataclass(frozen=True)
class AlertSettings:
    """All settings of alerts: the name in messages, seconds between reminders, the channels with the heartbeat."""

    host: str
    reminder_interval: float = 3600.0
    channels: tuple[Channel, ...] = ()


def parse(raw: object) -> AlertSettings:
    """Check the `alerts` object.

    Args:
        raw: the object from the JSON file; None where it is missing.

    Raises:
        SettingError: a key is wrong.
    """
    values = Section.read({} if raw is None else raw, "alerts", _KEYS)
    channels = [*_telegram(values.values.get("telegram")), *_smtp(values.values.get("smtp"))]
    for number, (entry, name) in enumerate(values.entries("webhooks", _MAX_TARGETS), 1):
        webhook = Section.read(entry, name, {"url", "format"})
        url, form = webhook.web_url("url"), webhook.choice("format", "json", FORMATS)
        channels.append(Channel(f"webhook-{number}", form, str(urlsplit(url).hostname), url))
    urls = [*values.entries("urls", _MAX_TARGETS), *values.entries("apprise_urls", _MAX_TARGETS)]
    channels += [_apprise(entry, name, f"apprise-{number}") for number, (entry, name) in enumerate(urls, 1)]
    if values.values.get("heartbeat_url") not in (None, ""):
        url = values.web_url("heartbeat_url")
        channels.append(Channel(HEARTBEAT, HEARTBEAT, str(urlsplit(url).hostname), url))
    return AlertSettings(
        host=values.optional_text("host_name", ascii_only=False) or socket.gethostname(),
        reminder_interval=values.number("reminder_interval", AlertSettings.reminder_interval, 60, 7 * 86400),
        channels=tuple(channels),
    )


def _telegram(raw: object) -> list[Channel]:
    values = Section.read({} if raw is None else raw, "alerts.telegram", {"token", "chat_id"})
    chat = values.values.get("chat_id")
    if isinstance(chat, int) and not isinstance(chat, bool):
        values = Section({**values.values, "chat_id": str(chat)}, values.path)
    if not (values.values.get("token") or values.values.get("chat_id")):
        return []
    token = values.text("token", "the token that @BotFather gave, such as 123456:ABC-DEF")
    if not all(letter.isalnum() or letter in ":_-" for letter in token):
        values.refuse("token", "must have letters, digits and `:`, `_`, `-` only, as @BotFather gave it.")
    chat_id = values.text("chat_id", "the number of the chat, such as -1001234567890, or @channelname")
    if " " in chat_id:
        values.refuse("chat_id", "must be the number of the chat, such as -1001234567890, or @channelname.")
    url = f"{_TELEGRAM_URL}/bot{token}/sendMessage"
    return [Channel("telegram", "telegram", str(urlsplit(url).hostname), url, chat_id)]


def _smtp(raw: object) -> list[Channel]:
    """Return the mail server; none without recipients. What is given is checked all the same."""
    known = {"host", "port", "security", "username", "password", "from", "to"}
    values = Section.read({} if raw is None else raw, "alerts.smtp", known)
    security = values.choice("security", "starttls", SECURITIES)
    port = values.port("port", {"starttls": 587, "tls": 465, "none": 25}[security])
    host, username, password = (values.optional_host("host"), *map(values.optional_text, ("username", "password")))
    sender = values.mail_address("from") if values.values.get("from") not in (None, "") else ""
    places = [(Section({name: entry}), name) for entry, name in values.entries("to", _MAX_TARGETS)]
    recipients = tuple(section.mail_address(name) for section, name in places)
    if not recipients:
        return []
    if not host:
        values.refuse("host", "must be the mail server's name or address when there are recipients.")
    if not sender:
        values.refuse("from", "must be the sender's e-mail address when there are recipients.")
    if bool(username) != bool(password):
        missing, given = ("password", "username") if username else ("username", "password")
        values.refuse(missing, f"must be given when the {given} is.")
    if username and security == "none" and host not in ("localhost", "127.0.0.1", "::1"):
        values.refuse("security", "must be starttls or tls, or the password would cross in the clear.")
    return [Channel("smtp", "smtp", host, smtp=Smtp(host, port, security, username, password, sender, recipients))]


def _apprise(raw: object, where: str, label: str) -> Channel:
    """Check the form of an Apprise URL; `cleaning-service-monitor check-config` asks Apprise itself, on the host."""
    scheme, separator, _ = raw.partition("://") if is_plain(raw) else ("", "", "")
    if not is_plain(raw) or " " in raw or not separator or not scheme.isalnum():
        raise SettingError(where, "must be an Apprise URL, such as discord://webhook_id/webhook_token.")
    return Channel(label, "apprise", scheme, raw)  # with many services, the place of the host holds a token
