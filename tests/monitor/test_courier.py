"""From the spool to a person: order, patience, and a monitor that is never held up."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cleaning_service_monitor import channels
from cleaning_service_monitor.alert_settings import AlertSettings, parse
from cleaning_service_monitor.courier import Courier, Link, delay, deliver, send_test
from cleaning_service_monitor.messages import Message, compose
from cleaning_service_monitor.spool import Note, Spool, locked
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.monitor.helpers import wait_until
from tests.monitor.receivers import Received, Receiver, incident, receiver
from tests.monitor.test_spool import fill, small_disk

NOW = 1764047893.0
DAY = 86400.0
SECRET = "S3cret-that-nobody-sees"


def message(kind: str = "problem", component: str = "api", at: float = NOW) -> Message:
    return compose(kind, incident(component), "shop", at)


def alerts(*servers: Receiver, **more: Any) -> AlertSettings:  # noqa: ANN401 - as JSON has it
    hooks = [{"url": f"{server.url}/{SECRET}"} for server in servers]
    return parse({"host_name": "shop", "webhooks": hooks, **more})


def down(_: Received) -> tuple[int, dict[str, str]]:
    return 500, {}


def up(_: Received) -> tuple[int, dict[str, str]]:
    return 200, {}


class Post:
    """Delivers from a spool, with a clock of the test's."""

    def __init__(self, directory: Path, configured: AlertSettings) -> None:
        self.spool = Spool(directory)
        self.configured = configured
        self.now = NOW
        self.events: list[dict[str, Any]] = []

    def deliver(self, **options: Any) -> float | None:  # noqa: ANN401 - passed on
        """Be the child."""
        link = Link(self.events.append, clock=lambda: self.now)
        return deliver(self.configured, self.spool.directory, link, **options)

    def told(self) -> list[str]:
        """What was told, in its order."""
        return [event["event"] for event in self.events]

    @property
    def waiting(self) -> int:
        """How many messages are in the spool."""
        return len(list(self.spool.directory.glob("*.json")))


@pytest.fixture
def web() -> Iterator[Receiver]:
    with receiver() as server:
        yield server


@pytest.fixture
def other() -> Iterator[Receiver]:
    with receiver() as server:
        yield server


@pytest.fixture
def post(tmp_path: Path, web: Receiver) -> Post:
    return Post(tmp_path / "spool", alerts(web))


# Delivery, with a clock of our own.


def test_every_channel_gets_it_once(tmp_path: Path, web: Receiver, other: Receiver) -> None:
    post = Post(tmp_path, alerts(web, other))
    post.spool.put(message())
    assert post.deliver() is None
    assert (web.kinds, other.kinds) == (["problem"], ["problem"])
    assert sorted(post.events, key=str) == [
        {
            "event": "alert-delivered",
            "id": "20261125T051800Z-api.problem",
            "component": "api",
            "channel": f"webhook-{number} (127.0.0.1)",
            "attempts": 1,
            "cause": "",
        }
        for number in (1, 2)
    ]
    assert post.deliver() is None
    assert (len(web.requests), len(other.requests), post.waiting) == (1, 1, 0)


def test_a_channel_that_is_down_holds_no_other_up(tmp_path: Path, web: Receiver, other: Receiver) -> None:
    post = Post(tmp_path, alerts(web, other))
    web.answer = down
    post.spool.put(message())
    wait = post.deliver()
    assert wait is not None
    assert 3.75 <= wait <= 5
    assert other.kinds == ["problem"]
    web.answer = up
    post.now += 5
    assert post.deliver() is None
    assert (web.kinds, other.kinds) == (["problem", "problem"], ["problem"])
    assert sorted(post.told()) == ["alert-delivered", "alert-delivered", "alert-failed"]


def test_the_order_holds_when_the_network_comes_back(post: Post, web: Receiver) -> None:
    web.answer = down
    for kind, at in (("problem", 0), ("person-needed", 60), ("reminder", 3600)):
        post.now = NOW + at
        post.spool.put(message(kind, at=post.now))
        post.deliver()
    post.spool.put(message("problem", "redis", post.now))
    post.deliver()
    assert web.kinds == ["problem"] * len(web.requests)
    web.requests.clear()
    web.answer = up
    post.now += 1
    post.spool.put(message("resolved", at=post.now))
    # The new message makes the incident due, and its success all the rest.
    assert post.deliver() is None
    told = [(request.json["component"], request.json["kind"]) for request in web.requests]
    # The reminder says nothing any more.
    assert told == [("api", "problem"), ("api", "person-needed"), ("api", "resolved"), ("redis", "problem")]


def test_only_the_last_reminder_is_delivered(post: Post, web: Receiver) -> None:
    for hour in range(5):
        post.spool.put(message("reminder", at=NOW + 3600 * hour))
    assert post.deliver() is None
    assert [request.json["at"] for request in web.requests] == [NOW + 4 * 3600]
    assert post.waiting == 0


def test_while_a_channel_is_down_it_is_tried_ever_more_rarely(post: Post, web: Receiver) -> None:
    web.answer = down
    for number in range(5):
        post.spool.put(message(component=f"c{number}", at=NOW + number))
    waits = []
    for _ in range(12):
        wait = post.deliver()
        assert wait is not None
        waits.append(wait)
        post.now += wait
    assert len(web.requests) == 12  # one each time, not one for each message
    expected = [min(5.0 * 2**number, 600) for number in range(12)]
    for wait, longest in zip(waits, expected, strict=True):
        assert longest * 0.74 <= wait <= longest
    # Only the first failure of each message is news.
    assert post.told().count("alert-failed") <= 5


def test_a_new_message_is_a_reason_to_try_at_once(post: Post, web: Receiver) -> None:
    web.answer = down
    post.spool.put(message())
    for _ in range(10):
        post.now += post.deliver() or 0
    post.deliver()
    tried = len(web.requests)
    post.now += 1
    post.deliver()
    assert len(web.requests) == tried  # nothing new: it waits
    post.spool.put(message(component="redis", at=post.now))
    wait = post.deliver()
    assert len(web.requests) == tried + 1
    assert wait is not None
    assert wait > 400  # and waits again as long as before


def test_a_message_that_is_refused_holds_only_its_own_incident_up(post: Post, web: Receiver) -> None:
    web.answer = lambda request: (400, {}) if request.json["component"] == "api" else (200, {})
    for kind in ("problem", "resolved"):
        post.spool.put(message(kind))
    post.spool.put(message(component="redis", at=NOW + 1))
    wait = post.deliver()
    assert wait is not None
    assert wait >= 3.7
    assert [(request.json["component"], request.json["kind"]) for request in web.requests] == [
        ("api", "problem"),
        ("redis", "problem"),
    ]
    post.now += wait
    web.answer = up
    assert post.deliver() is None
    assert web.kinds[2:] == ["problem", "resolved"]


def test_a_server_that_asks_to_be_left_alone_is(post: Post, web: Receiver) -> None:
    web.answer = lambda _: (429, {"Retry-After": "1000"})
    post.spool.put(message())
    assert post.deliver() == 1000
    web.answer = up
    post.now += 999
    post.spool.put(message("resolved", at=post.now))
    assert post.deliver() == 1
    assert len(web.requests) == 1
    post.now += 1
    assert post.deliver() is None
    assert web.kinds == ["problem", "problem", "resolved"]


def test_a_clock_that_is_put_back_does_not_keep_messages_waiting(post: Post, web: Receiver) -> None:
    web.answer = down
    post.spool.put(message())
    for _ in range(10):
        post.now += post.deliver() or 0
    web.answer = up
    post.now -= 365 * DAY
    assert post.deliver() is None


def test_nothing_is_given_up_within_three_days_or_without_having_tried(post: Post, web: Receiver) -> None:
    web.answer = down
    post.spool.put(message())
    attempts = 0
    while post.now < NOW + 3 * DAY:
        post.now += post.deliver() or 0
        attempts += 1
    assert attempts > 400
    assert "alert-given-up" not in post.told()
    post.now += 1000
    assert post.deliver() is None
    assert post.events[-1]["event"] == "alert-given-up"
    assert post.waiting == 0
    # A host that was off for a week has not tried.
    post.now = NOW
    post.spool.put(message())
    post.deliver()
    post.now += 7 * DAY
    assert post.deliver() is not None
    web.answer = up
    post.now += 7 * DAY
    assert post.deliver() is None
    assert post.told()[-1] == "alert-delivered"


def test_without_a_channel_nothing_is_kept(tmp_path: Path) -> None:
    post = Post(tmp_path, parse({}))
    post.spool.put(message())
    assert post.deliver() is None
    assert (post.waiting, post.events) == (0, [])


def test_another_child_is_at_work(post: Post, web: Receiver) -> None:
    post.spool.put(message())
    with locked(post.spool.directory):
        assert post.deliver() == 5
    assert web.requests == []


def test_a_stop_ends_it_before_the_next_delivery(post: Post, web: Receiver) -> None:
    post.spool.put(message())
    post.spool.put(message("resolved"))
    link = Link(post.events.append)

    def stop(_: Received) -> tuple[int, dict[str, str]]:
        link.stop.set()
        return 200, {}

    web.answer = stop
    assert deliver(post.configured, post.spool.directory, link) == 0
    assert web.kinds == ["problem"]
    assert post.waiting == 1


def test_an_unforeseen_error_of_one_channel_stops_no_other(
    tmp_path: Path, web: Receiver, other: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = channels._webhook

    def broken(configured: AlertSettings, webhook: Any, told: Message) -> str:  # noqa: ANN401 - passed on
        if str(web.port) in webhook.url:
            raise KeyError(webhook.url)
        return real(configured, webhook, told)

    monkeypatch.setattr(channels, "_webhook", broken)
    post = Post(tmp_path, alerts(web, other))
    post.spool.put(message())
    assert post.deliver() == 600
    assert other.kinds == ["problem"]
    (event,) = (event for event in post.events if event["event"] == "alert-channel-broken")
    assert event["cause"].startswith("KeyError at test_courier.py:")
    assert SECRET not in str(post.events)
    (outcome, _) = send_test(post.configured, "shop")
    assert not outcome.delivered
    assert outcome.detail.startswith("KeyError at")


def test_the_heartbeat_is_sent_only_when_asked_for(web: Receiver, tmp_path: Path) -> None:
    post = Post(tmp_path / "gone" / "spool", parse({"heartbeat_url": f"{web.url}/{SECRET}"}))
    assert post.deliver() is None
    assert web.requests == []
    assert post.deliver(heartbeat=True) is None
    assert [request.method for request in web.requests] == ["GET"]
    web.answer = down
    post.deliver(heartbeat=True)
    assert [event["cause"] for event in post.events] == ["", "it answered 500 Internal Server Error"]
    assert SECRET not in str(post.events)


incidents = st.sampled_from(["a", "b"])
moves = st.lists(
    st.one_of(
        st.tuples(st.just("put"), incidents),
        st.tuples(st.just("network"), st.sampled_from([200, 500, 400, 429])),
        st.tuples(st.just("wait"), st.sampled_from([1, 30, 700])),
    ),
    max_size=25,
)


@given(moves=moves)
@settings(deadline=None, max_examples=60)
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
        return status, {"Retry-After": "60"} if status == 429 else {}

    with receiver() as web:
        web.answer = answer
        post = Post(tmp_path_factory.mktemp("spool"), alerts(web))
        for move, what in [*moves, ("network", 200), ("wait", 700), ("wait", 4000)]:
            if move == "network":
                status = what
            elif move == "wait":
                post.now += what
            elif kind := next(story[what], None):
                put[what].append(kind)
                post.spool.put(message(kind, what, post.now))
            before = len(web.requests)
            wait = post.deliver()
            assert wait is None or wait > 0  # never a child after the other
            assert len(web.requests) - before <= 5
            for name, kinds in arrived.items():
                assert kinds == put[name][: len(kinds)]
        assert arrived == put
        assert post.waiting == 0


def test_delays_grow_and_are_not_the_same_everywhere() -> None:
    for attempts in (1, 2, 8, 10_000):
        longest = min(5 * 2 ** min(attempts - 1, 20), 600)
        delays = {delay(attempts) for _ in range(50)}
        assert len(delays) > 5
        assert all(longest * 0.74 < each <= longest for each in delays)


# The test command.


def test_a_test_message_goes_out_at_once_and_each_channel_is_reported(web: Receiver, other: Receiver) -> None:
    other.answer = down
    outcomes = send_test(alerts(web, other, heartbeat_url=f"{web.url}/beat"), "shop")
    assert outcomes == [
        ("webhook-1 (127.0.0.1)", True, ""),
        ("webhook-2 (127.0.0.1)", False, "it answered 500 Internal Server Error"),
        ("heartbeat (127.0.0.1)", True, ""),
    ]
    assert web.requests[0].json["kind"] == "test"
    assert send_test(parse({}), "shop") == []


# The monitor's side, with real children.

CHILD = (
    "import json, sys\n"
    "from pathlib import Path\n"
    "from cleaning_service_monitor.alert_settings import parse\n"
    "from cleaning_service_monitor.courier import run_child\n"
    "configured = parse(json.loads(Path(sys.argv[1]).read_text()))\n"
    "raise SystemExit(run_child(configured, Path(sys.argv[2]), heartbeat='--heartbeat' in sys.argv))\n"
)


class Office:
    """A courier whose children read the settings from a file, as those of the monitor do."""

    def __init__(self, directory: Path, raw: dict[str, Any], command: list[str] | None = None) -> None:
        path = directory / "alerts.json"
        path.write_text(json.dumps(raw))
        self.directory = directory / "spool"
        self.spool = Spool(self.directory)
        real = [sys.executable, "-c", CHILD, str(path), str(self.directory)]
        self.courier = Courier(command or real, self.spool, parse(raw))
        self.notes: list[Note] = []
        self.now = NOW

    def poll(self, **options: Any) -> None:  # noqa: ANN401 - passed on
        """Poll once and keep what is to be logged."""
        self.notes += self.courier.poll(self.now, **options)

    @property
    def process(self) -> "subprocess.Popen[bytes] | None":
        """The child at work."""
        return self.courier._process

    def finish(self) -> None:
        """Poll until no child is at work."""
        self.poll()

        def idle() -> bool:
            if self.process:
                self.poll()
            return not self.process

        wait_until(idle, 20, "the child ends")

    def names(self) -> list[str]:
        """What was logged."""
        return [note.name for note in self.notes]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Callable[..., Office]]:
    opened: list[Office] = []

    def make(raw: dict[str, Any], command: list[str] | None = None, directory: Path = tmp_path) -> Office:
        opened.append(Office(directory, raw, command))
        return opened[-1]

    yield make
    for each in opened:
        each.courier.close()


def hook(server: Receiver) -> dict[str, str]:
    return {"url": f"{server.url}/{SECRET}"}


def test_the_whole_way(office: Callable[..., Office], web: Receiver) -> None:
    here = office({"host_name": "shop", "webhooks": [hook(web)]})
    here.poll()
    assert here.process is None  # nothing waits
    here.courier.send(message())
    here.courier.send(message("resolved"))
    here.poll()
    assert here.process is not None
    with contextlib.suppress(OSError):
        assert SECRET not in Path(f"/proc/{here.process.pid}/cmdline").read_text()
    here.finish()
    assert web.kinds == ["problem", "resolved"]
    assert [(note.level.value, note.component, note.name) for note in here.notes] == [
        ("INFO", "api", "alert-delivered")
    ] * 2
    assert here.notes[0].details == {
        "id": "20261125T051800Z-api.problem",
        "channel": "webhook-1 (127.0.0.1)",
        "attempts": 1,
    }
    here.now += 10_000
    here.poll()
    assert here.process is None


def test_with_nobody_to_tell_nothing_is_kept(office: Callable[..., Office]) -> None:
    here = office({})
    here.courier.send(message())
    here.poll(heartbeat_due=True)
    assert here.process is None
    assert not here.directory.exists()


def test_what_an_earlier_monitor_left_is_delivered(
    office: Callable[..., Office], tmp_path: Path, web: Receiver
) -> None:
    Spool(tmp_path / "spool").put(message())
    (tmp_path / "spool" / "bad.json").write_text("{")
    here = office({"webhooks": [hook(web)]})
    here.finish()
    assert web.kinds == ["problem"]
    assert here.names() == ["alert-damaged", "alert-delivered"]


def test_a_failure_is_told_once_and_tried_again_in_time(office: Callable[..., Office], web: Receiver) -> None:
    web.answer = down
    here = office({"webhooks": [hook(web)]})
    here.courier.send(message())
    here.finish()
    here.now += 3
    here.poll()
    assert here.process is None  # not yet
    # The child has the system's clock; let it be due by that, too.
    (file,) = here.directory.glob("*.json")
    for _ in range(2):
        content = json.loads(file.read_text())
        (progress,) = content["delivery"].values()
        progress["next_at"] = 1.0
        file.write_text(json.dumps(content))
        here.now += 20
        here.finish()
    assert len(web.requests) == 3
    assert here.names() == ["alert-failed"]
    assert here.notes[0].details["cause"] == "it answered 500 Internal Server Error"
    assert SECRET not in str(here.notes)
    assert SECRET not in file.read_text()
    web.answer = up
    here.courier.send(message(component="redis"))
    here.finish()
    assert here.names() == ["alert-failed", "alert-delivered", "alert-delivered"]


def test_a_child_killed_between_sending_and_noting_sends_it_again(office: Callable[..., Office], web: Receiver) -> None:
    here = office({"webhooks": [hook(web)]})

    def kill(_: Received) -> tuple[int, dict[str, str]]:
        assert here.process
        os.kill(here.process.pid, signal.SIGKILL)
        return 200, {}

    web.answer = kill
    here.courier.send(message())
    here.finish()
    assert here.names() == ["delivery-failed"]
    assert here.notes[0].details == {"cause": "it ended with -9"}
    web.answer = up
    here.now += 6
    here.finish()
    assert web.kinds == ["problem", "problem"]
    assert web.requests[0].body == web.requests[1].body
    assert here.names() == ["delivery-failed", "alert-delivered"]
    assert list(here.directory.iterdir()) == []


def is_gone(pid: str) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"  # an orphan whom nobody has buried yet


def test_a_child_that_hangs_is_killed_with_all_it_started(office: Callable[..., Office], tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 300 & echo $! > {pids}; echo $$ >> {pids}; kill -STOP $$"
    here = office({"webhooks": [{"url": "http://127.0.0.1:1"}]}, ["sh", "-c", script])
    here.courier.send(message())
    here.poll()
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2, 10, "both have begun")
    here.now += 59.9
    here.poll()
    assert here.process is not None
    here.now += 0.2
    here.finish()
    assert here.notes[0].details == {"cause": "it took longer than 60 s"}
    wait_until(lambda: all(map(is_gone, pids.read_text().split())), 5, "both are gone")


def test_what_a_child_leaves_behind_ends_with_it(office: Callable[..., Office], tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    here = office({"webhooks": [{"url": "http://127.0.0.1:1"}]}, ["sh", "-c", f"sleep 300 & echo $! > {pid}"])
    here.courier.send(message())
    here.finish()
    wait_until(lambda: is_gone(pid.read_text().strip()), 5, "it is gone")


def test_a_huge_output_blocks_nobody(office: Callable[..., Office]) -> None:
    noise = "import sys\nfor _ in range(40): sys.stdout.write('x' * 1000000 + '\\n'); sys.stderr.write('x' * 1000000)"
    here = office({"webhooks": [{"url": "http://127.0.0.1:1"}]}, [sys.executable, "-c", noise])
    here.courier.send(message())
    here.finish()
    assert here.notes[0].details == {"cause": "it ended with 0"}


def test_lines_that_make_no_sense_are_passed_over(office: Callable[..., Office]) -> None:
    lines = [
        "",
        "x",
        "[]",
        "{}",
        '{"event": "progress"}',
        '{"event": "progress", "id": 1, "delivery": 1, "finished": 1}',
        '{"event": "forget", "ids": 1}',
        '{"event": "heartbeat"}',
        '{"event": "damaged"}',
        '{"event": "alert-failed"}',
        "[" * 100000,
        '{"event": "end", "wait": null}',
    ]
    program = "import sys; print(sys.argv[1])"
    here = office({"webhooks": [{"url": "http://127.0.0.1:1"}]}, [sys.executable, "-c", program, "\n".join(lines)])
    here.courier.send(message())
    here.finish()
    assert here.notes == []


def test_a_child_that_cannot_be_started_is_told_once(office: Callable[..., Office], tmp_path: Path) -> None:
    here = office({"webhooks": [{"url": "http://127.0.0.1:1"}]}, [str(tmp_path / "none")])
    here.courier.send(message())
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(4):
        here.poll()
        here.now += 1000
    assert [note.details for note in here.notes] == [{"cause": "FileNotFoundError: No such file or directory"}]
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_a_child_that_crashes_says_where_and_no_more(office: Callable[..., Office], tmp_path: Path) -> None:
    broken = "from cleaning_service_monitor import courier\ncourier._Round = None\n"
    program = CHILD.replace("configured =", f"{broken}configured =")
    path, spool = tmp_path / "alerts.json", tmp_path / "spool"
    here = office({"webhooks": [{"url": "http://127.0.0.1:1"}]}, [sys.executable, "-c", program, str(path), str(spool)])
    here.courier.send(message())
    here.finish()
    assert here.names() == ["alert-channel-broken", "delivery-failed"]
    assert str(here.notes[0].details["cause"]).startswith("TypeError at courier.py:")


def test_the_heartbeat_of_the_monitor(office: Callable[..., Office], web: Receiver) -> None:
    here = office({"heartbeat_url": f"{web.url}/{SECRET}"})
    for status in (200, 500, 500, 200):
        web.answer = lambda _, status=status: (status, {})  # type: ignore[misc]
        here.poll(heartbeat_due=True)
        here.finish()
    assert len(web.requests) == 4
    assert [(note.name, note.details) for note in here.notes] == [
        ("heartbeat-failed", {"channel": "heartbeat (127.0.0.1)", "cause": "it answered 500 Internal Server Error"}),
        ("heartbeat-ok", {"channel": "heartbeat (127.0.0.1)", "cause": ""}),
    ]


def test_a_full_disk_stops_no_alert_and_repeats_none(
    office: Callable[..., Office], tmp_path: Path, web: Receiver, other: Receiver
) -> None:
    other.answer = down
    with small_disk(tmp_path / "disk") as disk:
        here = office({"webhooks": [hook(web), hook(other)]}, directory=disk)
        filler = fill(disk)
        here.courier.send(message(component="disk"))
        here.finish()
        assert web.kinds == ["problem"]
        assert len(other.requests) == 1
        assert here.names()[0] == "alert-not-saved"
        here.courier.send(message("resolved", "disk", time.time()))
        here.finish()
        assert web.kinds == ["problem", "resolved"]
        assert list(here.directory.iterdir()) == []
        filler.unlink()
        here.poll()
        assert len(list(here.directory.iterdir())) == 2
        other.answer = up
        here.courier.send(message(component="redis", at=time.time()))
        here.finish()
        assert web.kinds == ["problem", "resolved", "problem"]
        told = [(request.json["component"], request.json["kind"]) for request in other.requests[-3:]]
        assert sorted(told) == [("disk", "problem"), ("disk", "resolved"), ("redis", "problem")]
        assert told.index(("disk", "problem")) < told.index(("disk", "resolved"))
        assert list(here.directory.iterdir()) == []


def test_the_monitor_ends_in_the_middle_of_a_delivery(office: Callable[..., Office], web: Receiver) -> None:
    def slow(_: Received) -> tuple[int, dict[str, str]]:
        time.sleep(0.5)
        return 200, {}

    web.answer = slow
    here = office({"webhooks": [hook(web)]})
    here.courier.send(message())
    here.courier.send(message("resolved"))
    here.poll()
    wait_until(lambda: web.requests, 10, "the request comes")
    assert [note.name for note in here.courier.close()] == ["alert-delivered"]
    assert here.process is None
    assert len(list(here.directory.iterdir())) == 1  # noted: it will not be sent again
    assert here.courier.close() == []


def test_nothing_that_goes_wrong_reaches_the_monitor(
    office: Callable[..., Office], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = office({"webhooks": [{"url": "http://127.0.0.1:1"}]})
    monkeypatch.setattr(here.spool, "hand_over", lambda: 1 / 0)
    here.courier.send(message())
    here.poll()
    assert [note.details for note in here.notes] == [{"cause": "ZeroDivisionError: unexpected"}]
    assert here.process is None


def test_a_poll_costs_nothing_while_nothing_is_due(
    office: Callable[..., Office], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = office({"webhooks": [{"url": "http://127.0.0.1:1"}]})
    monkeypatch.setattr(subprocess, "Popen", None)
    monkeypatch.setattr(os, "memfd_create", None)
    for _ in range(100):
        here.now += 100
        here.poll()
    assert here.notes == []


def test_the_monitor_loads_neither_mail_nor_the_channels() -> None:
    program = (
        "import sys\n"
        "import cleaning_service_monitor.courier\n"
        "heavy = {'smtplib', 'email.message', 'hashlib', 'random', 'cleaning_service_monitor.channels'}\n"
        "raise SystemExit(' '.join(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
