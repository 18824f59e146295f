"""Settings of e-mail: the default sender, and complete credentials."""

import pytest

from app.settings import SettingsError, load_settings

NAMES = ("PUBLIC_URL", "SMTP_HOST", "SMTP_USERNAME", "SMTP_PASSWORD", "MAIL_FROM")


@pytest.fixture(autouse=True)
def _only_these(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SECRET_KEY", "s" * 32)
    monkeypatch.setenv("CANARY_TOKEN", "c" * 32)


@pytest.mark.parametrize(
    ("settings", "sender"),
    [
        ({}, ""),
        ({"SMTP_HOST": "mail", "MAIL_FROM": "office@example.com"}, "office@example.com"),
        ({"SMTP_HOST": "mail", "PUBLIC_URL": "https://example.com:8443/app"}, "bookings@example.com"),
        ({"PUBLIC_URL": "https://example.com", "MAIL_FROM": "office@example.org"}, "office@example.org"),
        ({"PUBLIC_URL": "http://192.0.2.1"}, ""),
    ],
)
def test_default_sender_is_derived_from_the_public_url(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], sender: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert load_settings().mail_from == sender


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"SMTP_HOST": "mail"}, "MAIL_FROM"),
        ({"SMTP_HOST": "mail", "PUBLIC_URL": "http://192.0.2.1:8000"}, "MAIL_FROM"),
        ({"SMTP_HOST": "mail", "PUBLIC_URL": "http://[2001:db8::1]"}, "MAIL_FROM"),
        ({"MAIL_FROM": "office"}, "MAIL_FROM"),
        ({"MAIL_FROM": "Office <office@example.com>"}, "MAIL_FROM"),
        ({"MAIL_FROM": "a@example.com\nBcc: b@example.com"}, "MAIL_FROM"),
        ({"SMTP_USERNAME": "api"}, "SMTP_PASSWORD"),
    ],
)
def test_invalid_mail_settings_are_named(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], named: str) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert str(raised.value).startswith(f"{named}: ")
    assert "write " in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
