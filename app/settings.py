"""Settings of the API, read from the environment; the variable's name is the field's name in capitals."""

import os
import sys
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

HASH_MEMORY = 19 * 1024 * 1024  # bytes that one argon2id computation takes
EX_CONFIG = 78  # sysexits.h
CGROUP_MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")


class SettingsError(Exception):
    """A setting is wrong; the text has one line per problem, fit for an operator, without secrets."""


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


def _no_mail_sender(value: object) -> object:
    if value:
        raise ValueError("this version has no mail sender, so nobody could ever confirm an address")
    return value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _seconds(default: float, low: float = 0.1, high: float = 600) -> float:
    number: float = Field(default, ge=low, le=high, description=f"a number of seconds from {low:g} to {high:g}")
    return number


def _count(default: int, low: int, high: int) -> int:
    number: int = Field(default, ge=low, le=high, description=f"a whole number from {low} to {high}")
    return number


class Settings(BaseSettings):
    """Everything an operator can set. A field's description completes the sentence "write …"."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True, validate_default=True
    )

    secret_key: SecretStr = Field(min_length=32, description="at least 32 random characters")
    canary_token: SecretStr = Field(min_length=32, description="at least 32 random characters")

    database_url: Annotated[str, AfterValidator(_database_url)] = Field(
        "sqlite:///./cleaning_service_stable.db",
        description="sqlite:///./NAME.db, or sqlite:////absolute/path.db",
    )
    redis_url: Annotated[str, AfterValidator(_redis_url)] = Field("redis://redis:6379", description="redis://HOST:PORT")
    redis_password: SecretStr | None = Field(None, description="the password, or nothing")
    email_verification_required: Annotated[bool, AfterValidator(_no_mail_sender)] = Field(
        default=False, description="false"
    )

    request_timeout: float = _seconds(30)
    database_timeout: float = _seconds(10)
    redis_timeout: float = _seconds(5)
    loop_watchdog_seconds: float = _seconds(10, low=1)

    host: str = Field("0.0.0.0", description="the address to listen on")  # noqa: S104  # inside a container
    port: int = _count(8000, 1, 65535)
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
    registrations_per_minute: int = _count(1000, 1, 1_000_000)
    login_failures_per_quarter_hour: int = _count(10, 1, 1_000_000)

    @cached_property
    def parsed_database_url(self) -> URL:
        """DATABASE_URL as SQLAlchemy's object."""
        return make_url(self.database_url)

    @property
    def hash_threads(self) -> int:
        """Threads that hash passwords: HASH_WORKERS, or one per core within a quarter of the memory limit."""
        if self.hash_workers:
            return self.hash_workers
        cores = len(os.sched_getaffinity(0))
        limit = _container_memory()
        return cores if limit is None else max(1, min(cores, limit // 4 // HASH_MEMORY))


def _container_memory() -> int | None:
    """Bytes that the container may take; None outside a container or without a limit."""
    try:
        text = CGROUP_MEMORY_LIMIT.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingsError: a value is missing or wrong.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_input=False, include_url=False):
            field = str(problem["loc"][0])
            said = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{field.upper()}: {said}; write {Settings.model_fields[field].description}")
        raise SettingsError("\n".join(lines)) from None


def load_settings_or_exit() -> Settings:
    """For a command: like `load_settings`, but print the problems and end the process with EX_CONFIG."""
    try:
        return load_settings()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EX_CONFIG)
