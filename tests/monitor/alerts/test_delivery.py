"""The monitor's side, with real children: patience, and a monitor that is never held up."""

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
from cleaning_service_monitor.alerts import delivery
from cleaning_service_monitor.alerts.delivery import Delivery, delay
from cleaning_service_monitor.alerts.settings import parse
from cleaning_service_monitor.alerts.spool import Spool
from cleaning_service_monitor.eventlog import Note
from cleaning_service_monitor.messages import Message, compose

from tests.monitor.alerts.receivers import Received, Receiver, incident
from tests.monitor.alerts.test_spool import fill, former, read_only, small_disk
from tests.monitor.helpers import wait_until

NOW = 1764047893.0
SECRET = "S3cret-that-nobody-sees"
NOBODY = {"webhooks": [{"url": "http://127.0.0.1:1"}]}
CHILD = (
    "import json, sys\n"
    "from pathlib import Path\n"
    "from cleaning_service_monitor.alerts.child import run\n"
    "from cleaning_service_monitor.alerts.settings import parse\n"
    "from cleaning_service_monitor.alerts.spool import Spool\n"
    "configured, directories = parse(json.loads(Path(sys.argv[1]).read_text())), map(Path, sys.argv[2].split(':'))\n"
    "raise SystemExit(run(configured, Spool(*directories), sys.argv[3:]))\n"
)


def message(kind: str = "problem", component: str = "api", at: float | None = None) -> Message:
    return compose(kind, incident(component), "shop", time.time() if at is None else at)


def down(_: Received) -> tuple[int, dict[str, str]]:
    return 500, {}


def up(_: Received) -> tuple[int, dict[str, str]]:
    return 200, {}


def hook(server: Receiver) -> dict[str, str]:
    return {"url": f"{server.url}/{SECRET}"}


class Office:
    """A delivery whose children read the settings from a file, as those of the monitor do."""

    def __init__(self, directory: Path, raw: dict[str, Any], command: list[str] | None, disk: Path) -> None:
        path = directory / "alerts.json"
        path.write_text(json.dumps(raw))
        self.spool = Spool(disk / "spool", directory / "memory")
        real = [sys.executable, "-c", CHILD, str(path), ":".join(map(str, self.spool.directories))]
        self.delivery = Delivery(command or real, self.spool, parse(raw))
        self.notes: list[Note] = []
        self.now = NOW

    def send(self, *messages: Message) -> None:
        """Send messages to everybody."""
        for each in messages:
            self.delivery.send(each)

    def poll(self, **options: Any) -> None:  # noqa: ANN401 - passed on
        """Poll once and keep what is to be logged."""
        self.notes += self.delivery.poll(self.now, **options)

    @property
    def process(self) -> "subprocess.Popen[bytes] | None":
        """The child at work."""
        return self.delivery._child._process if self.delivery._child else None

    def finish(self, **options: Any) -> None:  # noqa: ANN401 - passed on
        """Poll until the child that is due now has ended."""
        self.poll(**options)
        wait_until(self._is_idle, 60, "the child ends")

    def _is_idle(self) -> bool:
        if self.process:
            self.poll()
        return not self.process

    def names(self) -> list[str]:
        """What was logged."""
        return [note.name for note in self.notes]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Callable[..., Office]]:
    opened: list[Office] = []

    def make(raw: dict[str, Any], command: list[str] | None = None, disk: Path = tmp_path) -> Office:
        opened.append(Office(tmp_path, raw, command, disk))
        return opened[-1]

    yield make
    for each in opened:
        each.delivery.close()


def test_the_whole_way(office: Callable[..., Office], web: Receiver) -> None:
    here = office({"host_name": "shop", "webhooks": [hook(web)]})
    here.poll()
    assert here.process is None  # nothing waits
    here.send(message(), message("resolved"))
    here.poll()
    assert here.process is not None
    with contextlib.suppress(OSError):
        assert SECRET not in Path(f"/proc/{here.process.pid}/cmdline").read_text()
    here.finish()
    assert web.kinds == ["problem", "resolved"]
    assert [(note.level.value, note.component, note.name) for note in here.notes] == [
        ("INFO", "api", "alert-delivered")
    ] * 2
    assert here.notes[0].details == {"id": "20261125T051800Z-api.problem", "channel": "webhook-1 (127.0.0.1)"}
    here.now += 10_000
    here.poll()
    assert here.process is None


def test_with_nobody_to_tell_nothing_is_kept(office: Callable[..., Office], tmp_path: Path) -> None:
    here = office({})
    here.send(message())
    here.poll(heartbeat_due=True)
    assert here.process is None
    assert not (tmp_path / "spool").exists()


def test_what_an_earlier_monitor_left_is_delivered(
    office: Callable[..., Office], tmp_path: Path, web: Receiver
) -> None:
    Spool(tmp_path / "spool").put("webhook-1", message())
    former(tmp_path / "spool", "resolved", webhook_1a="")
    here = office({"webhooks": [hook(web)]})
    here.finish()
    assert web.kinds == ["problem", "resolved"]
    assert here.names() == ["alert-delivered"] * 2


def test_a_failure_is_logged_once_and_tried_again_in_time(office: Callable[..., Office], web: Receiver) -> None:
    web.answer = down
    here = office({"webhooks": [hook(web)]})
    here.send(message())
    here.finish()
    here.now += 3
    here.poll()
    assert here.process is None  # not yet
    for _ in range(2):
        here.now += 20
        here.finish()
    assert len(web.requests) == 3
    assert here.names() == ["alert-failed"]
    assert here.notes[0].details["cause"] == "it answered 500 Internal Server Error"
    assert SECRET not in str(here.notes)
    assert not any(SECRET in path.read_text() for path in here.spool.waiting("webhook-1"))
    web.answer = up
    here.send(message(component="redis"))
    here.finish()
    assert here.names() == ["alert-failed", "alert-delivered", "alert-delivered", "alert-ok"]


def results(**causes: str) -> list[str]:
    """A child that reports how each channel ended."""
    lines = [json.dumps({"event": "end", "channel": name, "cause": cause}) for name, cause in causes.items()]
    return ["sh", "-c", 'echo "$0"', "\n".join(lines).replace("webhook_", "webhook-")]


def test_while_a_channel_is_down_it_is_tried_ever_more_rarely(office: Callable[..., Office]) -> None:
    here = office(NOBODY, results(webhook_1="down"))
    here.send(message())
    waits = []
    for _ in range(10):
        here.finish()
        next_at = here.delivery._schedules["webhook-1"].next_at
        waits.append(next_at - here.now)
        here.now = next_at
    for wait, longest in zip(waits, [min(5.0 * 2**number, 600) for number in range(10)], strict=True):
        assert longest * 0.74 <= wait <= longest
    # A new message is a reason to try at once, and the channel waits as long as before again.
    here.now -= 300
    here.send(message("resolved"))
    here.finish()
    assert here.delivery._schedules["webhook-1"].next_at - here.now > 400
    assert here.names() == ["alert-failed"]


def age(here: Office, days: float) -> None:
    """Have all messages wait for as long already."""
    for path in here.spool.waiting("webhook-1"):
        os.utime(path, (time.time() - days * 86400,) * 2)


def fail(here: Office, rounds: int) -> None:
    """Let rounds fail, without a child for each."""
    for _ in range(rounds):
        here.delivery._round = ["webhook-1"]
        here.delivery._take_results(here.now, "", "down")
    here.poll()


def test_nothing_is_given_up_within_three_days_or_without_having_tried(office: Callable[..., Office]) -> None:
    here = office(NOBODY, results(webhook_1="down"))
    here.send(message())
    age(here, 2.99)
    fail(here, 500)
    assert here.names() == ["alert-failed"]
    # A host that was off for a week has not tried.
    here = office(NOBODY, results(webhook_1="down"))
    age(here, 7)
    fail(here, 90)
    assert here.names() == ["alert-failed"]
    here.send(message("resolved"))
    fail(here, 10)
    assert here.names() == ["alert-failed", "alert-given-up"]
    assert here.notes[1].details["file"] == "00000001-20261125T051800Z-api.problem.json"
    assert [path.name for path in here.spool.waiting("webhook-1")] == ["00000002-20261125T051800Z-api.resolved.json"]


def test_each_channel_waits_by_itself(office: Callable[..., Office]) -> None:
    here = office({"webhooks": [{"url": "http://127.0.0.1:1"}] * 2}, results(webhook_1="down", webhook_2=""))
    here.send(message())
    here.spool.remove(here.spool.waiting("webhook-2"))
    here.finish()
    assert [each.failures for each in here.delivery._schedules.values()] == [1, 0]
    here.now += 10
    here.poll()
    assert here.delivery._round == ["webhook-1"]


def test_a_child_killed_between_sending_and_removing_sends_it_again(
    office: Callable[..., Office], web: Receiver
) -> None:
    here = office({"webhooks": [hook(web)]})

    def kill(_: Received) -> tuple[int, dict[str, str]]:
        assert here.process
        os.kill(here.process.pid, signal.SIGKILL)
        return 200, {}

    web.answer = kill
    here.send(message())
    here.finish()
    assert here.names() == ["alert-failed"]
    assert str(here.notes[0].details["cause"]).endswith("ended with -9")
    web.answer = up
    here.now += 6
    here.finish()
    assert web.kinds == ["problem", "problem"]
    assert web.requests[0].body == web.requests[1].body
    assert here.names() == ["alert-failed", "alert-delivered", "alert-ok"]
    assert here.spool.waiting("webhook-1") == []


def is_gone(pid: str) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"  # an orphan whom nobody has buried yet


def test_a_child_that_hangs_is_killed_with_all_it_started(
    office: Callable[..., Office], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "CHILD_TIMEOUT", 1.0)
    pids = tmp_path / "pids"
    script = f"sleep 300 & echo $! > {pids}; echo $$ >> {pids}; kill -STOP $$"
    here = office(NOBODY, ["sh", "-c", script])
    here.send(message())
    begun = time.monotonic()
    here.finish()
    assert time.monotonic() - begun > 0.9
    assert str(here.notes[0].details["cause"]).endswith("took longer than 1 s")
    wait_until(lambda: all(map(is_gone, pids.read_text().split())), 5, "both are gone")


def test_what_a_child_leaves_behind_ends_with_it(office: Callable[..., Office], tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    here = office(NOBODY, ["sh", "-c", f"sleep 300 & echo $! > {pid}"])
    here.send(message())
    here.finish()
    wait_until(lambda: is_gone(pid.read_text().strip()), 5, "it is gone")


def test_a_huge_output_blocks_nobody(office: Callable[..., Office]) -> None:
    noise = "import sys\nfor _ in range(40): sys.stdout.write('x' * 1000000 + '\\n'); sys.stderr.write('x' * 1000000)"
    here = office(NOBODY, [sys.executable, "-c", noise])
    here.send(message())
    here.finish()
    assert here.notes[0].details["cause"] == "the delivery process gave no result"


def test_lines_that_make_no_sense_are_passed_over(office: Callable[..., Office]) -> None:
    lines = [
        "",
        "x",
        "[]",
        "{}",
        '{"event": "end"}',
        '{"event": "end", "channel": []}',
        '{"event": "end", "channel": "other", "cause": 1}',
        '{"channel": "webhook-1"}',
        "[" * 100000,
        '{"event": "end", "channel": "webhook-1", "cause": ""}',
    ]
    here = office(NOBODY, [sys.executable, "-c", "import sys; print(sys.argv[1])", "\n".join(lines)])
    here.send(message())
    here.poll()
    here.spool.remove(here.spool.waiting("webhook-1"))
    here.finish()
    assert here.notes == []


def test_a_child_that_cannot_be_started_is_logged_once(office: Callable[..., Office], tmp_path: Path) -> None:
    here = office(NOBODY, [str(tmp_path / "none")])
    here.send(message())
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(4):
        here.poll()
        here.now += 1000
    (note,) = here.notes
    assert (note.name, str(note.details["cause"]).rpartition("` ")[2]) == (
        "alert-failed",
        "cannot be run: No such file or directory",
    )
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_the_heartbeat_of_the_monitor(office: Callable[..., Office], web: Receiver) -> None:
    here = office({"heartbeat_url": f"{web.url}/{SECRET}"})
    for status in (200, 500, 500, 200):
        web.answer = lambda _, status=status: (status, {})  # type: ignore[misc]
        here.finish(heartbeat_due=True)
        here.now += 1000
        here.poll()
        assert here.process is None  # only when it is due
    assert len(web.requests) == 4
    assert [(note.name, note.details) for note in here.notes] == [
        ("heartbeat-failed", {"channel": "heartbeat (127.0.0.1)", "cause": "it answered 500 Internal Server Error"}),
        ("heartbeat-ok", {"channel": "heartbeat (127.0.0.1)"}),
    ]


def test_a_full_disk_stops_no_alert_and_repeats_none(
    office: Callable[..., Office], tmp_path: Path, web: Receiver, other: Receiver
) -> None:
    other.answer = down
    with small_disk(tmp_path / "disk") as disk:
        here = office({"webhooks": [hook(web), hook(other)]}, disk=disk)
        filler = fill(disk)
        here.send(message(component="disk"))
        here.finish()
        here.send(message("resolved", "disk"))
        here.finish()
        assert web.kinds == ["problem", "resolved"]
        filler.unlink()
        other.answer = up
        here.send(message(component="redis"))
        here.finish()
        assert web.kinds == ["problem", "resolved", "problem"]
        received = [(request.json["component"], request.json["kind"]) for request in other.requests[-3:]]
        assert received == [("disk", "problem"), ("disk", "resolved"), ("redis", "problem")]
        assert here.spool.waiting("webhook-2") == []


def test_a_disk_that_becomes_read_only_repeats_none(
    office: Callable[..., Office], tmp_path: Path, web: Receiver
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        here = office({"webhooks": [hook(web)]}, disk=disk)
        here.send(message(component="disk"))
        with read_only(disk):
            here.finish()
            here.send(message("resolved", "disk"))
            here.finish()
        here.now += 1000
        here.finish()
    assert web.kinds == ["problem", "resolved"]


def test_a_message_that_can_be_saved_nowhere_is_logged(office: Callable[..., Office], tmp_path: Path) -> None:
    here = office(NOBODY, disk=tmp_path / "none")
    for name in ("none", "memory"):
        (tmp_path / name).touch()
    here.send(message())
    here.poll()
    assert [note.details for note in here.notes] == [
        {"channel": "webhook-1 (127.0.0.1)", "id": "20261125T051800Z-api.problem", "cause": "Not a directory"}
    ]


def test_the_monitor_ends_in_the_middle_of_a_delivery(office: Callable[..., Office], web: Receiver) -> None:
    def slow(_: Received) -> tuple[int, dict[str, str]]:
        time.sleep(0.5)
        return 200, {}

    web.answer = slow
    here = office({"webhooks": [hook(web)]})
    here.send(message())
    here.poll()
    wait_until(lambda: web.requests, 20, "the request comes")
    assert [note.name for note in here.delivery.close()] == ["alert-delivered"]
    assert here.process is None
    assert here.spool.waiting("webhook-1") == []  # it will not be sent again
    assert here.delivery.close()[1:] == []


def test_nothing_that_goes_wrong_reaches_the_monitor(
    office: Callable[..., Office], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = office(NOBODY)
    monkeypatch.setattr(here.delivery, "_start", lambda *_: 1 / 0)
    here.send(message())
    here.poll()
    assert [note.details for note in here.notes] == [{"cause": "ZeroDivisionError"}]
    assert here.process is None


def test_a_poll_costs_nothing_while_nothing_is_due(
    office: Callable[..., Office], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = office(NOBODY)
    monkeypatch.setattr(delivery, "Command", None)
    monkeypatch.setattr(here.spool, "waiting", None)
    for _ in range(100):
        here.now += 100
        here.poll()
    assert here.notes == []


def test_delays_grow_and_are_not_the_same_everywhere() -> None:
    for failures in (1, 2, 8, 10_000):
        longest = min(5 * 2 ** min(failures - 1, 20), 600)
        delays = {delay(failures) for _ in range(50)}
        assert len(delays) > 5
        assert all(longest * 0.74 < each <= longest for each in delays)


def test_the_monitor_loads_neither_mail_nor_the_channels() -> None:
    program = (
        "import sys\n"
        "import cleaning_service_monitor.monitor\n"
        "heavy = {'smtplib', 'email.message', 'hashlib', 'ssl', 'apprise', "
        "'cleaning_service_monitor.alerts.channels'}\n"
        "raise SystemExit(' '.join(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


def test_apprise_is_loaded_only_for_its_urls(tmp_path: Path, web: Receiver) -> None:
    program = CHILD.replace("raise SystemExit(", "code = (") + "raise SystemExit('apprise' in sys.modules)\n"
    for raw, loaded in (({"webhooks": [hook(web)]}, False), ({"urls": [f"json://127.0.0.1:{web.port}"]}, True)):
        path = tmp_path / "alerts.json"
        path.write_text(json.dumps(raw))
        (channel,) = parse(raw).channels
        Spool(tmp_path / "spool").put(channel.label, message())
        command = [sys.executable, "-c", program, str(path), str(tmp_path / "spool"), channel.label]
        assert subprocess.run(command, capture_output=True, check=False).returncode == loaded
    assert len(web.requests) == 2
