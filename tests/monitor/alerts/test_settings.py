"""The settings of alerts: what is right, and the sentence for what is wrong."""

import socket
from typing import Any

import pytest
from cleaning_service_monitor.alerts.settings import AlertSettings, Channel, Smtp, parse
from cleaning_service_monitor.checks import SettingError

SECRET = "S3cret-value-that-nobody-sees"
SMTP = {"host": "mail.example.org", "from": "a@example.org", "to": ["b@example.org"]}


def test_nothing_is_set() -> None:
    for settings in (parse(None), parse({})):
        assert settings == AlertSettings(host=socket.gethostname())
        assert settings.channels == ()


def test_everything_is_set() -> None:
    settings = parse(
        {
            "host_name": "Бюро",
            "reminder_interval": 600,
            "telegram": {"token": "1:a_b-C", "chat_id": -100},
            "smtp": {**SMTP, "port": 25, "security": "tls", "username": "u", "password": "p w"},
            "webhooks": [{"url": "https://h.example.org/x?y=1"}, {"url": "http://[::1]:9/t", "format": "ntfy"}],
            "urls": ["discord://id/token"],
            "apprise_urls": ["slack://a/b/c"],
            "heartbeat_url": "https://hc.example.org/u",
        }
    )
    server = Smtp("mail.example.org", 25, "tls", "u", "p w", "a@example.org", ("b@example.org",))
    assert settings == AlertSettings(
        host="Бюро",
        reminder_interval=600.0,
        channels=(
            Channel(
                "telegram", "telegram", "api.telegram.org", "https://api.telegram.org/bot1:a_b-C/sendMessage", "-100"
            ),
            Channel("smtp", "smtp", "mail.example.org", smtp=server),
            Channel("webhook-1", "json", "h.example.org", "https://h.example.org/x?y=1"),
            Channel("webhook-2", "ntfy", "::1", "http://[::1]:9/t"),
            Channel("apprise-1", "apprise", "discord", "discord://id/token"),
            Channel("apprise-2", "apprise", "slack", "slack://a/b/c"),
            Channel("heartbeat", "heartbeat", "hc.example.org", "https://hc.example.org/u"),
        ),
    )
    assert [channel.name for channel in settings.channels][2:5] == [
        "webhook-1 (h.example.org)",
        "webhook-2 (::1)",
        "apprise-1 (discord)",
    ]


def test_empty_values_are_as_good_as_none() -> None:
    empty: dict[str, object] = {
        "host_name": "",
        "telegram": None,
        "smtp": None,
        "webhooks": [],
        "urls": [],
        "apprise_urls": [],
        "heartbeat_url": "",
    }
    assert parse(empty) == parse({})
    nobody: dict[str, object] = {"telegram": {"token": "", "chat_id": ""}, "smtp": {**SMTP, "to": []}}
    assert parse(nobody) == parse({})


@pytest.mark.parametrize(("security", "port"), [("starttls", 587), ("tls", 465), ("none", 25)])
def test_the_usual_ports_of_mail(security: str, port: int) -> None:
    (channel,) = parse({"smtp": {**SMTP, "security": security}}).channels
    assert channel.smtp is not None
    assert channel.smtp.port == port


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ([], "alerts must be a JSON object"),
        ({"mail": {}}, "alerts has an unknown key 'mail'; known are apprise_urls, heartbeat_url"),
        ({"host_name": "a\nb"}, "alerts.host_name must be a string of printable"),
        ({"reminder_interval": 5}, "alerts.reminder_interval must be a number of seconds from 60 to 604800"),
        ({"reminder_interval": True}, "alerts.reminder_interval must be a number"),
        ({"telegram": []}, "alerts.telegram must be a JSON object"),
        ({"telegram": {"chat_id": "1"}}, "alerts.telegram.token must be the token that @BotFather gave"),
        ({"telegram": {"token": f"{SECRET}/x", "chat_id": "1"}}, "alerts.telegram.token must have letters"),
        ({"telegram": {"token": "1:a"}}, "alerts.telegram.chat_id must be the number of the chat"),
        ({"telegram": {"token": "1:a", "chat_id": True}}, "alerts.telegram.chat_id must be"),
        ({"telegram": {"token": "1:a", "chat_id": "1 2"}}, "alerts.telegram.chat_id must be the number of the chat"),
        ({"smtp": {**SMTP, "security": "ssl"}}, "alerts.smtp.security must be one of starttls, tls, none"),
        ({"smtp": {**SMTP, "port": 0}}, "alerts.smtp.port must be a whole number from 1 to 65535"),
        ({"smtp": {**SMTP, "host": "smtp://mail"}}, "alerts.smtp.host must be a name or an address alone"),
        ({"smtp": {**SMTP, "username": "u"}}, "alerts.smtp.password must be given when the username is"),
        ({"smtp": {**SMTP, "password": SECRET}}, "alerts.smtp.username must be given when the password is"),
        (
            {"smtp": {**SMTP, "username": "u", "password": SECRET, "security": "none"}},
            "alerts.smtp.security must be starttls or tls, or the password would cross in the clear",
        ),
        ({"smtp": {**SMTP, "username": "u", "password": f"{SECRET}\n"}}, "alerts.smtp.password must be a string of"),
        ({"smtp": {"to": SMTP["to"], "from": SMTP["from"]}}, "alerts.smtp.host must be the mail server's name"),
        ({"smtp": {"to": SMTP["to"], "host": SMTP["host"]}}, "alerts.smtp.from must be the sender's e-mail address"),
        ({"smtp": {"to": [], "port": 70000}}, "alerts.smtp.port must be a whole number from 1 to 65535, not 70000"),
        ({"smtp": {**SMTP, "to": "b@example.org"}}, "alerts.smtp.to must be a list"),
        ({"smtp": {**SMTP, "to": ["b@example.org, c@example.org"]}}, r"alerts.smtp.to\[0\] must be an e-mail address"),
        ({"smtp": {**SMTP, "from": "Monitor"}}, "alerts.smtp.from must be an e-mail address"),
        ({"smtp": {**SMTP, "from": "Ops <a@example.org>"}}, "alerts.smtp.from must be an e-mail address alone"),
        ({"smtp": {**SMTP, "from": "a@b@example.org"}}, "alerts.smtp.from must be an e-mail address"),
        ({"smtp": {**SMTP, "from": "@example.org"}}, "alerts.smtp.from must be an e-mail address"),
        ({"webhooks": {"url": "https://x"}}, "alerts.webhooks must be a list of at most 10"),
        ({"webhooks": [{}] * 11}, "alerts.webhooks must be a list of at most 10"),
        ({"webhooks": [{"url": f"ftp://x/{SECRET}"}]}, r"alerts.webhooks\[0\].url must be a URL such as https://"),
        ({"webhooks": [{"url": f"https://x:{SECRET}/"}]}, r"alerts.webhooks\[0\].url must be a URL"),
        ({"webhooks": [{"url": f"https://[x/{SECRET}"}]}, r"alerts.webhooks\[0\].url must be a URL"),
        ({"webhooks": [{"url": f"https:///{SECRET}"}]}, r"alerts.webhooks\[0\].url must be a URL"),
        ({"webhooks": [{"url": f"https://x:0/{SECRET}"}]}, r"alerts.webhooks\[0\].url must be a URL"),
        ({"webhooks": [{"url": f"https://x/{SECRET} y"}]}, r"alerts.webhooks\[0\].url must be a URL"),
        ({"webhooks": [{"url": f"https://x/#{SECRET}"}]}, r"alerts.webhooks\[0\].url must be a URL"),
        ({"webhooks": [{"url": "https://x", "format": "teams"}]}, r"alerts.webhooks\[0\].format must be one of json"),
        ({"urls": ["json://x", f"{SECRET} x"]}, r"alerts.urls\[1\] must be an Apprise URL, such as discord://"),
        ({"urls": [SECRET]}, r"alerts.urls\[0\] must be an Apprise URL"),
        ({"urls": [f"a b://{SECRET}"]}, r"alerts.urls\[0\] must be an Apprise URL"),
        ({"urls": [f"://{SECRET}"]}, r"alerts.urls\[0\] must be an Apprise URL"),
        ({"apprise_urls": [f"{SECRET} x"]}, r"alerts.apprise_urls\[0\] must be an Apprise URL"),
        ({"heartbeat_url": SECRET}, "alerts.heartbeat_url must be a URL"),
    ],
)
def test_a_wrong_value_is_named_and_not_repeated(raw: Any, sentence: str) -> None:  # noqa: ANN401 - any JSON
    with pytest.raises(SettingError, match=sentence) as caught:
        parse(raw)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_no_secret_is_shown() -> None:
    settings = parse(
        {
            "telegram": {"token": SECRET, "chat_id": "1"},
            "smtp": {**SMTP, "username": "u", "password": SECRET},
            "webhooks": [{"url": f"https://h.example.org/{SECRET}"}],
            "urls": [f"discord://{SECRET}"],
            "heartbeat_url": f"https://hc.example.org/{SECRET}",
        }
    )
    assert SECRET not in f"{settings!r} {settings}"
