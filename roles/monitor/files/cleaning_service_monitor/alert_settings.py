"""Who is told, and how: the `alerts` object of the configuration, checked completely on reading."""

import socket
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TypeGuard
from urllib.parse import SplitResult, urlsplit

SECURITIES = ("starttls", "tls", "none")
FORMATS = ("json", "slack", "ntfy", "healthchecks")

_TELEGRAM_URL = "https://api.telegram.org"
_MAX_TARGETS = 10  # webhooks, Apprise URLs, recipients: each delivery has a thread of its own
_MAX_PORT = 65535
_SHORTEST_REMINDER, _LONGEST_REMINDER = 60.0, 7 * 86400.0  # seconds
_KEYS = {"host", "reminder_interval", "telegram", "smtp", "webhooks", "apprise", "heartbeat_url", "ca_file"}


class AlertSettingsError(ValueError):
    """A key of `alerts` is wrong; the message is one sentence that names it and says what to write.

    It never repeats a value that may be a secret.
    """


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
        AlertSettingsError: a key is wrong.
    """
    values = _object({} if raw is None else raw, "alerts", _KEYS)
    ca_file = _optional(values, "ca_file", "alerts")
    if ca_file and not ca_file.startswith("/"):
        raise AlertSettingsError("alerts.ca_file must be an absolute path of a file with certificates in PEM format.")
    return AlertSettings(
        host=_optional(values, "host", "alerts", printable=True) or socket.gethostname(),
        reminder_interval=_seconds(values, "reminder_interval"),
        telegram=_telegram(values["telegram"]) if values.get("telegram") is not None else None,
        smtp=_smtp(values["smtp"]) if values.get("smtp") is not None else None,
        webhooks=tuple(_webhook(entry, name) for entry, name in _list(values, "webhooks", "alerts")),
        apprise=tuple(_apprise(entry, name) for entry, name in _list(values, "apprise", "alerts")),
        heartbeat_url=_web_url(values["heartbeat_url"], "alerts.heartbeat_url") if values.get("heartbeat_url") else "",
        ca_file=ca_file,
    )


def _telegram(raw: object) -> Telegram:
    where = "alerts.telegram"
    values = _object(raw, where, {"token", "chat_id", "url"})
    token = _required(values, "token", where, "the token that @BotFather gave, such as 123456:ABC-DEF")
    if not all(letter.isalnum() or letter in ":_-" for letter in token):
        raise AlertSettingsError(
            f"{where}.token must have letters, digits and `:`, `_`, `-` only, as @BotFather gave it."
        )
    chat = values.get("chat_id")
    if isinstance(chat, int) and not isinstance(chat, bool):
        values = {**values, "chat_id": str(chat)}
    url = values.get("url") or _TELEGRAM_URL
    return Telegram(
        token=token,
        chat_id=_required(values, "chat_id", where, "the number of the chat, such as -1001234567890, or @channelname"),
        url=_web_url(url, f"{where}.url", bare=True).rstrip("/"),
    )


def _smtp(raw: object) -> Smtp:
    where = "alerts.smtp"
    values = _object(raw, where, {"host", "port", "security", "username", "password", "from", "to"})
    security = values.get("security", "starttls")
    if security not in SECURITIES:
        raise AlertSettingsError(f"{where}.security must be one of {', '.join(SECURITIES)}.")
    port = values.get("port", {"starttls": 587, "tls": 465, "none": 25}[str(security)])
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port <= _MAX_PORT:
        raise AlertSettingsError(f"{where}.port must be a whole number from 1 to {_MAX_PORT}.")
    host = _required(values, "host", where, "the mail server's name or address")
    if any(letter in host for letter in " /@"):
        raise AlertSettingsError(f"{where}.host must be a name or an address alone, such as mail.example.org.")
    username, password = _optional(values, "username", where), _optional(values, "password", where)
    if bool(username) != bool(password):
        raise AlertSettingsError(f"{where}.username and {where}.password must be given both or not at all.")
    if username and security == "none" and host not in ("localhost", "127.0.0.1", "::1"):
        raise AlertSettingsError(f"{where}.security must be starttls or tls, or the password would cross in the clear.")
    recipients = tuple(_address(entry, name) for entry, name in _list(values, "to", where))
    if not recipients:
        raise AlertSettingsError(f"{where}.to must be a list with at least one e-mail address.")
    sender = _address(values.get("from"), f"{where}.from")
    return Smtp(host, port, str(security), username, password, sender, recipients)


def _webhook(raw: object, where: str) -> Webhook:
    values = _object(raw, where, {"url", "format"})
    shape = values.get("format", "json")
    if shape not in FORMATS:
        raise AlertSettingsError(f"{where}.format must be one of {', '.join(FORMATS)}.")
    return Webhook(_web_url(values.get("url"), f"{where}.url"), str(shape))


def _apprise(raw: object, where: str) -> str:
    if not _plain(raw) or " " in raw or "://" not in raw or not raw.partition("://")[0].isalnum():
        raise AlertSettingsError(f"{where} must be an Apprise URL, such as discord://webhook_id/webhook_token.")
    return raw


def _web_url(raw: object, where: str, *, bare: bool = False) -> str:
    sentence = f"{where} must be a URL such as https://alerts.example.org/path, without spaces and without a fragment."
    if bare:
        sentence = f"{where} must be a URL without a query, such as {_TELEGRAM_URL}."
    if not _plain(raw) or " " in raw:
        raise AlertSettingsError(sentence)
    try:
        parts = urlsplit(raw)
        usable = parts.scheme in ("http", "https") and _has_server(parts) and not parts.fragment
    except ValueError:
        raise AlertSettingsError(sentence) from None  # the reason would repeat a part of the URL
    if not usable or (bare and (parts.query or "@" in parts.netloc)):
        raise AlertSettingsError(sentence)
    return raw


def _has_server(parts: SplitResult) -> bool:
    return bool(parts.hostname) and parts.port != 0


def _address(raw: object, where: str) -> str:
    if not _plain(raw) or any(letter in raw for letter in " ,;<>") or not all(raw.rpartition("@")[::2]):
        raise AlertSettingsError(f"{where} must be an e-mail address alone, such as operator@example.org.")
    return raw


def _object(raw: object, where: str, known: Collection[str]) -> dict[str, object]:
    if not isinstance(raw, dict):
        raise AlertSettingsError(f"{where} must be a JSON object.")
    for key in raw:
        if key not in known:
            raise AlertSettingsError(f"{where} has an unknown key {key!r}; known are {', '.join(sorted(known))}.")
    return raw


def _list(values: dict[str, object], key: str, where: str) -> list[tuple[object, str]]:
    """Return the entries, each with its name."""
    raw = values.get(key)
    if raw is None:
        return []
    if not isinstance(raw, list) or len(raw) > _MAX_TARGETS:
        raise AlertSettingsError(f"{where}.{key} must be a list of at most {_MAX_TARGETS} entries.")
    return [(entry, f"{where}.{key}[{index}]") for index, entry in enumerate(raw)]


def _required(values: dict[str, object], key: str, where: str, what: str) -> str:
    value = values.get(key)
    if not _plain(value):
        raise AlertSettingsError(f"{where}.{key} must be {what}.")
    return value


def _optional(values: dict[str, object], key: str, where: str, *, printable: bool = False) -> str:
    value = values.get(key)
    if value is None or value == "":
        return ""
    if not (isinstance(value, str) and value.isprintable() if printable else _plain(value)):
        kind = "printable characters" if printable else "printable ASCII characters"
        raise AlertSettingsError(f"{where}.{key} must be a string of {kind}; leave it out where there is none.")
    return str(value)


def _plain(value: object) -> TypeGuard[str]:
    """Tell whether it is a string that may go into a header or an environment variable."""
    return isinstance(value, str) and bool(value) and value.isascii() and value.isprintable()


def _seconds(values: dict[str, object], key: str) -> float:
    value = values.get(key, AlertSettings.reminder_interval)
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not (_SHORTEST_REMINDER <= value <= _LONGEST_REMINDER)
    ):
        raise AlertSettingsError(
            f"alerts.{key} must be a number of seconds from {_SHORTEST_REMINDER:g} to {_LONGEST_REMINDER:g}."
        )
    return float(value)
