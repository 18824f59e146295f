"""Sees to it that messages reach a person, without ever holding up the monitor.

The monitor calls `Courier.poll` in its loop. When something is due it starts a child, which delivers (`deliver`)
and says on its standard output what became of it; a child that takes too long is killed with all it has started.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cleaning_service_monitor.alert_settings import AlertSettings
from cleaning_service_monitor.eventlog import Level
from cleaning_service_monitor.messages import REMINDER, RESOLVED, TEST, Message, compose
from cleaning_service_monitor.spool import Backlog, Entry, Note, Spool, locked

if TYPE_CHECKING:
    # Only the child delivers: the monitor itself loads neither TLS nor mail.
    from cleaning_service_monitor.channels import Channel, DeliveryError

# All in seconds.
CHILD_TIMEOUT = 60.0
_BUDGET = 40.0  # after which a child begins no further delivery; the last one may take `channels.TIMEOUT`
_FIRST_DELAY, _LONGEST_DELAY = 5.0, 600.0  # between attempts; doubled each time
_MAX_HOLD = 3600.0  # for which a server may ask to be left alone
_PATIENCE = 3 * 86400.0  # before which no message is given up
_CLOSE_PATIENCE = 3.0  # for a child at work when the monitor ends
_BUSY_DELAY = 5.0  # until another child has ended, whom a killed monitor left behind

_PATIENT_ATTEMPTS = 100  # and as many must have been made: a host that was off has tried nothing meanwhile
_MAX_OUTPUT = 4 * 1024 * 1024  # bytes that are read of a child's output
_MAX_DAMAGED = 100  # names of damaged files that are remembered


class Outcome(NamedTuple):
    """What became of a test message on one channel; `detail` says why it failed."""

    channel: str
    delivered: bool
    detail: str


@dataclass(frozen=True)
class Link:
    """What connects a child with the monitor.

    `report` takes each event; `handed_over` is what the monitor knows and the files do not; when `stop` is set no
    further delivery begins; `clock` tells the seconds since the epoch.
    """

    report: Callable[[dict[str, Any]], None]
    handed_over: Iterable[bytes] = ()
    stop: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], float] = time.time


class Courier:
    """The monitor's side. Nothing here raises or blocks.

    Args:
        command: what starts the child, such as `cleaning-service-monitor deliver`.
        spool: the messages.
        settings: whom to tell.
    """

    def __init__(self, command: list[str], spool: Spool, settings: AlertSettings) -> None:
        self._command = command
        self._spool = spool
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._output = -1
        self._started = 0.0
        self._killed = False
        self._next: float | None = None if not spool.anything() else 0.0  # when the next child is due
        self._failures = 0  # children in a row that did not end well
        self._heartbeat_wanted = False
        self._heartbeat_works = True
        self._damaged: set[str] = set()

    def send(self, message: Message) -> None:
        """Take a message for everybody who is to be told; nothing where that is nobody."""
        if self._settings.tells_anybody:
            self._spool.put(message)

    def poll(self, now: float, *, heartbeat_due: bool = False) -> list[Note]:
        """Start a child when one is due, and hear out the one that has ended.

        Args:
            now: seconds, on a clock that does not jump.
            heartbeat_due: the monitor is well and its dead man's switch is to know that now.

        Returns:
            what is to be logged.
        """
        notes: list[Note] = []
        self._heartbeat_wanted |= heartbeat_due and bool(self._settings.heartbeat_url)
        try:
            if self._process:
                self._watch(now, notes)
            if not self._process:
                self._spool.flush()
                if self._heartbeat_wanted or self._spool.fresh or (self._next is not None and now >= self._next):
                    self._start(now)
        except Exception as error:  # noqa: BLE001 - an alert that fails must not take the monitor with it
            self._failed(now, notes, f"{type(error).__name__}: {getattr(error, 'strerror', None) or 'unexpected'}")
        notes += self._spool.notes
        self._spool.notes.clear()
        return notes

    def close(self) -> list[Note]:
        """End the child; one in the middle of a delivery gets some seconds to note what it did."""
        notes: list[Note] = []
        if self._process:
            for number, patience in ((signal.SIGTERM, _CLOSE_PATIENCE), (signal.SIGKILL, 1.0)):
                deadline = time.monotonic() + patience
                with contextlib.suppress(OSError):
                    os.killpg(self._process.pid, number)
                while not _has_ended(self._process) and time.monotonic() < deadline:
                    time.sleep(0.02)
            self._killed = True
            with contextlib.suppress(Exception):  # the monitor ends; there is nothing left to be saved by it
                self._watch(0.0, notes)
            self._let_go()
        self._spool.flush()
        return notes + self._spool.notes

    def _start(self, now: float) -> None:
        self._next = now + _LONGEST_DELAY  # should this go wrong
        arguments = ["--heartbeat"] if self._heartbeat_wanted else []
        # Memory, not pipes: neither side ever waits for the other.
        knowledge = os.memfd_create("knowledge")
        try:
            os.write(knowledge, self._spool.hand_over())
            os.lseek(knowledge, 0, os.SEEK_SET)
            self._output = os.memfd_create("output")
            self._process = subprocess.Popen(
                [*self._command, *arguments],
                stdin=knowledge,
                stdout=self._output,
                stderr=subprocess.DEVNULL,  # what an unforeseen error says may be a secret
                start_new_session=True,
            )
        except OSError:
            self._let_go()
            raise
        finally:
            os.close(knowledge)
            self._heartbeat_wanted = False
            self._spool.fresh = False
        self._started = now
        self._killed = False

    def _watch(self, now: float, notes: list[Note]) -> None:
        process = self._process
        if not process:
            return
        if not _has_ended(process):
            if not self._killed and now - self._started >= CHILD_TIMEOUT:
                self._kill()
                self._killed = True
            return
        with contextlib.suppress(OSError):
            self._kill()  # whatever it has left behind
        code = process.wait()
        output = os.pread(self._output, _MAX_OUTPUT, 0)
        self._let_go()
        wait: object = ""
        for line in output.splitlines():
            event = _as_event(line)
            if event.get("event") == "end":
                wait = event.get("wait")
            else:
                with contextlib.suppress(KeyError, ValueError, TypeError):
                    self._hear(event, notes)
        if wait is None or isinstance(wait, int | float):
            self._next = None if wait is None else now + min(max(wait, 0.0), _MAX_HOLD)
            self._failures = 0
        else:
            took_long = f"it took longer than {CHILD_TIMEOUT:g} s"
            self._failed(now, notes, took_long if self._killed else f"it ended with {code}")

    def _failed(self, now: float, notes: list[Note], cause: str) -> None:
        """Try again later; say so once until it works."""
        self._failures += 1
        self._next = now + delay(self._failures)
        if self._failures == 1:
            notes.append(Note(Level.ERROR, "monitor", "delivery-failed", {"cause": cause}))

    def _hear(self, event: dict[str, Any], notes: list[Note]) -> None:
        """Take one line of a child.

        Raises:
            KeyError, ValueError, TypeError: it is damaged.
        """
        what = event["event"]
        if what == "progress":
            self._spool.learn(str(event["id"]), event["delivery"], finished=event["finished"] is True)
        elif what == "forget":
            self._spool.forget(map(str, event["ids"]))
        elif what == "heartbeat":
            self._hear_heartbeat(event, notes)
        elif what == "damaged":
            if event["file"] not in self._damaged and len(self._damaged) < _MAX_DAMAGED:
                self._damaged.add(event["file"])
                notes.append(Note(Level.ERROR, "monitor", "alert-damaged", {"file": event["file"]}))
        else:
            levels = {"alert-delivered": Level.INFO, "alert-failed": Level.WARNING}
            details = {key: event[key] for key in ("id", "channel", "attempts", "cause", "next") if event.get(key)}
            notes.append(Note(levels.get(what, Level.ERROR), str(event["component"]), str(what), details))

    def _hear_heartbeat(self, event: dict[str, Any], notes: list[Note]) -> None:
        works = not event["cause"]
        if works != self._heartbeat_works:
            self._heartbeat_works = works
            level, name = (Level.INFO, "heartbeat-ok") if works else (Level.WARNING, "heartbeat-failed")
            notes.append(Note(level, "monitor", name, {"channel": event["channel"], "cause": event["cause"]}))

    def _kill(self) -> None:
        if self._process and self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def _let_go(self) -> None:
        self._process = None
        if self._output >= 0:
            os.close(self._output)
            self._output = -1


def run_child(settings: AlertSettings, directory: Path, *, heartbeat: bool) -> int:
    """Be the child: the command `deliver`.

    Args:
        settings: whom to tell.
        directory: the spool.
        heartbeat: whether the dead man's switch is to be told, too.
    """
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    mutex = threading.Lock()

    def report(event: dict[str, Any]) -> None:
        with mutex:
            sys.stdout.write(f"{json.dumps(event)}\n")
            sys.stdout.flush()

    handed_over = [] if sys.stdin.isatty() else sys.stdin.buffer.readlines()
    try:
        wait = deliver(settings, directory, Link(report, handed_over, stop), heartbeat=heartbeat)
    except Exception as error:  # noqa: BLE001 - the text of an unforeseen error may be a secret
        report({"event": "alert-channel-broken", "component": "monitor", "cause": _unforeseen(error)})
        return 1
    report({"event": "end", "wait": wait})
    return 0


def deliver(settings: AlertSettings, directory: Path, link: Link, *, heartbeat: bool = False) -> float | None:
    """Deliver what is due, on all channels at the same time.

    Args:
        settings: whom to tell.
        directory: the spool.
        link: to the monitor.
        heartbeat: whether the dead man's switch is to be told, too.

    Returns:
        the seconds after which something is due again; None when nothing waits.
    """
    from cleaning_service_monitor import channels  # noqa: PLC0415 - see above

    waits: list[float | None] = []
    with contextlib.ExitStack() as stack:
        try:
            mine = stack.enter_context(locked(directory))
        except OSError:
            mine = True  # there are no files, so there is nothing to protect
        tasks: list[Callable[[], None]] = []
        if heartbeat and settings.heartbeat_url:
            tasks.append(lambda: link.report(_beat(settings)))
        if mine:
            backlog = Backlog(directory, link.handed_over, link.report)
            tasks += _Round(channels.channels(settings), backlog, link).tasks(waits)
        else:
            waits.append(_BUSY_DELAY)
        threads = [threading.Thread(target=task, daemon=True) for task in tasks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return min((wait for wait in waits if wait is not None), default=None)


def send_test(settings: AlertSettings, host: str) -> list[Outcome]:
    """Send a test message on each channel, and the heartbeat, at once and past the spool.

    Args:
        settings: whom to tell.
        host: the name to show.
    """
    from cleaning_service_monitor import channels  # noqa: PLC0415 - see above

    message = compose(TEST, {}, host, time.time())
    outcomes: dict[str, Outcome] = {}

    def try_channel(channel: "Channel") -> None:
        try:
            outcomes[channel.name] = Outcome(channel.name, delivered=True, detail=channel.send(message))
        except channels.DeliveryError as error:
            outcomes[channel.name] = Outcome(channel.name, delivered=False, detail=str(error))
        except Exception as error:  # noqa: BLE001 - the text of an unforeseen error may be a secret
            outcomes[channel.name] = Outcome(channel.name, delivered=False, detail=_unforeseen(error))

    found = channels.channels(settings)
    threads = [threading.Thread(target=try_channel, args=(channel,), daemon=True) for channel in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results = [outcomes[channel.name] for channel in found]
    if settings.heartbeat_url:
        event = _beat(settings)
        results.append(Outcome(event["channel"], delivered=not event["cause"], detail=event["cause"]))
    return results


def delay(attempts: int) -> float:
    """Return the seconds to the next attempt. The jitter keeps many hosts from coming back at the same moment."""
    longest: float = min(_FIRST_DELAY * 2.0 ** min(attempts - 1, 20), _LONGEST_DELAY)
    return longest * (0.75 + 0.25 * os.urandom(1)[0] / 255)  # `random` would bring a megabyte along


class _Round:
    """One child's work: on each channel the due messages, the oldest incident's first.

    A message that a server refuses waits by itself. When a channel as a whole does not work, all its due messages
    wait together for as long as its failures in a row say; the next message that comes is a reason to try at once.
    """

    def __init__(self, channels: "list[Channel]", backlog: Backlog, link: Link) -> None:
        self._channels = channels
        self._keys = [channel.key for channel in channels]
        self._backlog = backlog
        self._link = link
        self._end = time.monotonic() + _BUDGET
        self._skip_what_is_out_of_date()

    def tasks(self, waits: list[float | None]) -> list[Callable[[], None]]:
        """Return one task for each channel; each adds the seconds until it has something to do again."""
        return [self._task(channel, waits) for channel in self._channels]

    def _task(self, channel: "Channel", waits: list[float | None]) -> Callable[[], None]:
        def serve() -> None:
            try:
                waits.append(self._serve(channel))
            except Exception as error:  # noqa: BLE001 - one channel must not take the others with it
                waits.append(_LONGEST_DELAY)
                about = {"component": "monitor", "channel": channel.name, "cause": _unforeseen(error)}
                self._link.report({"event": "alert-channel-broken", **about})

        return serve

    def _skip_what_is_out_of_date(self) -> None:
        """A reminder says nothing after a later one, or after the end. What has no channel left is removed."""
        for incident in self._backlog.incidents():
            for place, entry in enumerate(incident):
                later = any(other.message["kind"] in (REMINDER, RESOLVED) for other in incident[place + 1 :])
                open_keys = [key for key in self._keys if not entry.on(key).done]
                superseded = entry.message["kind"] == REMINDER and later
                for key in open_keys if superseded else ():
                    entry.on(key).done = "superseded"
                if superseded or not open_keys:
                    self._backlog.note(entry, self._keys)

    def _serve(self, channel: "Channel") -> float | None:
        queues = self._queues(channel)
        now = self._link.clock()
        hold = max((entry.on(channel.key).hold_until for queue in queues for entry in queue), default=0.0)
        if now < hold <= now + _MAX_HOLD:
            return hold - now
        works = False
        for queue in [*queues, *queues]:  # the second time for what is due only because the channel works now
            while queue and (self._is_due(channel, queue) or (works and not queue[0].on(channel.key).refused)):
                if self._link.stop.is_set() or time.monotonic() >= self._end:
                    return 0.0
                error = self._attempt(channel, queue[0], queues)
                if queue[0].on(channel.key).done:
                    works |= error is None
                    queue.pop(0)
                if error and not error.refused:
                    return self._postpone(channel, queues)
                if error and queue:
                    # What follows in the same story waits for its beginning.
                    self._wait_until(channel, queue, queue[0].on(channel.key).next_at)
                    break
        waiting = [entry.on(channel.key).next_at for queue in queues for entry in queue]
        return min(waiting) - self._link.clock() if waiting else None

    def _queues(self, channel: "Channel") -> list[list[Entry]]:
        """Return what is to be delivered, of each incident in its order."""
        incidents = self._backlog.incidents()
        queues = [[entry for entry in incident if not entry.on(channel.key).done] for incident in incidents]
        return [queue for queue in queues if queue]

    def _is_due(self, channel: "Channel", queue: list[Entry]) -> bool:
        """A new message of an incident makes the whole of it due: the older ones go first."""
        now = self._link.clock()
        # Later than any delay goes: the clock has been put back.
        latest = now + _MAX_HOLD + _LONGEST_DELAY
        return any(not now < entry.on(channel.key).next_at <= latest for entry in queue)

    def _attempt(self, channel: "Channel", entry: Entry, queues: list[list[Entry]]) -> "DeliveryError | None":
        from cleaning_service_monitor.channels import DeliveryError  # noqa: PLC0415 - see above

        progress = entry.on(channel.key)
        progress.attempts += 1
        progress.first_at = progress.first_at or self._link.clock()
        try:
            remark = channel.send(entry.message)
        except DeliveryError as error:
            self._note_failure(channel, entry, error, queues)
            return error
        progress.done, progress.error = "delivered", ""
        self._backlog.note(entry, self._keys)
        self._tell("alert-delivered", channel, entry, cause=remark)
        return None

    def _note_failure(
        self, channel: "Channel", entry: Entry, error: "DeliveryError", queues: list[list[Entry]]
    ) -> None:
        progress = entry.on(channel.key)
        now, news = self._link.clock(), str(error) != progress.error
        progress.error, progress.refused = str(error), error.refused
        if now - progress.first_at > _PATIENCE and progress.attempts >= _PATIENT_ATTEMPTS:
            progress.done = "given-up"
            self._backlog.note(entry, self._keys)
            self._tell("alert-given-up", channel, entry, cause=str(error))
            return
        others = (each.on(channel.key) for queue in queues for each in queue)
        failures = [each.attempts for each in others if not each.refused and not error.refused]
        wait = max(delay(max([progress.attempts, *failures])), error.retry_after)
        progress.next_at = now + wait
        progress.hold_until = now + error.retry_after if error.retry_after else 0.0
        self._backlog.note(entry, self._keys)
        if news:
            self._tell("alert-failed", channel, entry, cause=str(error), next=f"in {wait:.0f} s, and so on")

    def _postpone(self, channel: "Channel", queues: list[list[Entry]]) -> float | None:
        """Let all that is due wait for the channel."""
        now = self._link.clock()
        tried = [entry.on(channel.key) for queue in queues for entry in queue if entry.on(channel.key).attempts]
        until = max((each.next_at for each in tried if not each.refused), default=now + _FIRST_DELAY)
        for queue in queues:
            self._wait_until(channel, queue, until)
        return until - now if any(queues) else None

    def _wait_until(self, channel: "Channel", queue: list[Entry], moment: float) -> None:
        for entry in queue:
            progress = entry.on(channel.key)
            if progress.next_at < moment:
                progress.next_at = moment
                self._backlog.note(entry, self._keys)

    def _tell(self, event: str, channel: "Channel", entry: Entry, **details: str) -> None:
        attempts = entry.on(channel.key).attempts
        about = {"id": entry.message["id"], "component": entry.message["component"], "channel": channel.name}
        self._link.report({"event": event, **about, "attempts": attempts, **details})


def _beat(settings: AlertSettings) -> dict[str, Any]:
    """Tell the dead man's switch that the monitor lives; return the event."""
    from cleaning_service_monitor import channels  # noqa: PLC0415 - see above

    event = {"event": "heartbeat", "channel": f"heartbeat ({channels.heartbeat_host(settings)})", "cause": ""}
    try:
        channels.beat(settings)
    except channels.DeliveryError as error:
        event["cause"] = str(error)
    except Exception as error:  # noqa: BLE001 - the text of an unforeseen error may be a secret
        event["cause"] = _unforeseen(error)
    return event


def _unforeseen(error: BaseException) -> str:
    """Say what and where, and nothing that the error says."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "an unknown place"
    return f"{type(error).__name__} at {where}"


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Tell so, and leave the process to be waited for: until then its group is no other's."""
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        process.poll()
        return True


def _as_event(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}
