"""The exact names and defaults of all environment variables."""

from pathlib import Path

import pytest

from app import settings
from app.settings import Settings, load_settings

REQUIRED = {"SECRET_KEY", "CANARY_TOKEN"}
DEFAULTS = {
    "DATABASE_URL": "sqlite:///./cleaning_service_stable.db",
    "REDIS_URL": "redis://redis:6379",
    "REDIS_PASSWORD": None,
    "EMAIL_VERIFICATION_REQUIRED": False,
    "DRAIN_SECONDS": 0,
    "REQUEST_TIMEOUT": 30,
    "DATABASE_TIMEOUT": 10,
    "REDIS_TIMEOUT": 5,
    "LOOP_WATCHDOG_SECONDS": 10,
    "HOST": "0.0.0.0",  # noqa: S104
    "PORT": 8000,
    "SOCKET_FILE": None,
    "PROXY_TOKEN": None,
    "FORWARDED_ALLOW_IPS": "127.0.0.1",
    "LOG_LEVEL": "info",
    "LOG_FILE": None,
    "MAX_BODY_BYTES": 1_048_576,
    "MAX_CONCURRENT_REQUESTS": 512,
    "HASH_WORKERS": 0,
    "HASH_QUEUE": 128,
    "DATABASE_READERS": 4,
    "PUBLIC_URL": "",
    "SMTP_HOST": "",
    "SMTP_PORT": 587,
    "SMTP_SECURITY": "starttls",
    "SMTP_USERNAME": "",
    "SMTP_PASSWORD": None,
    "MAIL_FROM": "",
    "BUSINESS_TIMEZONE": "UTC",
    "CURRENCY": "EUR",
    "BOOKING_ASSIGNMENT": "automatic",
    "BOOKING_NOTICE_HOURS": 2,
    "BOOKING_HORIZON_DAYS": 90,
    "BOOKING_TRAVEL_MINUTES": 30,
    "CANCELLATION_FREE_HOURS": 24,
    "CANCELLATION_FEE_PERCENT": 50,
    "REFRESH_TOKEN_DAYS": 30,
    "CORS_ORIGINS": "",
    "REQUESTS_PER_MINUTE_PER_ADDRESS": 3000,
    "REQUESTS_PER_MINUTE_PER_ACCOUNT": 600,
    "ACCESS_TOKEN_MINUTES": 15,
    "REGISTRATIONS_PER_MINUTE": 1000,
    "LOGIN_FAILURES_PER_QUARTER_HOUR": 10,
    "LOGIN_FAILURES_PER_QUARTER_HOUR_PER_ADDRESS": 100,
}


@pytest.fixture(autouse=True)
def _only_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DEFAULTS:
        monkeypatch.delenv(name, raising=False)
    for name in REQUIRED:
        monkeypatch.setenv(name, name * 4)


def test_names_and_defaults() -> None:
    assert {name.upper() for name in Settings.model_fields} == DEFAULTS.keys() | REQUIRED
    found = load_settings().model_dump()
    assert {name: found[name.lower()] for name in DEFAULTS} == DEFAULTS


def test_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DEFAULTS:
        monkeypatch.setenv(name, "")
    assert load_settings().model_dump().items() >= {name.lower(): value for name, value in DEFAULTS.items()}.items()


@pytest.mark.parametrize(
    ("cores", "megabytes", "threads"),
    [(2, None, 2), (8, 192, 2), (8, 64, 1), (1, 192, 1), (8, 4096, 8)],
)
def test_hash_threads_fit_the_memory_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cores: int, megabytes: int | None, threads: int
) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("max\n" if megabytes is None else f"{megabytes * 1024 * 1024}\n")
    monkeypatch.setattr(settings, "CGROUP_MEMORY_LIMIT", limit)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    assert load_settings().hash_threads == threads
    monkeypatch.setenv("HASH_WORKERS", "5")
    assert load_settings().hash_threads == 5
