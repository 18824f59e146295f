"""The main loop: look, decide, cure, tell."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from types import FrameType

from cleaning_service_monitor.config import Component, Config
from cleaning_service_monitor.cures import Healer
from cleaning_service_monitor.docker import Engine
from cleaning_service_monitor.eventlog import EventLog, Level
from cleaning_service_monitor.events import Death, Events
from cleaning_service_monitor.hostchecks import HostChecker
from cleaning_service_monitor.ladder import DISK, DOCKER, INGRESS, Action, Change, Cure, Health, Ladder, Verdict
from cleaning_service_monitor.notify import Notifier
from cleaning_service_monitor.probes import UNUSABLE, Look, Prober, why_unusable
from cleaning_service_monitor.reporter import Reporter
from cleaning_service_monitor.state import Maintenance, Pause, RunLock, StateFile

_RECHECK = 0.3  # seconds to the next look at a container that does not run
_AFTER_CURE = 1.0  # seconds to the next look after a cure
_SPACING = 0.2  # seconds between two looks at least, however many events there are
_LOOP_DEATHS, _LOOP_WINDOW = 3, 30.0  # deaths within so many seconds that Docker's restarts do not cure
_REFUSING_TOLD = 10.0  # seconds the service may refuse before a person is told; a cure comes later
_DEGRADED_TOLD = 60.0  # seconds something may be degraded before a person is told
_OWN_DEATHS = 3.0  # seconds after a cure in which containers that ended are the cure's own doing
_EVIDENCE_LINES = 20
_REMOVAL = "container is removing"  # what a look says of a container that is about to be gone
_ALIVE_LINE = 3600.0  # seconds between lines that only say that the monitor runs
_STATE_VERSION = 2


class AlreadyRunningError(Exception):
    """Another monitor holds the lock; two would cure against each other."""


class Monitor:
    """One monitor of one stack.

    It is a single thread but for the probes, which are bounded, and the one that listens to Docker's events, so
    nothing can hold the loop for longer than its own time-out. The watchdog is fed from this thread only.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._log = EventLog(config.log_file)
        self._notifier = Notifier()
        self._engine = Engine(config.docker_socket)
        self._containers = {component.name: component.container for component in config.components}
        self._events = Events(
            config.docker_socket, {name: key for key, name in self._containers.items()}, config.policy.start_grace
        )
        self._prober = Prober(config, self._engine)
        self._host = HostChecker(config)
        self._healer = Healer(config, self._engine, self._notifier.alive)
        self._ladder = Ladder(
            [*self._containers, *([INGRESS] if config.ingress else [])],
            config.policy,
            host=self._host.names,
            optional=[component.name for component in config.components if component.kind == "redis"],
            peers={component.name: _peers(config, component) for component in config.components},
            requires={INGRESS: [_of_kind(config, "proxy"), _of_kind(config, "api")]},
            jitter=lambda: random.uniform(0.8, 1.2),  # noqa: S311
        )
        self._reporter = Reporter(config, self._log, self._last_lines, lambda: self._host.backups)
        self._state = StateFile(config.state_dir)
        self._run_lock = RunLock(config.state_dir)
        self._maintenance = Maintenance(config.state_dir)
        self._started = time.time()
        self._started_monotonic = time.monotonic()
        self._pause: Pause | None = None
        self._asked_for: set[str] = set()  # components for which a person has been asked
        self._unusable: dict[str, str] = {}  # why a component's container ends at its start, for the data's sake
        self._quiet_until = 0.0  # deaths before this moment are our own doing
        self._recent_deaths: list[Death] = []
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
        self._events.begin()
        try:
            while True:
                begun = time.monotonic()
                interval = self._step()
                self._events.wait(begun + interval - time.monotonic())
                time.sleep(max(0.0, begun + _SPACING - time.monotonic()))
        except SystemExit:
            self._stopped()
            raise
        except Exception as error:
            self._log.event(Level.CRITICAL, "monitor", "crashed", cause=repr(error))
            raise

    def _step(self) -> float:
        """Make one look and, where due, one cure; return the seconds from its begin to the next step."""
        self._notifier.alive()
        was = self._pause
        self._read_maintenance()
        looked = time.monotonic()
        look, full = self._look()
        self._notifier.alive()
        now = self._now()
        self._events.found_well((verdict.component for verdict in look.verdicts if verdict.health.well), looked)
        commanded = self._events.commanded(since=self._quiet_until)
        changes = self._ladder.observe(now, look.verdicts, commanded)
        for change in changes:
            self._tell(change)
        if full:
            self._summarize(look.verdicts)
        self._reporter.told_of(look, now)
        cure = None if self._pause else self._ladder.decide(now)
        if not self._pause:
            self._find(now, cure, commanded)
        self._ask_for_person()
        if changes or cure or self._pause != was:
            self._reporter.publish(now, self._ladder.tracks, self._pause)
        if cure:
            self._cure(cure)
        over = self._reporter.proceed(self._now(), self._ladder.tracks, self._pause)
        self._save(changed=bool(changes or cure or over))
        self._say_alive()
        hasty = any(
            track.health is Health.DOWN
            and name not in (DOCKER, *commanded)
            and not self._ladder.confirmed(name, self._now())
            for name, track in self._ladder.tracks.items()
        )
        return _AFTER_CURE if cure else _RECHECK if hasty else self._config.probe_interval

    def _look(self) -> tuple[Look, bool]:
        """Look at everything; says too whether that was a full check of all that may be unwell."""
        tracks = self._ladder.tracks
        # What is not well is asked everything in each look: only that proves a cure. The rest has work to do.
        unwell = [name for name in (DOCKER, *self._ladder.names) if tracks[name].health is not Health.OK]
        due = self._now() >= self._next_full
        if due:
            self._next_full = self._now() + self._config.canary_interval
        host = self._host.look()
        disk_full = any(verdict.component == DISK and verdict.health is Health.SICK for verdict in host)
        look = self._prober.look(full=due, proving=unwell, disk_full=disk_full)
        deaths = {
            death.component: replace(death, cause=why_unusable(death.cause) or death.cause)
            for death in self._take_deaths()
        }
        looping = self._looping()
        verdicts = [
            self._with_death(
                self._with_unusable_data(_give_up(verdict, looping), deaths.get(verdict.component)),
                deaths.get(verdict.component),
            )
            for verdict in look.verdicts
        ]
        return Look([*verdicts, *host], look.response, look.registration), due or bool(unwell)

    def _with_unusable_data(self, verdict: Verdict, death: Death | None) -> Verdict:
        """See a container that cannot start for the data's sake as blocked, also while Docker tries again."""
        name, ended = verdict.component, death.cause if death and death.cause in UNUSABLE else ""
        if cause := ended or why_unusable(verdict.cause):
            self._unusable[name] = cause
        if verdict.health not in (Health.STARTING, Health.DOWN):
            self._unusable.pop(name, None)
        cause = self._unusable.get(name, "")
        return Verdict(name, UNUSABLE[cause], cause) if cause else verdict

    def _take_deaths(self) -> list[Death]:
        """Containers that ended, but not by our own doing or during a maintenance."""
        deaths = [death for death in self._events.deaths() if death.at > self._quiet_until]
        if self._pause:
            return []
        self._recent_deaths += deaths
        return deaths

    def _looping(self) -> set[str]:
        """Components that end again and again: Docker's restart policy will not bring them back."""
        horizon = time.time() - _LOOP_WINDOW
        self._recent_deaths = [death for death in self._recent_deaths if death.at > max(horizon, self._quiet_until)]
        counted = Counter(death.component for death in self._recent_deaths)
        return {name for name, number in counted.items() if number >= _LOOP_DEATHS}

    def _with_death(self, verdict: Verdict, death: Death | None) -> Verdict:
        """Give a look the cause that only the event tells; a death nobody asked for is an incident at once."""
        if death is None or self._reporter.has_incident(death.component):
            return verdict
        removed = verdict.health is Health.MISSING or _REMOVAL in verdict.cause
        cause = "the container was removed" if removed else death.cause
        incident = self._reporter.found(death.component, cause, death.at, self._now())
        if verdict.health is not Health.DOWN and not removed:
            self._reporter.cured_by_docker(incident, self._now())
        if verdict.health is Health.OK:
            return verdict
        return Verdict(verdict.component, verdict.health, f"{verdict.cause}; {death.cause}")

    def _find(self, now: float, cure: Cure | None, commanded: set[str]) -> None:
        """Begin the incidents of what is confirmed to be unwell, or degraded for a while, and not a person's doing."""
        patience = {Health.DEGRADED: _DEGRADED_TOLD, Health.REFUSING: _REFUSING_TOLD}
        for name, track in self._ladder.tracks.items():
            if name in commanded:
                continue
            lasting = track.since is not None and now - track.since >= patience.get(track.health, now)
            if (lasting or self._ladder.confirmed(name, now)) and not (cure and cure.component == name):
                self._reporter.found(name, track.cause, track.unwell_since or track.since or now, now)

    def _cure(self, cure: Cure) -> None:
        about = {"action": cure.action.value, "attempt": cure.attempt}
        began = self._ladder.tracks[cure.component].unwell_since or self._now()
        step = self._reporter.cure_begun(cure, began, self._now())
        self._log.event(Level.WARNING, cure.component, "cure-started", **about, cause=cure.cause)
        self._notifier.status(f"{cure.component}: {cure.action.value}, attempt {cure.attempt}")
        begun = time.monotonic()
        if cure.action is Action.REBOOT:
            # It ends this process: what it costs must be known to the next.
            self._ladder.finished(self._now())
            self._save(changed=True)
        outcome = self._healer.carry_out(cure)
        if cure.action is not Action.REBOOT:
            self._ladder.finished(self._now())
        self._quiet_until = time.time() + _OWN_DEATHS
        self._reporter.cure_ended(cure, step, outcome)
        level, name = (Level.INFO, "cure-done") if outcome.succeeded else (Level.ERROR, "cure-failed")
        seconds = f"{time.monotonic() - begun:.1f}"
        self._log.event(level, cure.component, name, **about, outcome=outcome.detail, seconds=seconds)

    def _last_lines(self, component: str) -> list[str]:
        """The last lines of a component's log, while Docker answers."""
        container = self._containers.get(component)
        if container is None or not self._ladder.tracks[DOCKER].health.well:
            return []
        self._notifier.alive()
        return self._engine.log_lines(container, _EVIDENCE_LINES)

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
                next=f"a retry every {self._config.policy.slow_retry:g} s" if self._ladder.rungs(name) else "nothing",
            )
            now = self._now()
            self._reporter.person_needed(name, track.cause, track.unwell_since or now, now)
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
            "paused": asdict(self._pause) if self._pause else None,
            "components": {
                name: {
                    "health": track.health.value,
                    "cause": track.cause,
                    "since": track.since,
                    "unwell_since": track.unwell_since,
                    "attempts": track.attempts,
                    "person_needed": track.person_needed,
                }
                for name, track in self._ladder.tracks.items()
            },
            "ladder": self._ladder.dump(),
            **self._reporter.dump(),
        }

    def _restore(self) -> None:
        try:
            state = self._state.load()
        except (OSError, ValueError) as error:
            self._log.event(Level.ERROR, "monitor", "state-lost", cause=error)
            return
        if state:
            self._take_up(self._ladder.restore, self._now(), state.get("ladder"))
            self._take_up(self._reporter.restore, state)
        self._asked_for = {name for name, track in self._ladder.tracks.items() if track.person_needed}

    def _take_up(self, restore: Callable[..., None], *saved: object) -> None:
        try:
            restore(*saved)
        except ValueError as error:
            self._log.event(Level.ERROR, "monitor", "state-lost", cause=error)

    def _lock(self) -> None:
        try:
            if not self._run_lock.acquire():
                raise AlreadyRunningError("another cleaning-service-monitor runs already")
        except OSError as error:
            # Better a monitor without its lock than none.
            self._log.event(Level.ERROR, "monitor", "lock-failed", cause=error)

    def _stopped(self) -> None:
        self._notifier.stopping()
        self._host.close()
        self._reporter.close()
        cure = self._ladder.in_progress
        self._save(changed=True)
        interrupted = f"{cure.action.value} of {cure.component}" if cure else None
        self._log.event(Level.WARNING if cure else Level.INFO, "monitor", "stopped", interrupted=interrupted)

    def _now(self) -> float:
        """Seconds since the epoch, on a clock that does not jump when the system's is put right."""
        return self._started + time.monotonic() - self._started_monotonic


def _of_kind(config: Config, kind: str) -> list[str]:
    return [component.name for component in config.components if component.kind == kind]


def _peers(config: Config, component: Component) -> list[str]:
    """The other replicas of a component."""
    return [name for name in _of_kind(config, component.kind) if name != component.name]


def _give_up(verdict: Verdict, looping: set[str]) -> Verdict:
    """See a container that is started again and again for what it is: down."""
    if verdict.component in looping and verdict.health is Health.STARTING:
        return Verdict(verdict.component, Health.DOWN, f"the container ends again and again: {verdict.cause}")
    return verdict


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
