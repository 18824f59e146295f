"""Settings of the API from environment variables. A variable has the name of its field in capitals."""

import os
import re
import sys
import unicodedata
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError
from typing_extensions import override

from app.kit.money import is_currency

HASH_MEMORY_BYTES = 19 * 1024 * 1024  # for one argon2id computation
EX_CONFIG = 78  # sysexits.h
CGROUP_MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")
MAXIMUM_LENGTH = 4096  # characters of a setting
_CONTROL_CATEGORIES = ("Cc", "Zl", "Zp")  # Unicode: control characters, line and paragraph separators


class SettingsError(Exception):
    """Settings are missing or wrong. The message has one line per problem for the operator, without secrets.

    Attributes:
        problems: by name of the variable, the problem and how to fix it.
    """

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("\n".join(f"{name}: {problem}" for name, problem in problems.items()))
        self.problems = problems


def _database_url(value: str) -> str:
    try:
        url = make_url(value)
    except ArgumentError:
        raise ValueError("is not a database URL") from None
    if url.get_backend_name() != "sqlite":
        raise ValueError(f"{url.get_backend_name()} is not supported in this version")
    if url.drivername != "sqlite" or url.database in {None, "", ":memory:"} or url.query:
        raise ValueError("must name a database file and nothing else")
    return value


def _redis_url(value: str) -> str:
    if not value.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("is not a Redis URL")
    return value


def _public_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if value and (not usable or value.endswith("/") or re.search(r"\s", value)):
        raise ValueError("is not an address")
    return value


def _host(value: str) -> str:
    if value and not re.fullmatch(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]+", value):
        raise ValueError("is not the name of a host")
    return value


def _verification(value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001  # pydantic calls it
    if value and not info.data.get("smtp_host"):
        raise ValueError("without SMTP_HOST no user can verify an address")
    return value


def _password(value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
    if info.data.get("smtp_username") and value is None:
        raise ValueError("is missing, but SMTP_USERNAME is set")
    return value


def _sender(value: str, info: ValidationInfo) -> str:
    if value:
        if not re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+", value):
            raise ValueError("is not an e-mail address")
        return value
    host = urlsplit(info.data.get("public_url", "")).hostname or ""
    if host and not re.fullmatch(r"[0-9.]+|.*:.*", host):
        return f"bookings@{host}"
    if info.data.get("smtp_host"):
        raise ValueError("e-mail needs a sender, and PUBLIC_URL names no host to take it from")
    return ""


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError):
        raise ValueError("is not a time zone") from None
    return value


def _currency(value: str) -> str:
    if not is_currency(value):
        raise ValueError("is not the code of a currency")
    return value


def _origins(value: str) -> str:
    for origin in value.split():
        if not re.fullmatch(r"https?://[^/\s]+", origin):
            raise ValueError(f"{origin} is not an origin")
    return value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _secret(description: str) -> SecretStr:
    secret: SecretStr = Field(min_length=32, max_length=128, description=description)
    return secret


def _seconds(default: float, low: float = 0.1, high: float = 600) -> float:
    number: float = Field(default, ge=low, le=high, description=f"a number of seconds from {low:g} to {high:g}")
    return number


def _count(default: int, low: int, high: int) -> int:
    number: int = Field(default, ge=low, le=high, description=f"a whole number from {low} to {high}")
    return number


class Settings(BaseSettings):
    """All settings of the operator. The description of a field completes the sentence "write …" in error messages."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True, validate_default=True
    )

    secret_key: SecretStr = _secret("32 to 128 random characters")
    canary_token: SecretStr = _secret("32 to 128 random characters")

    database_url: Annotated[str, AfterValidator(_database_url)] = Field(
        "sqlite:///./cleaning_service_stable.db",
        description="sqlite:///./NAME.db, or sqlite:////absolute/path.db",
    )
    redis_url: Annotated[str, AfterValidator(_redis_url)] = Field("redis://redis:6379", description="redis://HOST:PORT")
    redis_password: SecretStr | None = Field(None, description="the password, or nothing")

    public_url: Annotated[str, AfterValidator(_public_url)] = Field(
        "", description="the address that links in e-mails begin with, like https://example.com, without a last slash"
    )
    smtp_host: Annotated[str, AfterValidator(_host)] = Field(
        "", description="the name of the mail server, like mail.example.com, or nothing for no e-mail"
    )
    smtp_port: int = _count(587, 1, 65535)
    smtp_security: Literal["starttls", "tls", "none"] = Field("starttls", description="starttls, tls or none")
    smtp_username: str = Field("", description="the user name, or nothing")
    smtp_password: Annotated[SecretStr | None, AfterValidator(_password)] = Field(
        None, description="the password, or nothing for both"
    )
    mail_from: Annotated[str, AfterValidator(_sender)] = Field("", description="an address like bookings@example.com")
    email_verification_required: Annotated[bool, AfterValidator(_verification)] = Field(
        default=False, description="false, or set SMTP_HOST too"
    )

    business_timezone: Annotated[str, AfterValidator(_time_zone)] = Field(
        "UTC", description="a name like Europe/Berlin"
    )
    currency: Annotated[str, AfterValidator(_currency)] = Field(
        "EUR", description="the ISO 4217 code of a currency, like EUR"
    )
    booking_assignment: Literal["automatic", "manual"] = Field("automatic", description="automatic or manual")
    booking_notice_hours: int = _count(2, 0, 720)
    booking_horizon_days: int = _count(90, 1, 730)
    booking_travel_minutes: int = _count(30, 0, 240)
    cancellation_free_hours: int = _count(24, 0, 720)
    cancellation_fee_percent: int = _count(50, 0, 100)

    drain_seconds: float = Field(
        0,
        ge=0,
        le=60,
        description="the seconds for which requests are still accepted after SIGTERM, from 0 to 60",
    )
    request_timeout: float = _seconds(30)
    database_timeout: float = _seconds(10)
    redis_timeout: float = _seconds(5)
    loop_watchdog_seconds: float = _seconds(10, low=1)

    host: str = Field("0.0.0.0", description="the address to listen on")  # noqa: S104  # inside a container
    port: int = _count(8000, 1, 65535)
    socket_file: Path | None = Field(
        None, description="the path of a Unix socket to listen on instead of HOST and PORT, or nothing"
    )
    proxy_token: SecretStr | None = Field(
        None,
        min_length=32,
        max_length=128,
        description="32 to 128 random characters, which the proxy sends as X-Proxy-Token, or nothing",
    )
    forwarded_allow_ips: str = Field(
        "127.0.0.1", description="addresses or networks of trusted proxies, separated by commas"
    )

    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        "info", description="debug, info, warning or error"
    )
    log_file: Path | None = Field(None, description="the path of a file, or nothing")

    max_body_bytes: int = _count(1_048_576, 1024, 1_073_741_824)
    max_concurrent_requests: int = _count(512, 1, 65536)
    hash_workers: int = _count(0, 0, 64)
    hash_queue: int = _count(128, 0, 65536)
    database_readers: int = _count(4, 1, 64)

    access_token_minutes: int = _count(15, 1, 1440)
    refresh_token_days: int = _count(30, 1, 365)
    cors_origins: Annotated[str, AfterValidator(_origins)] = Field(
        "", description="origins like https://example.com, separated by spaces"
    )
    requests_per_minute_per_address: int = _count(3000, 1, 10_000_000)
    requests_per_minute_per_account: int = _count(600, 1, 10_000_000)
    registrations_per_minute: int = _count(1000, 1, 1_000_000)
    login_failures_per_quarter_hour: int = _count(10, 1, 1_000_000)
    login_failures_per_quarter_hour_per_address: int = _count(100, 1, 1_000_000)

    @field_validator("*", mode="before")
    @classmethod
    def _one_line(cls, value: object) -> object:
        """Refuse control characters and long values. A value read from a file or a vault often ends in a line break."""
        if isinstance(value, str):
            if any(unicodedata.category(letter) in _CONTROL_CATEGORIES for letter in value):
                raise ValueError("holds a line break or another control character")
            if len(value) > MAXIMUM_LENGTH:
                raise ValueError(f"has more than {MAXIMUM_LENGTH} characters")
        return value

    @cached_property
    def zone(self) -> ZoneInfo:
        """BUSINESS_TIMEZONE."""
        return ZoneInfo(self.business_timezone)

    @cached_property
    def parsed_database_url(self) -> URL:
        """DATABASE_URL as an object of SQLAlchemy."""
        return make_url(self.database_url)

    @property
    def hash_threads(self) -> int:
        """Number of threads that hash passwords: HASH_WORKERS, or one per core within a quarter of the memory limit."""
        if self.hash_workers:
            return self.hash_workers
        cores = len(os.sched_getaffinity(0))
        limit = _container_memory()
        return cores if limit is None else max(1, min(cores, limit // 4 // HASH_MEMORY_BYTES))


def _container_memory() -> int | None:
    """Return the memory limit of the container in bytes; None without a limit."""
    try:
        text = CGROUP_MEMORY_LIMIT.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


class _ExplicitSettings(Settings):
    """Settings from the given values only, not from the environment."""

    @override
    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment.

    Args:
        environment: variables to read instead of this process's, to check the settings of another machine.

    Raises:
        SettingsError: a value is missing or wrong.
    """
    try:
        if environment is None:
            return Settings()
        values: dict[str, Any] = {name.lower(): value for name, value in environment.items() if value}
        return _ExplicitSettings(**values)
    except ValidationError as error:
        problems = {}
        for problem in error.errors(include_input=False, include_url=False):
            field = str(problem["loc"][0])
            message = problem["msg"].removeprefix("Value error, ")
            problems[field.upper()] = f"{message}; write {Settings.model_fields[field].description}"
        raise SettingsError(problems) from None


def load_settings_or_exit() -> Settings:
    """Read the settings from the environment. If they are wrong, print the problems and exit with EX_CONFIG."""
    try:
        return load_settings()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EX_CONFIG)
