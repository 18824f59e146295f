"""What the value of a setting must be: one method for each kind of value, used for every key of the configuration."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NoReturn, TypeGuard
from urllib.parse import urlsplit

MAX_PORT = 65535
MAX_LENGTH = 4096  # characters of a string: more is a mistake, and does not fit into a header
_HOST = re.compile(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]+")  # a name or an address
_ADDRESS = re.compile(r'[^ ,;:"()<>\[\]\\@]+@[^ ,;:"()<>\[\]\\@]+')  # of e-mail


class SettingError(ValueError):
    """A setting is wrong; the text is one sentence, which never repeats a value that may be a secret.

    Attributes:
        key: its place in the configuration, such as `alerts.smtp.port`.
        complaint: the rest of the sentence, which says what to write.
    """

    def __init__(self, key: str, complaint: str) -> None:
        super().__init__(f"{key} {complaint}")
        self.key = key
        self.complaint = complaint


@dataclass(frozen=True)
class Section:
    """One JSON object of the configuration; all its methods raise `SettingError` for a wrong value.

    Attributes:
        values: the object.
        path: its place in the configuration, empty for the configuration itself.
    """

    values: Mapping[str, object]
    path: str = ""

    @classmethod
    def read(cls, raw: object, path: str, known: Collection[str]) -> "Section":
        """Take an object that has no other keys than the known ones."""
        name = path or "the configuration"
        if not isinstance(raw, dict):
            raise SettingError(name, "must be a JSON object.")
        for key in raw:
            if key not in known:
                raise SettingError(name, f"has an unknown key {key!r}; known are {', '.join(sorted(known))}.")
        return cls(raw, path)

    def refuse(self, key: str, complaint: str) -> NoReturn:
        """Raise the error of a key."""
        raise SettingError(self.name(key), complaint)

    def name(self, key: str) -> str:
        """Return a key's place in the configuration."""
        return f"{self.path}.{key}" if self.path else key

    def entries(self, key: str, most: int) -> list[tuple[object, str]]:
        """Return the entries of a list, each with its place; none where the key is missing."""
        raw = self.values.get(key)
        if raw is None:
            return []
        if not isinstance(raw, list) or len(raw) > most:
            self.refuse(key, f"must be a list of at most {most} entries.")
        return [(entry, f"{self.name(key)}[{index}]") for index, entry in enumerate(raw)]

    def number(self, key: str, default: float, lowest: float, highest: float, unit: str = "seconds") -> float:
        """Return a number."""
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= highest:
            self.refuse(key, f"must be a number of {unit} from {lowest:g} to {highest:g}, not {value!r}.")
        return float(value)

    def whole(self, key: str, default: int, lowest: int, highest: int) -> int:
        """Return a whole number."""
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            self.refuse(key, f"must be a whole number from {lowest} to {highest}, not {value!r}.")
        return value

    def port(self, key: str, default: int) -> int:
        """Return the number of a port."""
        return self.whole(key, default, 1, MAX_PORT)

    def boolean(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            self.refuse(key, f"must be true or false, not {value!r}.")
        return value

    def choice(self, key: str, default: str, choices: Collection[str]) -> str:
        """Return one of several words."""
        value = self.values.get(key, default)
        if value not in choices:
            self.refuse(key, f"must be one of {', '.join(choices)}.")
        return str(value)

    def text(self, key: str, what: str = "a non-empty string of printable ASCII characters") -> str:
        """Return a string; `what` says what it has to be."""
        value = self.values.get(key)
        if not is_plain(value):
            self.refuse(key, f"must be {what}.")
        return value

    def optional_text(self, key: str, *, ascii_only: bool = True) -> str:
        """Return a string, which may be empty or missing."""
        value = self.values.get(key)
        if value is None or value == "":
            return ""
        if not (is_plain(value) if ascii_only else is_printable(value)):
            kind = "printable ASCII characters" if ascii_only else "printable characters"
            self.refuse(key, f"must be a string of {kind}; leave it empty where there is none.")
        return str(value)

    def path_name(self, key: str) -> str:
        """Return the absolute path of a file or a directory."""
        value = self.text(key)
        if not value.startswith("/"):
            self.refuse(key, f"must be an absolute path, not {value!r}.")
        return value

    def optional_path_name(self, key: str) -> str:
        """Return an absolute path, or nothing."""
        return self.path_name(key) if self.optional_text(key) else ""

    def optional_host(self, key: str) -> str:
        """Return the name or the address of a host, or nothing."""
        value = self.optional_text(key)
        if value and not _HOST.fullmatch(value):
            self.refuse(key, "must be a name or an address alone, such as mail.example.org.")
        return value

    def web_url(self, key: str) -> str:
        """Return a URL of HTTP or HTTPS."""
        raw = self.values.get(key)
        try:
            parts = urlsplit(raw if is_plain(raw) and " " not in raw else "")
            usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not parts.fragment
        except ValueError:
            usable = False  # its text would repeat a part of the URL
        if not usable:
            self.refuse(key, "must be a URL such as https://alerts.example.org/path, without spaces or a fragment.")
        return str(raw)

    def mail_address(self, key: str) -> str:
        """Return an address that an SMTP envelope can hold: without a name beside it."""
        raw = self.values.get(key)
        if not is_plain(raw) or not _ADDRESS.fullmatch(raw):
            self.refuse(key, "must be an e-mail address alone, such as operator@example.org.")
        return raw


def is_printable(value: object) -> TypeGuard[str]:
    """Tell whether it is a string without line breaks and the like."""
    return isinstance(value, str) and 0 < len(value) <= MAX_LENGTH and value.isprintable()


def is_plain(value: object) -> TypeGuard[str]:
    """Tell whether it is a string that may go into a header, a command line or an environment variable."""
    return is_printable(value) and value.isascii()
