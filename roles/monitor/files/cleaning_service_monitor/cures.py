"""The steps of the ladder, carried out. Each command and each request to Docker has a time-out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cleaning_service_host.commands import CommandError, run_command

from cleaning_service_monitor.config import Component, Config
from cleaning_service_monitor.docker import Engine, EngineAwayError, EngineError
from cleaning_service_monitor.ladder import Action, Cure
from cleaning_service_monitor.probes import DATA_REMOVED, UNUSABLE

# Seconds.
DOWN_TIMEOUT = 90.0
UP_TIMEOUT = 100.0
DOCKER_TIMEOUT = 100.0  # Docker's unit allows 90 s before systemd kills it
CLEAN_UP_TIMEOUT = 300.0
SYSTEMCTL_TIMEOUT = 20.0
# What a container gets between SIGTERM and SIGKILL. Short for one container: a hung one does not use it, and
# SQLite loses no acknowledged write to SIGKILL. A full restart stops healthy ones too, which want to finish.
_STOP_SECONDS = 1
_STOP_SECONDS_FULL = 10
CLEAN_UP_UNIT = "cleaning-service-clean-up.service"
MEND_OWNERS_TIMEOUT = 100.0
MEND_OWNERS_UNIT = "cleaning-service-mend-owners.service"

# What Redis says before it ends because its append-only file cannot be read.
_DAMAGED = (
    "Bad file format reading the append only file",
    "Unexpected end of file reading the append only file",
    "Unrecoverable error reading the append only file",
    "Wrong signature trying to load DB from file",
    "Fatal error loading the DB",
)
# Keeps all commands before the damage; what redis-check-aof cannot mend is set aside, and Redis starts empty.
# Redis holds nothing that cannot be lost.
_REPAIR = (
    "cd /data && manifest=$(ls appendonlydir/*.manifest) && yes | redis-check-aof --fix $manifest"
    ' || mv appendonlydir "damaged-$(date +%s)"'
)


@dataclass(frozen=True)
class Outcome:
    """How a cure went. That it went well does not say that it helped."""

    succeeded: bool
    detail: str


class Healer:
    """Carries out cures, one at a time.

    Args:
        config: the settings.
        engine: Docker.
        alive: called again and again while a cure is at work, so that the watchdog sees the monitor live.
    """

    def __init__(self, config: Config, engine: Engine, alive: Callable[[], None]) -> None:
        self._config = config
        self._engine = engine
        self._alive = alive
        self._components = {component.name: component for component in config.components}

    def carry_out(self, cure: Cure) -> Outcome:
        """Take one step; failures are an outcome, not an exception."""
        try:
            detail = self._take(cure)
        except (CommandError, EngineError) as error:
            return Outcome(succeeded=False, detail=str(error))
        return Outcome(succeeded=True, detail=detail)

    def _take(self, cure: Cure) -> str:
        if cure.action is Action.RESTART:
            return self._restart(
                self._components[cure.component],
                anew=cure.rung + 1 == self._config.policy.attempts_before_full_restart or DATA_REMOVED in cure.cause,
            )
        if cure.action is Action.FULL_RESTART:
            return self._full_restart()
        if cure.action is Action.RESTART_DOCKER:
            return self._restart_docker(with_containerd=cure.rung > 0)
        if cure.action is Action.CLEAN_UP:
            self._run(["systemctl", "start", CLEAN_UP_UNIT], CLEAN_UP_TIMEOUT)
            return "old images and rotated logs were removed"
        if cure.action is Action.MEND_OWNERS:
            return self._mend_owners(self._components[cure.component], start=cure.cause in UNUSABLE)
        self._run(["systemctl", "reboot"], SYSTEMCTL_TIMEOUT)
        return "the host reboots"

    def _restart(self, component: Component, *, anew: bool) -> str:
        """Bring one component back by what its container needs at this moment.

        Args:
            component: the one.
            anew: create its container anew, as restarts did not help.
        """
        self._alive()
        name = component.container
        container = self._engine.containers([name]).get(name)
        self._alive()
        if container is None:
            self._compose(["up", "-d", "--no-deps", component.service], UP_TIMEOUT)
            return "the container was created"
        if container.state == "paused":
            self._engine.unpause(name)
            return "the container was unpaused"
        if component.kind == "redis" and container.state != "running":
            # Docker makes a directory that is missing, and then it is root's.
            self._try(["systemctl", "start", MEND_OWNERS_UNIT], MEND_OWNERS_TIMEOUT)
            if self._damaged(name):
                return self._repair(component)
        if anew or (container.state == "running" and not component.attached(container.networks)):
            return self._recreate(component)
        return self._start(component, container.state)

    def _start(self, component: Component, state: str) -> str:
        try:
            if state in ("running", "restarting"):  # of the latter Docker waits ever longer between two attempts
                self._engine.restart(component.container, stop_seconds=_STOP_SECONDS)
                return "the container was restarted"
            self._engine.start(component.container)
        except EngineAwayError:
            raise
        except EngineError as error:
            # A network or a mount that is gone: only a new container gets it back.
            return f"{self._recreate(component)}, as {error}"
        return "the container was started"

    def _mend_owners(self, component: Component, *, start: bool) -> str:
        """Have missing directories made and foreign files given away.

        Args:
            component: the one.
            start: it ends at its start for that; Docker would wait ever longer before it tries again.
        """
        self._run(["systemctl", "start", MEND_OWNERS_UNIT], MEND_OWNERS_TIMEOUT)
        if start:
            self._engine.restart(component.container, stop_seconds=_STOP_SECONDS)
        return "owners and modes of the data were seen to"

    def _recreate(self, component: Component) -> str:
        self._try(["systemctl", "start", MEND_OWNERS_UNIT], MEND_OWNERS_TIMEOUT)
        self._compose(["up", "-d", "--no-deps", "--force-recreate", component.service], UP_TIMEOUT)
        return "the container was created anew"

    def _damaged(self, name: str) -> bool:
        """Whether the last thing Redis said is that its append-only file is damaged."""
        said = " ".join(self._engine.log_lines(name, 4))
        return any(complaint in said for complaint in _DAMAGED)

    def _repair(self, component: Component) -> str:
        """Mend the append-only file, in a container of the same image, and start Redis."""
        self._engine.stop(component.container, stop_seconds=_STOP_SECONDS)
        one_off = ["run", "--rm", "--no-deps", "-T", "--entrypoint", "bash", component.service, "-c", _REPAIR]
        self._compose(one_off, UP_TIMEOUT)
        self._engine.start(component.container)
        return "the damaged append-only file was mended or set aside, and the container started"

    def _full_restart(self) -> str:
        """Take the whole stack down and up again."""
        trouble = ""
        try:
            self._compose(["down", "--timeout", str(_STOP_SECONDS_FULL)], DOWN_TIMEOUT)
        except CommandError as error:
            # What is left standing must not keep the rest from coming up.
            trouble = f", though before that {error}"
        self._compose(["up", "-d"], UP_TIMEOUT)
        return f"the stack was taken down and up{trouble}"

    def _restart_docker(self, *, with_containerd: bool) -> str:
        """Restart Docker; one that hangs would not heed being asked to stop, and is killed first."""
        killed = ""
        if self._engine.hangs():
            self._run(["systemctl", "kill", "--kill-who=main", "--signal=KILL", "docker.service"], SYSTEMCTL_TIMEOUT)
            killed = ", killed first as it hung"
        units = ["docker.service"]
        if with_containerd:
            # Containers survive it, and an engine that waits for a frozen containerd does not start.
            self._try(["systemctl", "kill", "--kill-who=main", "--signal=KILL", "containerd.service"])
            units = ["containerd.service", *units]
        self._try(["systemctl", "reset-failed", "docker.service", "docker.socket"])
        self._run(["systemctl", "restart", *units], DOCKER_TIMEOUT)
        return f"Docker was restarted{killed}"

    def _compose(self, arguments: Sequence[str], timeout: float) -> None:
        """Run Compose, which takes all containers of one project name for one project's.

        Raises:
            CommandError: there are containers of another project of that name, or the command failed.
            EngineError: Docker does not say which containers there are.
        """
        self._alive()
        if strangers := self._engine.strangers(self._config.project, self._config.compose_file):
            raise CommandError(f"another Compose project is called {self._config.project} too: {', '.join(strangers)}")
        self._run([*self._config.compose, *arguments], timeout)

    def _try(self, command: Sequence[str], timeout: float = SYSTEMCTL_TIMEOUT) -> None:
        """Run a command whose failure does not matter: there may be nothing for it to do."""
        try:
            self._run(command, timeout)
        except CommandError:
            return

    def _run(self, command: Sequence[str], timeout: float) -> None:
        self._alive()
        run_command(command, timeout, self._alive)
        self._alive()
