"""Commands in a process group of their own: nothing of the group outlives the command, its time-out or the caller."""

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_KILL_TIMEOUT = 5.0  # seconds; a process in uninterruptible sleep survives SIGKILL
_SLICE = 1.0  # seconds between two signs of life while a command is waited for


class CommandError(Exception):
    """A command failed; the message says which and why, and ends with its last line of output.

    Args:
        reason: which and why, without the output.
        output: what the command wrote.
    """

    def __init__(self, reason: str, output: str | None = None) -> None:
        super().__init__(reason if output is None else f"{reason}: {last_line(output) or 'no output'}")
        self.reason = reason
        self.output = output or ""


@dataclass(frozen=True)
class Surroundings:
    """Where a command runs.

    Attributes:
        directory: None for the caller's.
        environment: variables besides the caller's.
    """

    directory: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


class Command:
    """A command that runs beside the caller.

    Args:
        command: program and arguments.
        timeout: seconds, after which the whole group is killed.
        errors: return what it writes to standard error too. It is part of what an error says in any case.
        surroundings: other than the caller's.

    Raises:
        CommandError: it cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        timeout: float,
        *,
        errors: bool = True,
        surroundings: Surroundings | None = None,
    ) -> None:
        self._shown = " ".join(command)
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        # Memory, not pipes: a grandchild that keeps a pipe open would keep us waiting.
        self._outputs = [os.memfd_create(name) for name in (["both"] if errors else ["output", "errors"])]
        self._ended = -1
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=self._outputs[0],
                stderr=self._outputs[-1],
                start_new_session=True,
                cwd=surroundings.directory if surroundings else None,
                env=os.environ | surroundings.environment if surroundings else None,
            )
        except OSError as error:
            self._let_go()
            raise CommandError(f"`{self._shown}` cannot be run: {error.strerror}") from error
        self._ended = os.pidfd_open(self._process.pid)

    def wait(self, seconds: float) -> str | None:
        """Wait at most so long for the end; return the output, or None while it goes on.

        Raises:
            CommandError: it failed or took too long.
        """
        left = self._deadline - time.monotonic()
        # Only `close` takes in the exit code: until then no other group can have the number of this one.
        in_time = bool(select.select([self._ended], [], [], max(0.0, min(seconds, left)))[0])
        if not in_time and time.monotonic() < self._deadline:
            return None
        said = [_text(output) for output in self._outputs]
        self.close()
        if not in_time:
            raise CommandError(f"`{self._shown}` took longer than {self._timeout:g} s", "".join(said))
        if self._process.returncode != 0:
            raise CommandError(f"`{self._shown}` ended with {self._process.returncode}", "".join(said))
        return said[0]

    def close(self) -> None:
        """End what of the group has not ended."""
        if not self._outputs:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_TIMEOUT)
        self._let_go()

    def _let_go(self) -> None:
        for descriptor in (*self._outputs, self._ended):
            if descriptor >= 0:
                os.close(descriptor)
        self._outputs = []


def run_command(
    command: Sequence[str],
    timeout: float,
    alive: Callable[[], None] = lambda: None,
    *,
    errors: bool = True,
    surroundings: Surroundings | None = None,
) -> str:
    """Run a command to its end and return its output. An exception that passes through ends the command.

    Args:
        command: program and arguments.
        timeout: seconds, after which the whole group is killed.
        alive: called every second meanwhile.
        errors: return what it writes to standard error too.
        surroundings: other than the caller's.

    Raises:
        CommandError: it cannot be started, fails, or takes longer.
    """
    running = Command(command, timeout, errors=errors, surroundings=surroundings)
    try:
        while (said := running.wait(_SLICE)) is None:
            alive()
    finally:
        running.close()
    return said


def last_line(output: str) -> str:
    """Return the last line that is not empty; nothing where there is none."""
    return output.strip().rpartition("\n")[2].strip()


def _text(output: int) -> str:
    return os.pread(output, os.fstat(output).st_size, 0).decode("utf-8", "replace")
