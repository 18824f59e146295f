"""The ways to a person, each against a real server, and against servers that misbehave."""

import base64
import json
import logging
import socket
import ssl
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cleaning_service_monitor.alerts import channels
from cleaning_service_monitor.alerts.channels import DeliveryError, apprise_target, send
from cleaning_service_monitor.alerts.settings import Channel, parse
from cleaning_service_monitor.messages import Message, compose
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.app.mailserver import Mailbox, mail_server, silent_server
from tests.monitor.alerts.receivers import INCIDENT, Received, Receiver, make_certificate, receiver

MESSAGE = compose("problem", INCIDENT, "shop", 1764047893.0)
RESOLVED = compose("resolved", {**INCIDENT, "ended": 1764047893.0}, "shop", 1764047893.0)


def only(**alerts: Any) -> Channel:  # noqa: ANN401 - as JSON has it
    """Return the one channel of some settings."""
    (channel,) = parse({"host_name": "shop", **alerts}).channels
    return channel


def deliver(channel: Channel, message: Message = MESSAGE) -> str:
    return send(channel, message, "shop")


def webhook(url: str, shape: str = "json") -> Channel:
    return only(webhooks=[{"url": url, "format": shape}])


def telegram(web: Receiver) -> Channel:
    channel = only(telegram={"token": "1:a", "chat_id": "-5"})
    return replace(channel, url=channel.url.replace("https://api.telegram.org", web.url))


def mail(mailbox: Mailbox, **changes: Any) -> Channel:  # noqa: ANN401 - as JSON has it
    server = {"host": "127.0.0.1", "port": mailbox.port, "security": "none", "from": "monitor@example.org"}
    return only(smtp={**server, "to": ["a@example.org", "b@example.org"], **changes})


def failure(channel: Channel) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        deliver(channel)
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
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "TIMEOUT", 0.4)


# What each of them gets.


def test_json(web: Receiver) -> None:
    assert deliver(webhook(f"{web.url}/hook?key=1")) == ""
    (request,) = web.requests
    assert (request.method, request.path) == ("POST", "/hook?key=1")
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Host"] == f"127.0.0.1:{web.port}"
    assert request.headers["User-Agent"] == "cleaning-service-monitor"
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
    deliver(webhook(f"http://ann:p%40ss@127.0.0.1:{web.port}/"))
    assert web.requests[0].headers["Authorization"] == f"Basic {base64.b64encode(b'ann:p@ss').decode()}"
    assert web.requests[0].headers["Host"] == f"127.0.0.1:{web.port}"


def test_slack(web: Receiver) -> None:
    message = compose("problem", {**INCIDENT, "cause": "<a> & <b>"}, "shop", 1764047893.0)
    deliver(webhook(f"{web.url}/services/T/B/X", "slack"), message)
    text = web.requests[0].json["text"]
    assert text.startswith("*[shop] api: problem: &lt;a&gt; &amp; &lt;b&gt;*\nHost: shop\n")


def test_ntfy(web: Receiver) -> None:
    message = compose("person-needed", {**INCIDENT, "evidence": ["ж" * 200] * 20}, "Бюро", 1764047893.0)
    deliver(webhook(f"{web.url}/topic", "ntfy"), message)
    (request,) = web.requests
    assert request.headers["Title"].startswith("[????] api: a person is needed")
    assert request.headers["Priority"] == "5"
    assert 4000 < len(request.body) <= 4096
    assert request.body.decode().startswith("Host: Бюро\n")


def test_healthchecks(web: Receiver) -> None:
    channel = webhook(f"{web.url}/ping/uuid/?rid=1", "healthchecks")
    for message in (MESSAGE, RESOLVED, compose("test", {}, "shop", 1764047893.0)):
        deliver(channel, message)
    paths = [request.path for request in web.requests]
    assert paths == ["/ping/uuid/fail?rid=1", "/ping/uuid?rid=1", "/ping/uuid/log?rid=1"]
    assert web.requests[0].body.decode().startswith(MESSAGE["subject"])


def test_telegram(web: Receiver) -> None:
    long = compose("problem", {**INCIDENT, "evidence": ["\U0001f4a5" * 300] * 20}, "shop", 1764047893.0)
    deliver(telegram(web), long)
    (request,) = web.requests
    assert request.path == "/bot1:a/sendMessage"
    assert request.json["chat_id"] == "-5"
    units = len(request.json["text"].encode("utf-16-le")) // 2
    assert 4000 < units <= 4096
    assert request.json["text"].startswith("[shop] api: problem: GET /health/ready")


def test_mail_without_a_login() -> None:
    with mail_server() as mailbox:
        assert deliver(mail(mailbox)) == ""
        deliver(mail(mailbox), RESOLVED)
        deliver(mail(mailbox))
    first, second, again = mailbox.messages
    assert mailbox.recipients[0] == ["a@example.org", "b@example.org"]
    assert first["Subject"] == MESSAGE["subject"]
    assert (first["From"], first["To"]) == ("monitor@example.org", "a@example.org, b@example.org")
    assert first.get_content().replace("\r\n", "\n") == MESSAGE["text"]
    assert first["Auto-Submitted"] == "auto-generated"
    assert first["Message-ID"] == again["Message-ID"] != second["Message-ID"]
    assert first["References"] == second["References"]


def test_mail_in_russian() -> None:
    message = compose("problem", {**INCIDENT, "cause": "нет ответа"}, "Бюро", 1764047893.0)
    with mail_server() as mailbox:
        deliver(mail(mailbox), message)
    assert mailbox.messages[0]["Subject"] == "[Бюро] api: problem: нет ответа"
    assert "Cause: нет ответа" in mailbox.messages[0].get_content()


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_with_a_login(
    security: str, server_side: ssl.SSLContext, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    encryption: dict[str, Any] = {"ssl_context" if security == "tls" else "tls_context": server_side}
    # To aiosmtpd only STARTTLS is TLS: it would not offer a login.
    with mail_server(**encryption, auth_require_tls=security != "tls") as mailbox:
        login = {"security": security, "username": "ann", "password": "right"}
        assert "certificate is not trusted" in str(failure(mail(mailbox, **login)))
        assert mailbox.logins == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        deliver(mail(mailbox, **login))
        assert mailbox.logins == [("ann", "right")]
        assert len(mailbox.messages) == 1
        wrong = mail(mailbox, **{**login, "password": "wr0ng-Secret"})
        assert str(failure(wrong)) == "the server refused the username or the password (535)"


def test_a_mail_server_that_refuses() -> None:
    with mail_server(refuse=lambda address: "550 no such user" if address[0] == "a" else None) as mailbox:
        assert deliver(mail(mailbox)) == "the server refused 1 of 2 recipients"
        error = failure(mail(mailbox, to=["a@example.org"]))
        assert (str(error), error.refused) == ("the server refused all recipients (550)", True)
        assert "refused STARTTLS" in str(failure(mail(mailbox, security="starttls")))
    with mail_server(refuse=lambda _: "451 later") as mailbox:
        error = failure(mail(mailbox))
        assert (str(error), error.refused) == ("the server refused all recipients (451)", False)
    with mail_server(data_size_limit=100) as mailbox:
        assert str(failure(mail(mailbox))) == "the server refused the sender (552)"


# Apprise, the real one.


def test_apprise(web: Receiver) -> None:
    assert deliver(only(urls=[f"json://127.0.0.1:{web.port}/hook"]), RESOLVED) == ""
    (request,) = web.requests
    assert request.path.rstrip("/") == "/hook"
    assert (request.json["title"], request.json["type"]) == (RESOLVED["subject"], "success")
    assert request.json["message"].strip() == RESOLVED["text"].strip()


def test_apprise_fails(web: Receiver) -> None:
    web.answer = lambda _: (500, {})
    error = failure(only(urls=[f"json://127.0.0.1:{web.port}"]))
    assert (str(error), error.refused) == ("Apprise could not deliver it", True)
    assert str(failure(only(urls=["nosuchservice://x"]))) == "Apprise could not deliver it"


def test_apprise_splits_what_is_too_long_for_a_service() -> None:
    assert apprise_target("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js")[0].overflow_mode == "split"
    chosen = apprise_target("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js?overflow=truncate")
    assert chosen[0].overflow_mode == "truncate"
    assert apprise_target("nosuchservice://x") is None


@pytest.mark.parametrize("security", ["starttls", "ssl"])
def test_apprise_checks_the_certificate_of_a_mail_server(
    security: str, server_side: ssl.SSLContext, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    encryption: dict[str, Any] = {"ssl_context" if security == "ssl" else "tls_context": server_side}
    with mail_server(**encryption, auth_require_tls=security != "ssl") as mailbox:
        query = f"smtp=127.0.0.1&from=a@example.org&to=b@example.org&mode={security}"
        channel = only(urls=[f"mailtos://ann:right@127.0.0.1:{mailbox.port}?{query}"])
        failure(channel)
        assert mailbox.logins == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        deliver(channel)
        assert mailbox.logins == [("ann", "right")]


def test_apprise_logs_nothing(
    web: Receiver, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    web.answer = lambda _: (500, {})
    with caplog.at_level(logging.DEBUG, logger="apprise"):
        failure(only(urls=[f"json://127.0.0.1:{web.port}/S3cret"]))
        failure(only(urls=["nosuchservice://S3cret"]))
    assert "S3cret" not in caplog.text + "".join(capsys.readouterr())


def test_apprise_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(ModuleNotFoundError):
        deliver(only(urls=["discord://id/token"]))


def test_the_heartbeat(web: Receiver) -> None:
    channel = only(heartbeat_url=f"{web.url}/ping/x?y")
    send(channel, {}, "shop")
    assert [(request.method, request.path) for request in web.requests] == [("GET", "/ping/x?y")]
    web.answer = lambda _: (404, {})
    assert str(failure(channel)) == "it answered 404 Not Found"


# TLS.


def test_https_with_a_certificate_of_ones_own(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver(tls=certificate) as web:
        assert "its certificate is not trusted" in str(failure(webhook(f"{web.url}/secret")))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        deliver(webhook(f"{web.url}/secret"))
        assert len(web.requests) == 1
        name = webhook(f"https://localhost:{web.port}/secret")
        assert "Hostname mismatch" in str(failure(name))
        assert len(web.requests) == 1


def test_https_to_a_server_without_tls(web: Receiver) -> None:
    assert str(failure(webhook(f"https://127.0.0.1:{web.port}/"))) == "it failed (SSLError)"


# Answers that are none.


@pytest.mark.parametrize(
    ("status", "headers", "sentence", "refused"),
    [
        (500, {}, "it answered 500 Internal Server Error", False),
        (400, {}, "it answered 400 Bad Request", True),
        (413, {}, "Entity Too Large", True),
        (401, {}, "it answered 401 Unauthorized", False),
        (302, {"Location": "https://elsewhere/secret"}, "the URL must be the one that it redirects to", False),
        (307, {"Location": "https://elsewhere/secret"}, "the URL must be the one that it redirects to", False),
        (799, {}, "it answered 799", False),
        (429, {"Retry-After": "120"}, "it answered 429 Too Many Requests", False),
    ],
)
def test_an_answer_that_is_no_success(
    web: Receiver, status: int, headers: dict[str, str], sentence: str, *, refused: bool
) -> None:
    web.answer = lambda _: (status, headers)
    for channel in (webhook(web.url), telegram(web)):
        error = failure(channel)
        assert sentence in str(error)
        assert "elsewhere" not in str(error)
        assert error.refused == refused


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
                            threading.Event().wait(0.01)
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
    ("answer", "sentence"),
    [
        (b"", r"it failed \(RemoteDisconnected\)"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", r"it failed \(BadStatusLine\)"),
    ],
)
def test_an_http_server_that_misbehaves(answer: bytes, sentence: str) -> None:
    for port in raw_server(answer):
        with pytest.raises(DeliveryError, match=sentence):
            deliver(webhook(f"http://127.0.0.1:{port}/"))


def test_a_good_answer_that_never_ends_is_no_reason_to_send_it_twice() -> None:
    for port in raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"):
        deliver(webhook(f"http://127.0.0.1:{port}/"))


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("kind", ["http", "https", "none", "starttls", "tls"])
def test_a_server_that_accepts_and_never_answers(kind: str) -> None:
    with silent_server() as port:
        server = Mailbox(port, lambda _: None)
        channel = webhook(f"{kind}://127.0.0.1:{port}/") if kind.startswith("http") else mail(server, security=kind)
        assert str(failure(channel)) == "no answer within 0.4 s"


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
            deliver(webhook("http://name.example.org/"))
    assert len(web.requests) == 1


def test_a_proxy_of_the_environment_is_ignored(web: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    deliver(webhook(web.url))
    assert len(web.requests) == 1


# Secrets.


secrets = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"), min_size=12)


@given(secret=secrets, status=st.sampled_from([200, 302, 400, 401, 403, 404, 429, 500, 799]))
@settings(deadline=None, max_examples=20)
def test_a_server_that_repeats_all_it_knows_betrays_nothing(secret: str, status: int) -> None:
    def repeat(request: Received) -> tuple[int, dict[str, str]]:
        repeater.body = f"{request.path} {request.headers} {request.body!r}".encode()
        return status, {"Location": request.path, "Retry-After": request.path}

    with receiver() as repeater, mail_server(refuse=lambda _: f"550 {secret}") as mailbox:
        repeater.answer = repeat
        host = f"127.0.0.1:{repeater.port}"
        bot = only(telegram={"token": secret, "chat_id": "1"})
        hooks = [
            {"url": f"http://{host}/{secret}/x?key={secret}", "format": shape}
            for shape in ("json", "slack", "ntfy", "healthchecks")
        ]
        hooks += [{"url": f"http://{secret}:{secret}@{host}/"}, {"url": f"https://{host}/{secret}"}]
        found = [
            replace(bot, url=bot.url.replace("https://api.telegram.org", repeater.url)),
            mail(mailbox),
            *parse({"webhooks": hooks}).channels,
        ]
        told = []
        for channel in found:
            told.append(f"{channel!r} {channel.name}")
            try:
                told.append(deliver(channel))
            except DeliveryError as error:
                told.append("".join(traceback.format_exception(error)))  # as a log would have it
    assert secret not in json.dumps(told)
