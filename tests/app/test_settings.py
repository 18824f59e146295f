"""Settings: defaults, and error messages for wrong values."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.settings import SettingsError, load_settings

GOOD = {"SECRET_KEY": "s" * 32, "CANARY_TOKEN": "c" * 32}


@pytest.fixture(autouse=True)
def _good(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def test_defaults_match_the_documentation() -> None:
    settings = load_settings()
    assert settings.database_url == "sqlite:///./cleaning_service_stable.db"
    assert settings.redis_url == "redis://redis:6379"
    assert settings.email_verification_required is False
    assert (settings.request_timeout, settings.database_timeout, settings.redis_timeout) == (30, 10, 5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REQUEST_TIMEOUT", "soon"),
        ("DATABASE_TIMEOUT", "-1"),
        ("REDIS_TIMEOUT", "inf"),
        ("DATABASE_URL", "mysql://x/y"),
        ("DATABASE_URL", "sqlite://"),
        ("REDIS_URL", "http://redis"),
        ("EMAIL_VERIFICATION_REQUIRED", "true"),
        ("LOG_LEVEL", "loud"),
        ("BUSINESS_TIMEZONE", "Berlin"),
        ("BUSINESS_TIMEZONE", "../etc/passwd"),
        ("CURRENCY", "euro"),
        ("CURRENCY", "ABC"),
        ("CORS_ORIGINS", "https://example.com/path"),
        ("PUBLIC_URL", "example.com"),
        ("SECRET_KEY", "short"),
        ("CANARY_TOKEN", ""),
    ],
)
def test_error_names_the_variable_and_the_remedy(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert str(raised.value).startswith(f"{name}: ")
    assert "write " in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_server_does_not_start_and_prints_no_secret(environment: dict[str, str], tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "app", "serve"],
        env=environment | {"REQUEST_TIMEOUT": "soon", "LOG_LEVEL": "loud", "SECRET_KEY": "hunter2"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert run.returncode == 78
    assert len(run.stderr.splitlines()) == 3
    assert "hunter2" not in run.stderr
    assert list(tmp_path.glob("*.db")) == []
