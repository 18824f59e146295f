"""One round of deliveries: the order, and that no channel and no message holds up another."""

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cleaning_service_monitor.alerts import channels, child
from cleaning_service_monitor.alerts.child import run, send_test
from cleaning_service_monitor.alerts.settings import AlertSettings, Channel, parse
from cleaning_service_monitor.alerts.spool import Spool
from cleaning_service_monitor.messages import Message, compose
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.monitor.alerts.receivers import Received, Receiver, incident, receiver

SECRET = "S3cret-that-nobody-sees"


def message(kind: str = "problem", component: str = "api", at: float | None = None) -> Message:
    return compose(kind, incident(component), "shop", time.time() if at is None else at)


def alerts(*servers: Receiver, **more: Any) -> AlertSettings:  # noqa: ANN401 - as JSON has it
    hooks = [{"url": f"{server.url}/{SECRET}"} for server in servers]
    return parse({"host_name": "shop", "webhooks": hooks, **more})


def down(_: Received) -> tuple[int, dict[str, str]]:
    return 500, {}


def up(_: Received) -> tuple[int, dict[str, str]]:
    return 200, {}


class Post:
    """A spool, the settings, and the events of the rounds."""

    def __init__(self, directory: Path, configured: AlertSettings) -> None:
        self.spool = Spool(directory)
        self.configured = configured
        self.events: list[dict[str, Any]] = []

    def put(self, *messages: Message) -> None:
        """Queue messages for all channels."""
        for each in messages:
            for channel in self.configured.channels:
                self.spool.put(channel.label, each)

    def deliver(self) -> dict[str, str]:
        """Be the child; returns the cause of each channel's failure."""
        before = len(self.events)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                child,
                "_report",
                lambda event, channel, **more: self.events.append({"event": event, "channel": channel, **more}),
            )
            patch.setattr(signal, "signal", lambda *_: None)
            assert run(self.configured, self.spool, [channel.label for channel in self.configured.channels]) == 0
        return {event["channel"]: event["cause"] for event in self.events[before:] if event["event"] == "end"}

    def reported(self) -> list[str]:
        """The events but for the ends, in their order."""
        return [event["event"] for event in self.events if event["event"] != "end"]

    @property
    def waiting(self) -> int:
        """How many messages wait, on all channels."""
        return sum(len(self.spool.waiting(channel.label)) for channel in self.configured.channels)


@pytest.fixture
def post(tmp_path: Path, web: Receiver) -> Post:
    return Post(tmp_path / "spool", alerts(web))


def test_every_channel_gets_it_once(tmp_path: Path, web: Receiver, other: Receiver) -> None:
    post = Post(tmp_path, alerts(web, other))
    post.put(message())
    assert post.deliver() == {"webhook-1": "", "webhook-2": ""}
    assert (web.kinds, other.kinds) == (["problem"], ["problem"])
    delivered = {"component": "api", "id": "20261125T051800Z-api.problem", "cause": ""}
    assert sorted(post.events[:2], key=str) == [
        {"event": "alert-delivered", "channel": f"webhook-{number}", **delivered} for number in (1, 2)
    ]
    assert post.deliver() == {"webhook-1": "", "webhook-2": ""}
    assert (len(web.requests), len(other.requests), post.waiting) == (1, 1, 0)


def test_only_the_channels_that_are_due_are_served(tmp_path: Path, web: Receiver, other: Receiver) -> None:
    post = Post(tmp_path, alerts(web, other))
    post.put(message())
    assert run(post.configured, post.spool, ["webhook-2", "gone"]) == 0
    assert (web.kinds, other.kinds) == ([], ["problem"])


def test_a_channel_that_is_down_holds_no_other_up_and_repeats_nothing_there(
    tmp_path: Path, web: Receiver, other: Receiver
) -> None:
    post = Post(tmp_path, alerts(web, other))
    web.answer = down
    post.put(message())
    assert post.deliver() == {"webhook-1": "it answered 500 Internal Server Error", "webhook-2": ""}
    web.answer = up
    assert post.deliver() == {"webhook-1": "", "webhook-2": ""}
    assert (web.kinds, other.kinds) == (["problem", "problem"], ["problem"])


def test_the_order_holds_when_the_network_comes_back(post: Post, web: Receiver) -> None:
    web.answer = down
    post.put(message(), message("person-needed"), message("reminder"))
    post.deliver()
    post.put(message("problem", "redis"), message("resolved"))
    post.deliver()
    assert web.kinds == ["problem"] * 2  # no message after one that failed
    web.requests.clear()
    web.answer = up
    assert post.deliver() == {"webhook-1": ""}
    received = [(request.json["component"], request.json["kind"]) for request in web.requests]
    # The reminder says nothing any more.
    assert received == [("api", "problem"), ("api", "person-needed"), ("redis", "problem"), ("api", "resolved")]


def test_only_the_last_reminder_is_delivered(post: Post, web: Receiver) -> None:
    start = time.time()
    for hour in range(5):
        post.put(message("reminder", at=start + 3600 * hour))
    post.put(message("person-needed"))
    assert post.deliver() == {"webhook-1": ""}
    assert web.requests[0].json["at"] == start + 4 * 3600
    assert (web.kinds, post.waiting) == (["reminder", "person-needed"], 0)


def test_a_message_that_is_refused_holds_only_its_own_incident_up(post: Post, web: Receiver) -> None:
    web.answer = lambda request: (400, {}) if request.json["component"] == "api" else (200, {})
    post.put(message(), message("resolved"), message(component="redis"))
    assert post.deliver() == {"webhook-1": "it answered 400 Bad Request"}
    received = [(request.json["component"], request.json["kind"]) for request in web.requests]
    assert received == [("api", "problem"), ("redis", "problem")]
    web.answer = up
    assert post.deliver() == {"webhook-1": ""}
    assert web.kinds[2:] == ["problem", "resolved"]


def test_a_damaged_file_is_removed_and_reported(post: Post, web: Receiver) -> None:
    post.put(message(), message("resolved"))
    post.spool.waiting("webhook-1")[0].write_text("{")
    assert post.deliver() == {"webhook-1": ""}
    assert web.kinds == ["resolved"]
    assert sorted(post.reported()) == ["alert-damaged", "alert-delivered"]
    assert post.waiting == 0


def test_an_unforeseen_error_of_one_channel_stops_no_other(
    tmp_path: Path, web: Receiver, other: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = channels.send

    def broken(channel: Channel, sent: Message, host: str) -> str:
        if str(web.port) in channel.url:
            raise KeyError(channel.url)
        return real(channel, sent, host)

    monkeypatch.setattr(channels, "send", broken)
    post = Post(tmp_path, alerts(web, other))
    post.put(message())
    assert post.deliver() == {"webhook-1": "KeyError", "webhook-2": ""}
    assert other.kinds == ["problem"]
    assert SECRET not in str(post.events)
    assert list(map(str, send_test(post.configured).values())) == ["KeyError", "None"]


def test_the_heartbeat(web: Receiver, tmp_path: Path) -> None:
    post = Post(tmp_path / "gone" / "spool", parse({"heartbeat_url": f"{web.url}/{SECRET}"}))
    assert post.deliver() == {"heartbeat": ""}
    assert [request.method for request in web.requests] == ["GET"]
    web.answer = down
    assert post.deliver() == {"heartbeat": "it answered 500 Internal Server Error"}
    assert SECRET not in str(post.events)


def test_a_stop_ends_it_before_the_next_delivery(post: Post, web: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    post.put(message(), message("resolved"))
    handlers: list[Any] = []
    with monkeypatch.context() as patch:
        patch.setattr(signal, "signal", lambda _, handler: handlers.append(handler))

        def stop(_: Received) -> tuple[int, dict[str, str]]:
            handlers[0](signal.SIGTERM, None)
            return 200, {}

        web.answer = stop
        run(post.configured, post.spool, ["webhook-1"])
    assert (web.kinds, post.waiting) == (["problem"], 1)


def test_a_long_queue_leaves_the_rest_to_the_next_round(
    post: Post, web: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "_LAST_START", 0.3)

    def slow(_: Received) -> tuple[int, dict[str, str]]:
        time.sleep(0.2)
        return 200, {}

    web.answer = slow
    post.put(*(message(component=f"c{number}") for number in range(5)))
    assert post.deliver() == {"webhook-1": ""}
    assert 1 <= len(web.requests) == 5 - post.waiting < 5


# What a time-out of each step does not bound.


def dripping_server() -> Iterator[int]:
    """Answer every connection with a byte now and then."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            try:
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=drip, args=[connection], daemon=True).start()
            except OSError:
                return

        def drip(connection: socket.socket) -> None:
            with closing(connection):
                try:
                    while True:
                        connection.sendall(b"2")
                        time.sleep(0.05)
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def test_a_server_that_drips_ends_at_the_deadline_and_delays_no_other(
    tmp_path: Path, web: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "DEADLINE", 1.0)
    received: list[float] = []

    def note(_: Received) -> tuple[int, dict[str, str]]:
        received.append(time.monotonic())
        return 200, {}

    web.answer = note
    for port in dripping_server():
        hooks = [{"url": f"http://127.0.0.1:{port}/"}, {"url": web.url}]
        smtp = {"host": "127.0.0.1", "port": port, "security": "none", "from": "a@x.org", "to": ["b@x.org"]}
        post = Post(tmp_path, parse({"webhooks": hooks, "smtp": smtp}))
        post.put(message())
        begun = time.monotonic()
        causes = post.deliver()
        assert 0.9 < time.monotonic() - begun < 3
    assert causes == {"smtp": "no answer within 1 s", "webhook-1": "no answer within 1 s", "webhook-2": ""}
    assert received[0] - begun < 0.8
    assert (len(web.requests), post.waiting) == (1, 2)


def test_a_resolver_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr(child, "DEADLINE", 0.4)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [ended.wait(30)][:0])
    post = Post(tmp_path, parse({"webhooks": [{"url": "http://name.example.org/"}]}))
    post.put(message())
    begun = time.monotonic()
    assert post.deliver() == {"webhook-1": "no answer within 0.4 s"}
    assert time.monotonic() - begun < 2
    ended.set()


# All together.

incidents = st.sampled_from(["a", "b"])
moves = st.lists(
    st.one_of(
        st.tuples(st.just("put"), incidents),
        st.tuples(st.just("network"), st.sampled_from([200, 500, 400, 429])),
        st.tuples(st.just("round"), st.just("")),
    ),
    max_size=20,
)


@given(moves=moves)
@settings(deadline=None, max_examples=40)
def test_whatever_happens_the_order_holds_and_nothing_is_lost(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[str, Any]]
) -> None:
    story = {"a": iter(["problem", "person-needed", "resolved"]), "b": iter(["problem", "resolved"])}
    put: dict[str, list[str]] = {"a": [], "b": []}
    arrived: dict[str, list[str]] = {"a": [], "b": []}
    status = 200

    def answer(request: Received) -> tuple[int, dict[str, str]]:
        if status == 200:
            arrived[request.json["component"]].append(request.json["kind"])
        return status, {}

    with receiver() as web:
        web.answer = answer
        post = Post(tmp_path_factory.mktemp("spool"), alerts(web))
        for move, what in [*moves, ("network", 200)]:
            if move == "network":
                status = what
            elif move == "put" and (kind := next(story[what], None)):
                put[what].append(kind)
                post.put(message(kind, what))
            if move != "put":
                post.deliver()
            for name, kinds in arrived.items():
                assert kinds == put[name][: len(kinds)]
        assert arrived == put
        assert post.waiting == 0


# The test command, and the output.


def test_a_test_message_goes_out_at_once_and_each_channel_is_reported(web: Receiver, other: Receiver) -> None:
    other.answer = down
    errors = send_test(alerts(web, other, heartbeat_url=f"{web.url}/beat"))
    assert {name: str(error or "") for name, error in errors.items()} == {
        "webhook-1 (127.0.0.1)": "",
        "webhook-2 (127.0.0.1)": "it answered 500 Internal Server Error",
        "heartbeat (127.0.0.1)": "",
    }
    assert [request.json["kind"] for request in web.requests if request.method == "POST"] == ["test"]
    assert send_test(parse({})) == {}


def test_the_output_is_one_json_object_a_line(
    tmp_path: Path, web: Receiver, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    spool = Spool(tmp_path)
    spool.put("webhook-1", message())
    run(alerts(web), spool, ["webhook-1"])
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["alert-delivered", "end"]
    assert SECRET not in str(lines)
