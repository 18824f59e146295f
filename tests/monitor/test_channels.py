"""The ways to a person, each against a real server, and against servers that misbehave."""

import base64
import json
import os
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from cleaning_service_monitor import channels
from cleaning_service_monitor.alert_settings import AlertSettings, parse
from cleaning_service_monitor.channels import Channel, DeliveryError, beat
from cleaning_service_monitor.messages import compose
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.app.mailserver import Mailbox, mail_server, silent_server
from tests.monitor.receivers import INCIDENT, Received, Receiver, make_certificate, receiver

MESSAGE = compose("problem", INCIDENT, "shop", 1764047893.0)
RESOLVED = compose("resolved", {**INCIDENT, "ended": 1764047893.0}, "shop", 1764047893.0)


def only(**alerts: Any) -> Channel:  # noqa: ANN401 - as JSON has it
    """Return the one channel of some settings."""
    (channel,) = channels.channels(parse({"host_name": "shop", **alerts}))
    return channel


def webhook(url: str, shape: str = "json", **alerts: Any) -> Channel:  # noqa: ANN401 - as JSON has it
    return only(webhooks=[{"url": url, "format": shape}], **alerts)


def mail(mailbox: Mailbox, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - as JSON has it
    settings = {"host": "127.0.0.1", "port": mailbox.port, "security": "none", "from": "monitor@example.org"}
    return {**settings, "to": ["a@example.org", "b@example.org"], **changes}


def failure(channel: Channel) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        channel.send(MESSAGE)
    return caught.value


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server_side(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@pytest.fixture
def web() -> Iterator[Receiver]:
    with receiver() as server:
        yield server


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "TIMEOUT", 0.4)


# What each of them gets.


def test_json(web: Receiver) -> None:
    assert webhook(f"{web.url}/hook?key=1").send(MESSAGE) == ""
    (request,) = web.requests
    assert (request.method, request.path) == ("POST", "/hook?key=1")
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Host"] == f"127.0.0.1:{web.port}"
    assert request.json == {
        "id": "20261125T051800Z-api.problem",
        "kind": "problem",
        "incident": "20261125T051800Z-api",
        "component": "api",
        "severity": "warning",
        "at": 1764047893.0,
        "host": "shop",
        "subject": MESSAGE["subject"],
        "text": MESSAGE["text"],
        **{key: INCIDENT[key] for key in ("cause", "began", "ended", "steps", "evidence")},
    }


def test_a_url_with_a_login(web: Receiver) -> None:
    webhook(f"http://ann:p%40ss@127.0.0.1:{web.port}/").send(MESSAGE)
    assert web.requests[0].headers["Authorization"] == f"Basic {base64.b64encode(b'ann:p@ss').decode()}"
    assert web.requests[0].headers["Host"] == f"127.0.0.1:{web.port}"


def test_slack(web: Receiver) -> None:
    message = compose("problem", {**INCIDENT, "cause": "<a> & <b>"}, "shop", 1764047893.0)
    webhook(f"{web.url}/services/T/B/X", "slack").send(message)
    text = web.requests[0].json["text"]
    assert text.startswith("*[shop] api: problem: &lt;a&gt; &amp; &lt;b&gt;*\nHost: shop\n")


def test_ntfy(web: Receiver) -> None:
    message = compose("person-needed", {**INCIDENT, "evidence": ["ж" * 200] * 20}, "Бюро", 1764047893.0)
    webhook(f"{web.url}/topic", "ntfy").send(message)
    (request,) = web.requests
    assert request.headers["Title"].startswith("[????] api: a person is needed")
    assert request.headers["Priority"] == "5"
    assert 4000 < len(request.body) <= 4096
    assert request.body.decode().startswith("Host: Бюро\n")


def test_healthchecks(web: Receiver) -> None:
    channel = webhook(f"{web.url}/ping/uuid/?rid=1", "healthchecks")
    for message in (MESSAGE, RESOLVED, compose("test", {}, "shop", 1764047893.0)):
        channel.send(message)
    paths = [request.path for request in web.requests]
    assert paths == ["/ping/uuid/fail?rid=1", "/ping/uuid?rid=1", "/ping/uuid/log?rid=1"]
    assert web.requests[0].body.decode().startswith(MESSAGE["subject"])


def test_telegram(web: Receiver) -> None:
    channel = only(telegram={"token": "1:a", "chat_id": "-5", "url": web.url})
    channel.send(compose("problem", {**INCIDENT, "evidence": ["\U0001f4a5" * 300] * 20}, "shop", 1764047893.0))
    (request,) = web.requests
    assert request.path == "/bot1:a/sendMessage"
    assert request.json["chat_id"] == "-5"
    units = len(request.json["text"].encode("utf-16-le")) // 2
    assert 4000 < units <= 4096
    assert request.json["text"].startswith("[shop] api: problem: GET /health/ready")


def test_mail_without_a_login() -> None:
    with mail_server() as mailbox:
        assert only(smtp=mail(mailbox)).send(MESSAGE) == ""
        only(smtp=mail(mailbox)).send(RESOLVED)
        only(smtp=mail(mailbox)).send(MESSAGE)
    first, second, again = mailbox.messages
    assert mailbox.recipients[0] == ["a@example.org", "b@example.org"]
    assert first["Subject"] == MESSAGE["subject"]
    assert (first["From"], first["To"]) == ("monitor@example.org", "a@example.org, b@example.org")
    assert first.get_content() == MESSAGE["text"].replace("\n", "\r\n") or first.get_content() == MESSAGE["text"]
    assert first["Auto-Submitted"] == "auto-generated"
    assert first["Message-ID"] == again["Message-ID"] != second["Message-ID"]
    assert first["References"] == second["References"]


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_with_a_login(security: str, server_side: ssl.SSLContext, certificate: tuple[Path, Path]) -> None:
    encryption: dict[str, Any] = {"ssl_context" if security == "tls" else "tls_context": server_side}
    # To aiosmtpd only STARTTLS is TLS: it would not offer a login.
    with mail_server(**encryption, auth_require_tls=security != "tls") as mailbox:
        login = {"security": security, "username": "ann", "password": "right"}
        only(smtp=mail(mailbox, **login), ca_file=str(certificate[0])).send(MESSAGE)
        assert mailbox.logins == [("ann", "right")]
        assert len(mailbox.messages) == 1
        wrong = only(smtp=mail(mailbox, **{**login, "password": "wr0ng-Secret"}), ca_file=str(certificate[0]))
        assert str(failure(wrong)) == "the server refused the username or the password (535)"
        assert "certificate is not trusted" in str(failure(only(smtp=mail(mailbox, **login))))


def test_a_mail_server_that_refuses() -> None:
    with mail_server(refuse=lambda address: "550 no such user" if address[0] == "a" else None) as mailbox:
        assert only(smtp=mail(mailbox)).send(MESSAGE) == "the server refused 1 of 2 recipients"
        error = failure(only(smtp=mail(mailbox, to=["a@example.org"])))
        assert (str(error), error.refused) == ("the server refused all recipients (550)", True)
        assert "does not support STARTTLS" in str(failure(only(smtp=mail(mailbox, security="starttls"))))
    with mail_server(refuse=lambda _: "451 later") as mailbox:
        error = failure(only(smtp=mail(mailbox)))
        assert (str(error), error.refused) == ("the server refused all recipients (451)", False)
    with mail_server(data_size_limit=100) as mailbox:
        error = failure(only(smtp=mail(mailbox)))
        assert str(error).startswith("the server refused the sender (552)")


def test_apprise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "apprise"
    program.write_text(
        '#!/bin/sh\nenv > "$(dirname "$0")/env"\necho "$@" > "$(dirname "$0")/arguments"\n'
        'cat > "$(dirname "$0")/text"\necho "$APPRISE_URLS" >&2\n[ "$APPRISE_URLS" != tgram://bad ]\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert only(apprise_urls=["tgram://token/chat"]).send(RESOLVED) == ""
    assert (tmp_path / "text").read_text() == RESOLVED["text"]
    arguments = (tmp_path / "arguments").read_text()
    assert arguments == f"--title {RESOLVED['subject']} --notification-type success\n"
    environment = (tmp_path / "env").read_text()
    assert "APPRISE_URLS=tgram://token/chat\n" in environment
    assert "PROXY" not in environment
    channel = only(apprise_urls=["tgram://bad"])
    assert channel.name == "apprise-1 (tgram)"
    assert str(failure(channel)) == "`apprise` ended with 1"


@pytest.mark.usefixtures("hasty")
def test_apprise_hangs_or_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert str(failure(only(apprise_urls=["tgram://x"]))) == "the command `apprise` is not installed"
    program = tmp_path / "apprise"
    program.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    program.chmod(0o755)
    begun = time.monotonic()
    assert str(failure(only(apprise_urls=["tgram://x"]))) == "no answer within 0.4 s"
    assert time.monotonic() - begun < 2
    program.write_text("#!/nonexistent\n")
    assert str(failure(only(apprise_urls=["tgram://x"]))) == "no such file or directory"


def test_the_heartbeat(web: Receiver) -> None:
    beat(parse({"heartbeat_url": f"{web.url}/ping/x?y"}))
    assert [(request.method, request.path) for request in web.requests] == [("GET", "/ping/x?y")]
    web.answer = lambda _: (404, {})
    with pytest.raises(DeliveryError, match="it answered 404 Not Found"):
        beat(parse({"heartbeat_url": f"{web.url}/ping/x"}))


# TLS.


def test_https_with_a_certificate_of_ones_own(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    with receiver(tls=certificate) as web:
        webhook(f"{web.url}/secret", ca_file=str(certificate[0])).send(MESSAGE)
        assert len(web.requests) == 1
        assert "its certificate is not trusted" in str(failure(webhook(f"{web.url}/secret")))
        name = webhook(f"https://localhost:{web.port}/secret", ca_file=str(certificate[0]))
        assert "Hostname mismatch" in str(failure(name))
        missing = webhook(f"{web.url}/secret", ca_file=str(tmp_path / "none.pem"))
        assert str(failure(missing)) == "the certificates of alerts.ca_file cannot be read"
        assert len(web.requests) == 1


def test_https_to_a_server_without_tls(web: Receiver) -> None:
    assert "there is no TLS at the other end" in str(failure(webhook(f"https://127.0.0.1:{web.port}/")))


# Answers that are none.


@pytest.mark.parametrize(
    ("status", "headers", "sentence", "refused", "retry_after"),
    [
        (500, {}, "it answered 500 Internal Server Error", False, 0),
        (400, {}, "it answered 400 Bad Request", True, 0),
        (413, {}, "Entity Too Large", True, 0),
        (401, {}, "it answered 401 Unauthorized", False, 0),
        (302, {"Location": "https://elsewhere/secret"}, "the URL must be the one that it redirects to", False, 0),
        (799, {}, "it answered 799", False, 0),
        (429, {"Retry-After": "120"}, "it answered 429 Too Many Requests", False, 120),
        (429, {"Retry-After": "999999999999"}, "429", False, 3600),
        (429, {"Retry-After": "soon"}, "429", False, 0),
        (503, {"Retry-After": "7"}, "it answered 503 Service Unavailable", False, 7),
    ],
)
def test_an_answer_that_is_no_success(  # noqa: PLR0913
    web: Receiver, status: int, headers: dict[str, str], sentence: str, *, refused: bool, retry_after: float
) -> None:
    web.answer = lambda _: (status, headers)
    error = failure(webhook(web.url))
    assert sentence in str(error)
    assert "elsewhere" not in str(error)
    assert (error.refused, error.retry_after) == (refused, retry_after)


def test_a_date_to_come_back_at(web: Receiver) -> None:
    moment = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=100), usegmt=True)
    web.answer = lambda _: (429, {"Retry-After": moment})
    assert 95 < failure(webhook(web.url)).retry_after <= 100


def test_telegram_says_when_to_come_back_and_what_is_wrong(web: Receiver) -> None:
    channel = only(telegram={"token": "1:a", "chat_id": "-5", "url": web.url})
    web.answer = lambda _: (429, {})
    web.body = b'{"ok":false,"error_code":429,"parameters":{"retry_after":35}}'
    assert failure(channel).retry_after == 35
    for body in (b"", b"[]", b'{"parameters": 1}', b"[" * 15000):
        web.body = body
        assert failure(channel).retry_after == 0
    web.answer = lambda _: (400, {})
    error = failure(channel)
    assert str(error) == "it answered 400 Bad Request: is alerts.telegram.chat_id right?"
    web.answer = lambda _: (404, {})
    assert str(failure(channel)) == "it answered 404 Not Found: is alerts.telegram.token right?"


def raw_server(answer: bytes, again: bytes = b"") -> "Iterator[int]":
    """Answer every connection with bytes, then drip others."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            try:
                while True:
                    connection, _ = listener.accept()
                    with closing(connection):
                        connection.recv(65536)
                        connection.sendall(answer)
                        while again:
                            connection.sendall(again)
                            time.sleep(0.01)
                        connection.shutdown(socket.SHUT_WR)
                        while connection.recv(65536):  # closing before all is read would reset the connection
                            pass
            except OSError:
                return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("answer", "again", "sentence"),
    [
        (b"HTTP/1.1 200", b"0", "no answer within 0.4 s"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", "no answer within 0.4 s"),
        (b"", b"", "it closed the connection without an answer"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", b"", r"the answer is not HTTP \(BadStatusLine\)"),
    ],
)
def test_an_http_server_that_misbehaves(answer: bytes, again: bytes, sentence: str) -> None:
    for port in raw_server(answer, again):
        begun = time.monotonic()
        with pytest.raises(DeliveryError, match=sentence):
            webhook(f"http://127.0.0.1:{port}/").send(MESSAGE)
        assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("answer", "again"),
    [(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"), (b"HTTP/1.1 200 OK\r\n", b"X-Drip: 1\r\n")],
    ids=["body", "headers"],
)
def test_a_good_answer_that_never_ends_is_no_reason_to_send_it_twice(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, again: bytes
) -> None:
    monkeypatch.setattr(channels, "TIMEOUT", 0.9)  # fewer than a hundred headers
    for port in raw_server(answer, again):
        webhook(f"http://127.0.0.1:{port}/").send(MESSAGE)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("drip", [b"", b"2"], ids=["silent", "dripping"])
@pytest.mark.parametrize("kind", ["http", "https", "none", "starttls", "tls"])
def test_a_server_that_accepts_and_never_answers(kind: str, drip: bytes) -> None:
    with silent_server(drip) as port:
        if kind.startswith("http"):
            channel = webhook(f"{kind}://127.0.0.1:{port}/")
        else:
            channel = only(smtp=mail(Mailbox(port, lambda _: None), security=kind))
        begun = time.monotonic()
        error = failure(channel)
        assert time.monotonic() - begun < 2
    if not drip:
        assert str(error) == "no answer within 0.4 s"


@pytest.mark.usefixtures("hasty")
def test_a_mail_server_that_greets_for_ever() -> None:
    for port in raw_server(b"", b"220-welcome\r\n"):
        begun = time.monotonic()
        channel = only(smtp=mail(Mailbox(port, lambda _: None)))
        assert str(failure(channel)) == "no answer within 0.4 s"
        assert time.monotonic() - begun < 2


def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert str(failure(webhook(f"http://127.0.0.1:{port}/"))) == "connection refused"


@pytest.mark.usefixtures("hasty")
def test_a_listener_that_accepts_nobody() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        with socket.create_connection(address):
            assert str(failure(webhook(f"http://127.0.0.1:{address[1]}/"))) == "no answer within 0.4 s"


@pytest.mark.usefixtures("hasty")
def test_a_resolver_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [ended.wait(30)][:0])
    begun = time.monotonic()
    assert str(failure(webhook("http://name.example.org/"))) == "no answer within 0.4 s"
    assert time.monotonic() - begun < 2
    ended.set()


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert str(failure(webhook("http://name.example.org/"))) == "its name cannot be resolved"


@pytest.mark.usefixtures("hasty")
def test_the_second_address_is_tried_when_the_first_swallows_packets(
    web: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        addresses = [full.getsockname(), ("127.0.0.1", web.port)]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
        with socket.create_connection(addresses[0]):
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
            webhook("http://name.example.org/").send(MESSAGE)
    assert len(web.requests) == 1


def test_a_proxy_of_the_environment_is_ignored(web: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    webhook(web.url).send(MESSAGE)
    assert len(web.requests) == 1


# Names and secrets.


def test_channels_are_told_apart_by_their_address() -> None:
    one, two = {"url": "https://h/x"}, {"url": "https://h/y"}
    telegram = {"token": "1:a", "chat_id": "1"}
    first = channels.channels(parse({"webhooks": [one, two], "telegram": telegram}))
    second = channels.channels(parse({"webhooks": [two, one], "telegram": telegram}))
    assert [channel.name for channel in first] == ["telegram (api.telegram.org)", "webhook-1 (h)", "webhook-2 (h)"]
    assert [channel.key for channel in first] == [second[0].key, second[2].key, second[1].key]


secrets = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"), min_size=12)


@given(secret=secrets, status=st.sampled_from([200, 302, 400, 401, 403, 404, 429, 500, 799]))
@settings(deadline=None, max_examples=30)
def test_a_server_that_repeats_all_it_knows_betrays_nothing(secret: str, status: int) -> None:
    def repeat(request: Received) -> tuple[int, dict[str, str]]:
        repeater.body = f"{request.path} {request.headers} {request.body!r}".encode()
        return status, {"Location": request.path, "Retry-After": request.path}

    with receiver() as repeater, mail_server(refuse=lambda _: f"550 {secret}") as mailbox:
        repeater.answer = repeat
        host = f"127.0.0.1:{repeater.port}"
        configured: AlertSettings = parse(
            {
                "telegram": {"token": secret, "chat_id": "1", "url": repeater.url},
                "smtp": mail(mailbox),
                "webhooks": [
                    {"url": f"http://{host}/{secret}/x?key={secret}", "format": shape}
                    for shape in ("json", "slack", "ntfy", "healthchecks")
                ]
                + [{"url": f"http://{secret}:{secret}@{host}/"}, {"url": f"https://{host}/{secret}"}],
                "apprise_urls": [f"json://{secret}"],
            }
        )
        told = [repr(configured)]
        for channel in channels.channels(configured):
            told.append(f"{channel!r} {channel.key} {channel.name}")
            try:
                told.append(channel.send(MESSAGE))
            except DeliveryError as error:
                told.append("".join(traceback.format_exception(error)))  # as a log would have it
    assert secret not in json.dumps(told)
