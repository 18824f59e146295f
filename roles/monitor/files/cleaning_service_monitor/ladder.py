"""What to do next: pure decisions, no input or output, the clock passed in.

Per component: a finding is confirmed by looking again, then cured by the smallest step. Each step that does
not help leads to the next: restart of the component, full restart of the stack, restart of Docker, and, where
the operator allows it, of the host. After the last, or when the budget is spent, a person is asked for, and
the smallest step is retried slowly. Of the host's own troubles only a full disk has a step: to clean up. The way in has
one too: Docker puts its rules in the firewall back when it is restarted, while the containers go on.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

DOCKER = "docker"  # the engine's own name among the components
DISK = "disk"  # the host's, as its disk has a cure
INGRESS = "ingress"  # the way of clients' packets through the host's firewall to the proxy
HOUR = 3600.0
DAY = 24 * HOUR
SETTLED = 10.0  # seconds a component must stay well before its incident is over; a relapse belongs to it
_BACKOFF_CEILING = 300.0  # seconds


class Health(str, Enum):
    """What one look found out about a component.

    OK and DEGRADED need no cure. DEGRADED: it works, but something about it is for a person to put right.
    STARTING: not there yet, for a good reason. REFUSING: it answers, and says that it cannot serve now, which
    overload and a draining release do too. SICK: it runs and does not answer. DOWN: it does not run. MISSING:
    there is no such container; somebody removed it, perhaps to create it anew. BLOCKED: it cannot serve, and no restart
    can change that: the database's file is missing. FORBIDDEN: it may not write its files, which are not its own.
    """

    OK = "ok"
    DEGRADED = "degraded"
    STARTING = "starting"
    REFUSING = "refusing"
    SICK = "sick"
    DOWN = "down"
    MISSING = "missing"
    BLOCKED = "blocked"
    FORBIDDEN = "forbidden"

    @property
    def well(self) -> bool:
        """Whether no cure is called for."""
        return self in (Health.OK, Health.DEGRADED)


# Looks in a row that confirm a finding. A DOWN component is looked at again at once, the others after the probe
# interval. MISSING waits longer, as `down` may end in `up`; REFUSING by the clock, as load and locks pass.
# BLOCKED and FORBIDDEN are what the API says of itself, with the cause.
_CONFIRM = {Health.SICK: 2, Health.DOWN: 2, Health.MISSING: 5, Health.BLOCKED: 1, Health.FORBIDDEN: 1}
_REFUSING_PATIENCE = 35.0  # seconds
_BLOCKED_PATIENCE = 15.0  # seconds until a person is asked for: a replica whose database was replaced begins anew
_LOOK_SPACING = 1.0  # seconds between two looks that both count: events come in crowds, and what dies may be half dead
_NO_SERVICE = {Health.REFUSING, Health.SICK}  # a hang shows itself now as the one, now as the other
_CURED_BY_DOCKER = (DOCKER, INGRESS)
# A restart of Docker touches everything, and an upgrade of its package stops it for some seconds.
_CONFIRM_DOCKER = {Health.SICK: 3, Health.DOWN: 5}


class Action(str, Enum):
    """The steps, smallest first."""

    CLEAN_UP = "clean-up"
    MEND_OWNERS = "mend-owners"
    RESTART = "restart"
    FULL_RESTART = "full-restart"
    RESTART_DOCKER = "restart-docker"
    REBOOT = "reboot"


_FOR_ONE = (Action.CLEAN_UP, Action.MEND_OWNERS, Action.RESTART)  # they take nothing away from the others


@dataclass(frozen=True)
class Policy:
    """How patient and how persistent the ladder is.

    Attributes:
        attempts_before_full_restart: restarts of one component that must fail before the stack is restarted.
        restarts_per_hour: budget of restarts per component in any 3600 s.
        full_restarts_per_hour: budget of full restarts in any 3600 s.
        docker_restarts_per_hour: budget of restarts of Docker in any 3600 s.
        clean_ups_per_hour: budget of clean-ups of the disk in any 3600 s; and, likewise, of mending owners.
        reboots_per_day: budget of reboots in any 24 hours; 0: the host is never rebooted.
        start_grace: seconds a component may take to start, after a cure or on its own.
        stable_time: seconds without a fault after which earlier attempts are forgotten.
        backoff: seconds from the first attempt to the second; doubled for each further one, and varied by up
            to a fifth, so that what failed together is not tried together.
        slow_retry: seconds between retries while a person is needed.
    """

    attempts_before_full_restart: int = 3
    restarts_per_hour: int = 12
    full_restarts_per_hour: int = 2
    docker_restarts_per_hour: int = 3
    clean_ups_per_hour: int = 4
    reboots_per_day: int = 0
    start_grace: float = 45.0
    stable_time: float = 120.0
    backoff: float = 5.0
    slow_retry: float = 600.0


@dataclass(frozen=True)
class Verdict:
    """The result of one look at one component."""

    component: str
    health: Health
    cause: str = ""


@dataclass(frozen=True)
class Change:
    """A component's health became another one; `seconds` is how long the incident lasted, when it is over."""

    component: str
    before: Health
    after: Health
    cause: str
    seconds: float | None = None


@dataclass(frozen=True)
class Cure:
    """One step to take now.

    Attributes:
        component: whose fault it is for.
        action: the step.
        rung: its place on the component's ladder, from 0; the ladder's length for a slow retry.
        rungs: the ladder's length.
        cause: the finding.
    """

    component: str
    action: Action
    rung: int
    rungs: int
    cause: str

    @property
    def attempt(self) -> str:
        """The attempt's number, for a person."""
        return f"{self.rung + 1} of {self.rungs}" if self.rung < self.rungs else "slow retry"


@dataclass
class Track:
    """One component's standing. Only what a restart of the monitor must not forget is persisted."""

    health: Health = Health.OK
    cause: str = ""
    looks: int = 0  # in a row with this health
    counted: float = 0.0  # when the last of them was counted
    since: float | None = None  # when this health was first seen; None: not looked at yet
    well_since: float | None = None
    unwell_since: float | None = None
    patience_from: float = 0.0  # when the patience with the present unwell state began
    settling_until: float = 0.0  # after a cure: the component is starting
    attempts: int = 0  # rungs climbed; persisted
    last_cure: float | None = None  # persisted
    jitter: float = 1.0  # of the wait after the last cure
    person_needed: bool = False  # persisted


@dataclass
class Ladder:
    """The decisions for all components. Times are seconds of one clock that never goes back.

    Attributes:
        names: the stack's components.
        policy: how patient and how persistent to be.
        host: what of the host itself is judged.
        optional: components the rest works without: no step for their sake touches the rest.
        peers: the other replicas of a component: while one of them serves, no step takes it down too.
        requires: for a component, groups of others. Unless one of each group is well, its fault may be theirs: it is
            not judged, and nothing is done for it.
        jitter: gives the factor of the next wait, from 0.8 to 1.2.
    """

    names: Sequence[str]
    policy: Policy
    host: Sequence[str] = ()
    optional: Sequence[str] = ()
    peers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    requires: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict)
    jitter: Callable[[], float] = lambda: 1.0
    tracks: dict[str, Track] = field(init=False)
    in_progress: Cure | None = field(init=False, default=None)
    # When cures ended, by component for restarts and by action for the two that touch everything.
    spent: dict[str, list[float]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.tracks = {name: Track() for name in (DOCKER, *self.names, *self.host)}

    def observe(self, now: float, verdicts: Iterable[Verdict], commanded: Collection[str] = ()) -> list[Change]:
        """Take in one look. A component without a verdict (Docker is silent) keeps its standing.

        Args:
            now: when.
            verdicts: the look's; components that another one requires come before it.
            commanded: components that a person is stopping or restarting: what is found of them confirms nothing.
        """
        changes = [self._observe(now, verdict) for verdict in verdicts if self._answers_for_itself(verdict.component)]
        for name in commanded:
            self.tracks[name].looks, self.tracks[name].patience_from = 0, now
        return [change for change in changes if change]

    def _answers_for_itself(self, name: str) -> bool:
        groups = self.requires.get(name, ())
        return all(any(self.tracks[other].health.well for other in group) for group in groups)

    def _observe(self, now: float, verdict: Verdict) -> Change | None:
        track = self.tracks[verdict.component]
        before, seconds = track.health, None
        alike = verdict.health is before or {verdict.health, before} == _NO_SERVICE
        if not alike:
            track.looks, track.counted = 1, now
        elif verdict.health is Health.DOWN or now - track.counted >= _LOOK_SPACING:
            track.looks, track.counted = track.looks + 1, now
        track.health, track.cause = verdict.health, verdict.cause
        if track.since is None or verdict.health is not before:
            track.since = now
        if verdict.health.well:
            seconds = self._well(now, track)
        else:
            track.well_since = None
            if track.unwell_since is None:
                track.unwell_since = track.patience_from = now
        if verdict.health is before:
            return None
        return Change(verdict.component, before, verdict.health, verdict.cause, seconds)

    def _well(self, now: float, track: Track) -> float | None:
        """Take in that a component is well; returns how many seconds it was not, when that ends now."""
        track.settling_until = 0.0  # it has started: from here on a fault is a new one
        unwell_since, track.unwell_since = track.unwell_since, None
        if track.well_since is None:
            track.well_since = now
        if now - track.well_since >= SETTLED:
            track.person_needed = False
        if now - track.well_since >= self.policy.stable_time:
            track.attempts = 0
        return None if unwell_since is None else now - unwell_since

    def decide(self, now: float) -> Cure | None:
        """Say which cure to begin now, the smallest one first; it must be reported by `finished`."""
        if self.in_progress:
            return None
        # Without Docker nothing else of the stack can be cured.
        stack = (DOCKER,) if not self.tracks[DOCKER].health.well else self.names
        names = (*self.host, *stack)
        due = [cure for name in names if (cure := self._due(name, now))]
        self.in_progress = min(due, key=lambda cure: list(Action).index(cure.action), default=None)
        return self.in_progress

    def finished(self, now: float) -> None:
        """Take in that the cure in progress has ended, well or not: the next looks tell whether it helped."""
        cure = self.in_progress
        if cure is None:
            raise RuntimeError("no cure is in progress")
        self.in_progress = None
        self.spent.setdefault(_account(cure.action, cure.component), []).append(now)
        single = cure.action in _FOR_ONE
        for name in (cure.component,) if single else (DOCKER, *self.names):
            track, rungs = self.tracks[name], self.rungs(name)
            track.looks, track.settling_until = 0, now + self.policy.start_grace
            if name == cure.component:
                track.attempts = min(cure.rung + 1, cure.rungs)
            elif not track.health.well and rungs[track.attempts : track.attempts + 1] == (cure.action,):
                track.attempts += 1  # it was the next step of this one too
            else:
                continue
            track.last_cure, track.jitter = now, self.jitter()

    def reconsider(self, now: float) -> None:
        """Confirm everything anew, as after a maintenance in which the findings were meant."""
        for track in self.tracks.values():
            track.looks, track.patience_from = 0, now

    def rungs(self, name: str) -> tuple[Action, ...]:
        """The steps for a component, in order; none for what only a person can put right."""
        if name in self.host:
            return (Action.CLEAN_UP,) if name == DISK else ()
        if self.tracks[name].health is Health.BLOCKED:
            return ()
        if self.tracks[name].health is Health.FORBIDDEN:
            return (Action.MEND_OWNERS,) * self.policy.attempts_before_full_restart
        reboot = (Action.REBOOT,) if self.policy.reboots_per_day else ()
        if name in _CURED_BY_DOCKER:
            steps = (Action.RESTART_DOCKER,) * self.policy.attempts_before_full_restart
            return (*steps, *reboot) if name == DOCKER else steps
        restarts = (Action.RESTART,) * self.policy.attempts_before_full_restart
        if name in self.optional:
            return restarts
        return (*restarts, Action.FULL_RESTART, Action.RESTART_DOCKER, *reboot)

    def confirmed(self, name: str, now: float) -> bool:
        """Whether a component's fault is certain enough to be cured."""
        track = self.tracks[name]
        if track.health.well:
            return False
        needed = (_CONFIRM_DOCKER if name in _CURED_BY_DOCKER else _CONFIRM).get(track.health)
        counted = needed is not None and track.looks >= needed
        if track.health is Health.DOWN:
            return counted
        if now < track.settling_until:
            return False
        patience = self.policy.start_grace
        if track.health is Health.REFUSING:
            patience = min(patience, _REFUSING_PATIENCE)
        return counted or (track.looks > 0 and now - track.patience_from >= patience)

    def _due(self, name: str, now: float) -> Cure | None:
        track = self.tracks[name]
        if not self.confirmed(name, now) or not self._answers_for_itself(name):
            return None
        rungs = self.rungs(name)
        rung = next(
            (rung for rung in range(track.attempts, len(rungs)) if self._may(rungs[rung], name, now)), len(rungs)
        )
        if rung == len(rungs):
            if track.health is Health.BLOCKED and now - track.patience_from < _BLOCKED_PATIENCE:
                return None
            track.person_needed = True
            if not rungs:
                return None
            action, wait = rungs[0], self.policy.slow_retry
        else:
            action = rungs[rung]
            wait = min(self.policy.backoff * 2 ** max(track.attempts - 1, 0), _BACKOFF_CEILING) * track.jitter
        if track.last_cure is not None and now < track.last_cure + wait:
            return None
        if not self._affordable(action, name, now):
            return None
        return Cure(name, action, rung, len(rungs), track.cause)

    def _may(self, action: Action, name: str, now: float) -> bool:
        if action not in _FOR_ONE and any(self.tracks[peer].health.well for peer in self.peers.get(name, ())):
            return False
        return self._affordable(action, name, now)

    def _affordable(self, action: Action, name: str, now: float) -> bool:
        budget = {
            Action.CLEAN_UP: self.policy.clean_ups_per_hour,
            Action.MEND_OWNERS: self.policy.clean_ups_per_hour,
            Action.RESTART: self.policy.restarts_per_hour,
            Action.FULL_RESTART: self.policy.full_restarts_per_hour,
            Action.RESTART_DOCKER: self.policy.docker_restarts_per_hour,
            Action.REBOOT: self.policy.reboots_per_day,
        }[action]
        window = DAY if action is Action.REBOOT else HOUR
        account = _account(action, name)
        self.spent[account] = [moment for moment in self.spent.get(account, []) if now - moment < window]
        return len(self.spent[account]) < budget

    def dump(self) -> dict[str, object]:
        """Return what must survive a restart of the monitor, ready for JSON."""
        return {
            "spent": self.spent,
            "tracks": {
                name: {
                    "attempts": track.attempts,
                    "last_cure": track.last_cure,
                    "person_needed": track.person_needed,
                }
                for name, track in self.tracks.items()
            },
        }

    def restore(self, now: float, saved: object) -> None:
        """Take up what `dump` returned. Moments that lie in the future (the clock was put back) count as now.

        Raises:
            ValueError: it is not what `dump` returns; nothing was taken up.
        """
        try:
            spent, tracks = saved["spent"], saved["tracks"]  # type: ignore[index]
            accounts = {
                str(account): [min(float(moment), now) for moment in moments] for account, moments in spent.items()
            }
            standings = {
                name: Track(
                    attempts=int(track["attempts"]),
                    last_cure=None if track["last_cure"] is None else min(float(track["last_cure"]), now),
                    person_needed=bool(track["person_needed"]),
                )
                for name, track in tracks.items()
                if name in self.tracks
            }
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError("the saved state is not readable") from error
        self.spent = accounts
        self.tracks |= standings


def _account(action: Action, name: str) -> str:
    return f"{action.value}:{name}" if action in (Action.RESTART, Action.MEND_OWNERS) else action.value
