"""The steps of the ladder, carried out. Each command and each request to Docker has a time-out."""

import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from cleaning_service_monitor.config import Component, Config
from cleaning_service_monitor.docker import Engine, EngineError
from cleaning_service_monitor.ladder import Action, Cure

# Seconds. Each must stay below the unit's WatchdogSec, which is fed between the steps.
DOWN_TIMEOUT = 90.0
UP_TIMEOUT = 100.0
DOCKER_TIMEOUT = 100.0  # Docker's unit allows 90 s before systemd kills it
_KILL_TIMEOUT = 5.0  # a process in uninterruptible sleep survives SIGKILL
# What a container gets between SIGTERM and SIGKILL. Short for one container: a hung one does not use it, and
# SQLite loses no acknowledged write to SIGKILL. A full restart stops healthy ones too, which want to finish.
_STOP_SECONDS = 2
_STOP_SECONDS_FULL = 10


class CureError(Exception):
    """A step failed; the message says which and why."""


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
        alive: called before each step, so that the watchdog bounds a step and not the whole cure.
    """

    def __init__(self, config: Config, engine: Engine, alive: Callable[[], None]) -> None:
        self._config = config
        self._engine = engine
        self._alive = alive
        self._components = {component.name: component for component in config.components}

    def carry_out(self, cure: Cure) -> Outcome:
        """Take one step; failures are an outcome, not an exception."""
        try:
            if cure.action is Action.RESTART:
                detail = self._restart(self._components[cure.component])
            elif cure.action is Action.FULL_RESTART:
                detail = self._full_restart()
            else:
                self._run(["systemctl", "restart", "docker.service"], DOCKER_TIMEOUT)
                detail = "Docker was restarted"
        except (CureError, EngineError) as error:
            return Outcome(succeeded=False, detail=str(error))
        return Outcome(succeeded=True, detail=detail)

    def _restart(self, component: Component) -> str:
        """Bring one component back by what its container needs at this moment."""
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
        if container.state == "running":
            self._engine.restart(name, stop_seconds=_STOP_SECONDS)
            return "the container was restarted"
        self._engine.start(name)
        return "the container was started"

    def _full_restart(self) -> str:
        """Take the whole stack down and up again."""
        self._alive()
        trouble = ""
        try:
            self._compose(["down", "--timeout", str(_STOP_SECONDS_FULL)], DOWN_TIMEOUT)
        except CureError as error:
            # What is left standing must not keep the rest from coming up.
            trouble = f", though before that {error}"
        self._alive()
        self._compose(["up", "-d"], UP_TIMEOUT)
        return f"the stack was taken down and up{trouble}"

    def _compose(self, arguments: list[str], timeout: float) -> None:
        base = ["docker", "compose", "-f", self._config.compose_file, "-p", self._config.project]
        self._run([*base, *arguments], timeout)

    def _run(self, command: list[str], timeout: float) -> None:
        self._alive()
        run_command(command, timeout)


def run_command(command: list[str], timeout: float) -> None:
    """Run a command in a process group of its own, and let none of it outlive the time-out or the monitor.

    Args:
        command: program and arguments.
        timeout: seconds, after which the whole group is killed.

    Raises:
        CureError: it cannot be started, fails, or takes longer; the message ends with its last output.
    """
    shown = " ".join(command)
    # Memory, not a pipe: a grandchild that keeps a pipe open would keep us waiting.
    output = os.memfd_create("output")
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            code = process.wait(timeout)
        finally:
            _end_group(process)
        if code != 0:
            raise CureError(f"`{shown}` ended with {code}: {_last_line(output)}")
    except subprocess.TimeoutExpired as error:
        raise CureError(f"`{shown}` took longer than {timeout:g} s: {_last_line(output)}") from error
    except OSError as error:
        raise CureError(f"`{shown}` cannot be run: {error.strerror}") from error
    finally:
        os.close(output)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(_KILL_TIMEOUT)


def _last_line(output: int) -> str:
    size = os.fstat(output).st_size
    text = os.pread(output, 2000, max(size - 2000, 0)).decode("utf-8", "replace").strip()
    return text.splitlines()[-1].strip() if text else "no output"
