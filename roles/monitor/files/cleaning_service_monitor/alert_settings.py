"""Who is told, and how: the `alerts` object of the configuration, checked completely on reading."""

import socket
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from cleaning_service_monitor.checks import Section, SettingError, is_plain

SECURITIES = ("starttls", "tls", "none")
FORMATS = ("json", "slack", "ntfy", "healthchecks")

_TELEGRAM_URL = "https://api.telegram.org"
_MAX_TARGETS = 10  # webhooks, Apprise URLs, recipients: each delivery has a thread of its own
_SHORTEST_REMINDER, _LONGEST_REMINDER = 60.0, 7 * 86400.0  # seconds
_KEYS = {"host_name", "reminder_interval", "telegram", "smtp", "webhooks", "apprise_urls", "heartbeat_url", "ca_file"}
_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Telegram:
    """A bot and the chat that it writes to; `url` is the Bot API's."""

    token: str = field(repr=False)
    chat_id: str
    url: str


@dataclass(frozen=True)
class Smtp:
    """A mail server, and between whom mail goes; without a username nobody logs in."""

    host: str
    port: int
    security: str
    username: str
    password: str = field(repr=False)
    sender: str
    recipients: tuple[str, ...]


@dataclass(frozen=True)
class Webhook:
    """A URL that is POSTed to. It is a secret: whoever knows it can post."""

    url: str = field(repr=False)
    format: str


@dataclass(frozen=True)
class AlertSettings:
    """All that alerts need; by default nobody is told.

    `host` is the name shown in messages, `reminder_interval` is in seconds, `ca_file` names certificates that are
    trusted besides the system's.
    """

    host: str
    reminder_interval: float = 3600.0
    telegram: Telegram | None = None
    smtp: Smtp | None = None
    webhooks: tuple[Webhook, ...] = ()
    apprise: tuple[str, ...] = field(default=(), repr=False)
    heartbeat_url: str = field(default="", repr=False)
    ca_file: str = ""

    @property
    def tells_anybody(self) -> bool:
        """Whether there is a channel for messages; the heartbeat is none."""
        return bool(self.telegram or self.smtp or self.webhooks or self.apprise)


def parse(raw: object) -> AlertSettings:
    """Check the `alerts` object.

    Args:
        raw: what the JSON file has there; None where it has nothing.

    Raises:
        SettingError: a key is wrong.
    """
    values = Section.read({} if raw is None else raw, "alerts", _KEYS)
    heartbeat = values.values.get("heartbeat_url")
    return AlertSettings(
        host=values.optional_text("host_name", ascii_only=False) or socket.gethostname(),
        reminder_interval=values.number(
            "reminder_interval", AlertSettings.reminder_interval, _SHORTEST_REMINDER, _LONGEST_REMINDER
        ),
        telegram=_telegram(values.values.get("telegram")),
        smtp=_smtp(values.values.get("smtp")),
        webhooks=tuple(_webhook(entry, name) for entry, name in values.entries("webhooks", _MAX_TARGETS)),
        apprise=tuple(_apprise(entry, name) for entry, name in values.entries("apprise_urls", _MAX_TARGETS)),
        heartbeat_url="" if heartbeat in (None, "") else _web_url(heartbeat, values.name("heartbeat_url")),
        ca_file=values.optional_path_name("ca_file"),
    )


def _telegram(raw: object) -> Telegram | None:
    """Return the bot; none where neither a token nor a chat is given."""
    values = Section.read({} if raw is None else raw, "alerts.telegram", {"token", "chat_id", "url"})
    chat = values.values.get("chat_id")
    if isinstance(chat, int) and not isinstance(chat, bool):
        values = Section({**values.values, "chat_id": str(chat)}, values.path)
    if not (values.values.get("token") or values.values.get("chat_id")):
        return None
    token = values.text("token", "the token that @BotFather gave, such as 123456:ABC-DEF")
    if not all(letter.isalnum() or letter in ":_-" for letter in token):
        values.refuse("token", "must have letters, digits and `:`, `_`, `-` only, as @BotFather gave it.")
    chat_id = values.text("chat_id", "the number of the chat, such as -1001234567890, or @channelname")
    if " " in chat_id:
        values.refuse("chat_id", "must be the number of the chat, such as -1001234567890, or @channelname.")
    url = _web_url(values.values.get("url") or _TELEGRAM_URL, values.name("url"), bare=True)
    return Telegram(token, chat_id, url.rstrip("/"))


def _smtp(raw: object) -> Smtp | None:
    """Return the mail server; none where nobody gets mail. What is given is checked all the same."""
    known = {"host", "port", "security", "username", "password", "from", "to"}
    values = Section.read({} if raw is None else raw, "alerts.smtp", known)
    security = values.choice("security", "starttls", SECURITIES)
    port = values.port("port", {"starttls": 587, "tls": 465, "none": 25}[security])
    host, sender = values.optional_host("host"), values.values.get("from")
    username, password = values.optional_text("username"), values.optional_text("password")
    if sender not in (None, ""):
        sender = _address(sender, values.name("from"))
    recipients = tuple(_address(entry, name) for entry, name in values.entries("to", _MAX_TARGETS))
    if not recipients:
        return None
    if not host:
        values.refuse("host", "must be the mail server's name or address when there are recipients.")
    if not sender:
        values.refuse("from", "must be the sender's e-mail address when there are recipients.")
    if bool(username) != bool(password):
        missing, given = ("password", "username") if username else ("username", "password")
        values.refuse(missing, f"must be given when the {given} is.")
    if username and security == "none" and host not in _LOCAL:
        values.refuse("security", "must be starttls or tls, or the password would cross in the clear.")
    return Smtp(host, port, security, username, password, str(sender), recipients)


def _webhook(raw: object, where: str) -> Webhook:
    values = Section.read(raw, where, {"url", "format"})
    return Webhook(_web_url(values.values.get("url"), values.name("url")), values.choice("format", "json", FORMATS))


def _apprise(raw: object, where: str) -> str:
    if not is_plain(raw) or " " in raw or "://" not in raw or not raw.partition("://")[0].isalnum():
        raise SettingError(where, "must be an Apprise URL, such as discord://webhook_id/webhook_token.")
    return raw


def _web_url(raw: object, where: str, *, bare: bool = False) -> str:
    complaint = "must be a URL such as https://alerts.example.org/path, without spaces and without a fragment."
    if bare:
        complaint = f"must be a URL without a query, such as {_TELEGRAM_URL}."
    if not is_plain(raw) or " " in raw:
        raise SettingError(where, complaint)
    try:
        parts = urlsplit(raw)
        usable = parts.scheme in ("http", "https") and _has_server(parts) and not parts.fragment
    except ValueError:
        raise SettingError(where, complaint) from None  # the reason would repeat a part of the URL
    if not usable or (bare and (parts.query or "@" in parts.netloc)):
        raise SettingError(where, complaint)
    return raw


def _has_server(parts: SplitResult) -> bool:
    return bool(parts.hostname) and parts.port != 0


def _address(raw: object, where: str) -> str:
    """Return an address that an SMTP envelope can hold: without a name beside it."""
    if not is_plain(raw) or any(letter in raw for letter in ' ,;:"()<>[]\\') or not _has_two_parts(raw):
        raise SettingError(where, "must be an e-mail address alone, such as operator@example.org.")
    return raw


def _has_two_parts(address: str) -> bool:
    local, _, domain = address.partition("@")
    return bool(local) and bool(domain) and "@" not in domain
