"""The monitor's side: queues each alert, and runs the child process that delivers, without ever waiting for it."""

import contextlib
import json
import math
import random
from dataclasses import dataclass

from cleaning_service_host.commands import Command, CommandError

from cleaning_service_monitor.alerts.settings import HEARTBEAT, AlertSettings
from cleaning_service_monitor.alerts.spool import Spool
from cleaning_service_monitor.eventlog import Level, Note
from cleaning_service_monitor.messages import Message

CHILD_TIMEOUT = 30.0  # seconds, like all here
_FIRST_DELAY, _LONGEST_DELAY = 5.0, 600.0  # between attempts; doubled each time
_PATIENCE, _PATIENT_ROUNDS = 3 * 86400.0, 100  # a message is given up after both: clocks jump, and hosts are off
_CLOSE_TIMEOUT = 3.0  # for a child at work when the monitor ends; systemd tells it to stop, too


@dataclass
class _Schedule:
    """When a channel is due, on the clock of `Delivery.poll`."""

    fresh: bool = False  # there is a message that was not tried yet
    next_at: float = math.inf
    failures: int = 0  # in a row
    cause: str = ""  # of the last one


class Delivery:
    """Sends alerts and the heartbeat. Nothing here raises, or waits for anything but the disk.

    Args:
        command: starts the child; the labels of channels follow it.
        spool: the queues.
        settings: the channels.
    """

    def __init__(self, command: list[str], spool: Spool, settings: AlertSettings) -> None:
        self._command, self._spool = command, spool
        self._names = {channel.label: channel.name for channel in settings.channels}
        self._queues = [label for label in self._names if label != HEARTBEAT]
        self._schedules = {label: _Schedule() for label in self._names}
        self._child: Command | None = None
        self._round: list[str] = []  # the child's channels
        self._notes: list[Note] = []
        try:
            spool.adopt(self._queues)
            for label in self._queues:
                self._schedules[label].fresh = bool(spool.waiting(label))
        except Exception as error:  # noqa: BLE001 - see `poll`
            self._note(Level.ERROR, "alert-not-saved", cause=type(error).__name__)

    def send(self, message: Message) -> None:
        """Queue a message for each channel."""
        for label in self._queues:
            try:
                dropped = self._spool.put(label, message)
                self._schedules[label].fresh = True
            except (OSError, TypeError, ValueError) as error:
                cause = getattr(error, "strerror", None) or type(error).__name__
                self._note(Level.ERROR, "alert-not-saved", label, id=message["id"], cause=cause)
                continue
            for path in dropped:
                self._note(Level.ERROR, "alert-dropped", label, file=path.name, cause="too many messages wait")

    def poll(self, now: float, *, heartbeat_due: bool = False) -> list[Note]:
        """Start a child when a channel is due, and take the results of one that has ended; returns events for the log.

        Args:
            now: seconds.
            heartbeat_due: the monitor works, and its dead man's switch is to know that now.
        """
        if heartbeat_due and HEARTBEAT in self._schedules:
            self._schedules[HEARTBEAT].fresh = True
        try:
            self._collect(now, 0.0)
            due = [label for label, schedule in self._schedules.items() if schedule.fresh or now >= schedule.next_at]
            if due and not self._child:
                self._start(now, due)
        except Exception as error:  # noqa: BLE001 - an alert that fails must not take the monitor with it
            self._note(Level.ERROR, "delivery-failed", cause=type(error).__name__)
        notes, self._notes = self._notes, []
        return notes

    def close(self) -> list[Note]:
        """End the child; a delivery at work gets some seconds."""
        with contextlib.suppress(Exception):  # the monitor ends, too
            self._collect(0.0, _CLOSE_TIMEOUT)
        if self._child:
            self._child.close()
        return self._notes

    def _start(self, now: float, due: list[str]) -> None:
        self._round = due
        for label in due:
            self._schedules[label].fresh = False
        try:
            self._child = Command([*self._command, *due], CHILD_TIMEOUT, with_stderr=False)
        except CommandError as error:
            self._take_results(now, "", error.reason)

    def _collect(self, now: float, patience: float) -> None:
        """Take the results of the child, if it has ended."""
        if not self._child:
            return
        try:
            output, cause = self._child.wait(patience), "the delivery process gave no result"
        except CommandError as error:
            output, cause = error.output, error.reason
        if output is not None:
            self._child = None
            self._take_results(now, output, cause)

    def _take_results(self, now: float, output: str, cause: str) -> None:
        """Read what the child wrote; a channel without a result has failed for `cause`."""
        results: dict[str, str] = {}
        for line in output.splitlines():
            with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
                event = json.loads(line)
                name, label = event.pop("event"), event.pop("channel")
                if name == "end":
                    results[label] = event["cause"]
                else:
                    self._note(Level.INFO if name == "alert-delivered" else Level.ERROR, name, label, **event)
        for label in self._round:
            self._record(label, now, results.get(label, cause))

    def _record(self, label: str, now: float, cause: str) -> None:
        schedule, kind = self._schedules[label], "heartbeat" if label == HEARTBEAT else "alert"
        schedule.failures = schedule.failures + 1 if cause else 0
        if schedule.failures >= _PATIENT_ROUNDS:
            for path in self._spool.expire(label, _PATIENCE):
                self._note(Level.ERROR, "alert-given-up", label, file=path.name, cause=cause)
        waits = label in self._queues and self._spool.waiting(label)
        schedule.next_at = now + (delay(schedule.failures) if cause else 0.0) if waits else math.inf
        if cause and cause != schedule.cause:
            self._note(Level.WARNING, f"{kind}-failed", label, cause=cause)
        elif schedule.cause and not cause:
            self._note(Level.INFO, f"{kind}-ok", label)
        schedule.cause = cause

    def _note(self, level: Level, name: str, label: str = "", component: str = "monitor", **details: object) -> None:
        about = {"channel": self._names.get(label, ""), **details}
        self._notes.append(Note(level, component, name, {key: value for key, value in about.items() if value}))


def delay(failures: int) -> float:
    """Return the seconds to the next attempt. The jitter keeps many hosts from coming back at the same moment."""
    return random.uniform(0.75, 1.0) * min(_FIRST_DELAY * 2.0 ** min(failures - 1, 20), _LONGEST_DELAY)  # noqa: S311
