"""Run commands, each in its own process group. The group is killed when the command ends, times out or is closed."""

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
_HEARTBEAT_INTERVAL = 1.0  # seconds between two calls of `heartbeat`


class CommandError(Exception):
    """A command failed. The message names the command and the reason, and ends with the last line of output.

    Args:
        reason: the message without the output.
        output: the command's output.
    """

    def __init__(self, reason: str, output: str | None = None) -> None:
        super().__init__(reason if output is None else f"{reason}: {last_line(output) or 'no output'}")
        self.reason = reason
        self.output = output or ""


@dataclass(frozen=True)
class CommandContext:
    """The working directory and environment of a command.

    Attributes:
        directory: the working directory; None for the caller's.
        environment: variables added to the caller's environment.
    """

    directory: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


class Command:
    """A command that runs in the background.

    Args:
        command: program and arguments.
        timeout: seconds, after which the whole group is killed.
        with_stderr: whether the output includes standard error. The output of a CommandError always does.
        context: working directory and environment, if not the caller's.

    Raises:
        CommandError: the command cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        timeout: float,
        *,
        with_stderr: bool = True,
        context: CommandContext | None = None,
    ) -> None:
        self._command_line = " ".join(command)
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        # Memory files instead of pipes: a grandchild that keeps a pipe open would block the reader.
        self._outputs = [os.memfd_create(name) for name in (["both"] if with_stderr else ["output", "errors"])]
        self._pidfd = -1
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=self._outputs[0],
                stderr=self._outputs[-1],
                start_new_session=True,
                cwd=context.directory if context else None,
                env=os.environ | context.environment if context else None,
            )
        except OSError as error:
            self._close_descriptors()
            raise CommandError(f"`{self._command_line}` cannot be run: {error.strerror}") from error
        self._pidfd = os.pidfd_open(self._process.pid)

    def wait(self, seconds: float) -> str | None:
        """Wait for the command to end; return its output, or None if it still runs after `seconds`.

        Raises:
            CommandError: the command failed or timed out.
        """
        left = self._deadline - time.monotonic()
        # Only `close` reaps the process: until then, no other process group can get the same id.
        in_time = bool(select.select([self._pidfd], [], [], max(0.0, min(seconds, left)))[0])
        if not in_time and time.monotonic() < self._deadline:
            return None
        texts = [_text(output) for output in self._outputs]
        self.close()
        if not in_time:
            raise CommandError(f"`{self._command_line}` took longer than {self._timeout:g} s", "".join(texts))
        if self._process.returncode != 0:
            raise CommandError(f"`{self._command_line}` ended with {self._process.returncode}", "".join(texts))
        return texts[0]

    def close(self) -> None:
        """Kill all processes of the group that still run."""
        if not self._outputs:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_TIMEOUT)
        self._close_descriptors()

    def _close_descriptors(self) -> None:
        for descriptor in (*self._outputs, self._pidfd):
            if descriptor >= 0:
                os.close(descriptor)
        self._outputs = []


def run_command(
    command: Sequence[str],
    timeout: float,
    heartbeat: Callable[[], None] = lambda: None,
    *,
    with_stderr: bool = True,
    context: CommandContext | None = None,
) -> str:
    """Run a command and return its output. An exception raised meanwhile, as by a signal handler, kills the command.

    Args:
        command: program and arguments.
        timeout: seconds, after which the whole group is killed.
        heartbeat: called every second while the command runs.
        with_stderr: whether the output includes standard error.
        context: working directory and environment, if not the caller's.

    Raises:
        CommandError: the command cannot be started, fails, or times out.
    """
    running = Command(command, timeout, with_stderr=with_stderr, context=context)
    try:
        while (output := running.wait(_HEARTBEAT_INTERVAL)) is None:
            heartbeat()
    finally:
        running.close()
    return output


def last_line(output: str) -> str:
    """Return the last non-empty line, or an empty string."""
    return output.strip().rpartition("\n")[2].strip()


def _text(output: int) -> str:
    return os.pread(output, os.fstat(output).st_size, 0).decode("utf-8", "replace")
