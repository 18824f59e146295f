"""The main loop: look, decide, cure, tell."""

import os
import signal
import time
from collections.abc import Sequence
from types import FrameType

from cleaning_service_monitor.config import Config
from cleaning_service_monitor.cures import Healer
from cleaning_service_monitor.docker import Engine
from cleaning_service_monitor.eventlog import EventLog, Level
from cleaning_service_monitor.ladder import Change, Cure, Health, Ladder, Verdict
from cleaning_service_monitor.notify import Notifier
from cleaning_service_monitor.probes import Prober
from cleaning_service_monitor.state import Maintenance, Pause, RunLock, StateFile

_RECHECK = 1.0  # seconds to the next look after a cure, and at a container that does not run
_ALIVE_LINE = 3600.0  # seconds between lines that only say that the monitor runs
_STATE_VERSION = 1


class AlreadyRunningError(Exception):
    """Another monitor holds the lock; two would cure against each other."""


class Monitor:
    """One monitor of one stack.

    It is a single thread but for the probes, which are bounded, so nothing can hold the loop for longer than
    its own time-out. The watchdog is fed from this thread only.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._log = EventLog(config.log_file)
        self._notifier = Notifier()
        engine = Engine(config.docker_socket)
        self._prober = Prober(config, engine)
        self._healer = Healer(config, engine, self._notifier.alive)
        self._ladder = Ladder([component.name for component in config.components], config.policy)
        self._state = StateFile(config.state_dir)
        self._run_lock = RunLock(config.state_dir)
        self._maintenance = Maintenance(config.state_dir)
        self._started = time.time()
        self._started_monotonic = time.monotonic()
        self._pause: Pause | None = None
        self._asked_for: set[str] = set()  # components for which a person has been asked
        self._next_full = 0.0
        self._next_alive_line = self._now() + _ALIVE_LINE
        self._next_save = 0.0
        self._state_works = True
        self._summary = ""

    def run(self) -> None:
        """Run until SIGTERM or SIGINT.

        Raises:
            AlreadyRunningError: another monitor runs.
            SystemExit: the end was asked for.
        """
        self._lock()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _stop)
        self._restore()
        self._log.event(
            Level.INFO,
            "monitor",
            "started",
            components=" ".join(component.name for component in self._config.components),
            probe_interval=f"{self._config.probe_interval:g} s",
            check_interval=f"{self._config.check_interval:g} s",
        )
        self._notifier.ready()
        try:
            while True:
                begun = time.monotonic()
                interval = self._step()
                time.sleep(max(0.0, begun + interval - time.monotonic()))
        except SystemExit:
            self._stopped()
            raise
        except Exception as error:
            self._log.event(Level.CRITICAL, "monitor", "crashed", cause=repr(error))
            raise

    def _step(self) -> float:
        """Make one look and, where due, one cure; return the seconds from its begin to the next step."""
        self._notifier.alive()
        self._read_maintenance()
        # While anything is not well, each look is a full check: only that proves a cure.
        unwell = any(track.health is not Health.OK for track in self._ladder.tracks.values())
        full = unwell or self._now() >= self._next_full
        if full:
            self._next_full = self._now() + self._config.check_interval
        verdicts = self._prober.look(full=full)
        self._notifier.alive()
        changes = self._ladder.observe(self._now(), verdicts)
        for change in changes:
            self._tell(change)
        if full:
            self._summarize(verdicts)
        cure = None if self._pause else self._ladder.decide(self._now())
        self._ask_for_person()
        if cure:
            self._cure(cure)
        self._save(changed=bool(changes or cure))
        self._say_alive()
        hasty = any(
            track.health is Health.DOWN and not self._ladder.confirmed(name, self._now())
            for name, track in self._ladder.tracks.items()
        )
        return _RECHECK if cure or hasty else self._config.probe_interval

    def _cure(self, cure: Cure) -> None:
        about = {"action": cure.action.value, "attempt": cure.attempt}
        self._log.event(Level.WARNING, cure.component, "cure-started", **about, cause=cure.cause)
        self._notifier.status(f"{cure.component}: {cure.action.value}, attempt {cure.attempt}")
        begun = time.monotonic()
        outcome = self._healer.carry_out(cure)
        self._ladder.finished(self._now())
        level, name = (Level.INFO, "cure-done") if outcome.succeeded else (Level.ERROR, "cure-failed")
        seconds = f"{time.monotonic() - begun:.1f}"
        self._log.event(level, cure.component, name, **about, outcome=outcome.detail, seconds=seconds)

    def _tell(self, change: Change) -> None:
        if change.after is Health.OK:
            duration = None if change.seconds is None else f"{change.seconds:.1f}"
            self._log.event(Level.INFO, change.component, "ok", was=change.before.value, seconds=duration)
        else:
            level = Level.INFO if change.after is Health.STARTING else Level.WARNING
            self._log.event(level, change.component, change.after.value, was=change.before.value, cause=change.cause)

    def _summarize(self, verdicts: Sequence[Verdict]) -> None:
        summary = " ".join(f"{verdict.component}={verdict.health.value}" for verdict in verdicts)
        if summary != self._summary:
            self._summary = summary
            self._log.event(Level.INFO, "monitor", "check", result=summary)
            self._notifier.status(summary)

    def _ask_for_person(self) -> None:
        """Log it, once per incident, that a person is needed."""
        needing = {name for name, track in self._ladder.tracks.items() if track.person_needed}
        for name in sorted(needing - self._asked_for):
            track = self._ladder.tracks[name]
            self._log.event(
                Level.CRITICAL,
                name,
                "a-person-is-needed",
                cause=track.cause,
                attempts=track.attempts,
                next=f"a retry every {self._config.policy.slow_retry:g} s",
            )
        if needing != self._asked_for:
            self._asked_for = needing
            self._next_save = 0.0

    def _read_maintenance(self) -> None:
        pause = self._maintenance.current()
        if pause and pause != self._pause:
            until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(pause.until))
            self._log.event(Level.INFO, "monitor", "paused", until=until, reason=pause.reason)
        if self._pause and not pause:
            self._log.event(Level.INFO, "monitor", "resumed", reason=self._pause.reason)
            self._ladder.reconsider(self._now())
        if pause != self._pause:
            self._pause = pause
            self._next_save = 0.0

    def _say_alive(self) -> None:
        if self._now() >= self._next_alive_line:
            self._next_alive_line += _ALIVE_LINE
            hours = (time.monotonic() - self._started_monotonic) / 3600
            self._log.event(Level.INFO, "monitor", "alive", uptime=f"{hours:.0f} h", result=self._summary)

    def _save(self, *, changed: bool) -> None:
        """Persist the state on a change, and every check interval so that `status` sees that it is fresh."""
        if not changed and self._now() < self._next_save:
            return
        self._next_save = self._now() + self._config.check_interval
        try:
            self._state.save(self._as_dict())
            self._state_works = True
        except OSError as error:
            if self._state_works:
                self._state_works = False
                self._log.event(Level.ERROR, "monitor", "state-not-saved", cause=error.strerror or error)

    def _as_dict(self) -> dict[str, object]:
        return {
            "version": _STATE_VERSION,
            "pid": os.getpid(),
            "started": self._started,
            "updated": time.time(),
            "paused": {"until": self._pause.until, "reason": self._pause.reason} if self._pause else None,
            "components": {
                name: {
                    "health": track.health.value,
                    "cause": track.cause,
                    "unwell_since": track.unwell_since,
                    "attempts": track.attempts,
                    "person_needed": track.person_needed,
                }
                for name, track in self._ladder.tracks.items()
            },
            "ladder": self._ladder.dump(),
        }

    def _restore(self) -> None:
        try:
            state = self._state.load()
            if state:
                self._ladder.restore(self._now(), state.get("ladder"))
        except (OSError, ValueError) as error:
            self._log.event(Level.ERROR, "monitor", "state-lost", cause=error)
        self._asked_for = {name for name, track in self._ladder.tracks.items() if track.person_needed}

    def _lock(self) -> None:
        try:
            if not self._run_lock.acquire():
                raise AlreadyRunningError("another cleaning-service-monitor runs already")
        except OSError as error:
            # Better a monitor without its lock than none.
            self._log.event(Level.ERROR, "monitor", "lock-failed", cause=error)

    def _stopped(self) -> None:
        self._notifier.stopping()
        cure = self._ladder.in_progress
        interrupted = f"{cure.action.value} of {cure.component}" if cure else None
        self._log.event(Level.WARNING if cure else Level.INFO, "monitor", "stopped", interrupted=interrupted)

    def _now(self) -> float:
        """Seconds since the epoch, on a clock that does not jump when the system's is put right."""
        return self._started + time.monotonic() - self._started_monotonic


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
