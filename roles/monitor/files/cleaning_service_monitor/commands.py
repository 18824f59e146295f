"""Commands in a process group of their own: none outlives its time-out or the monitor."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence

_KILL_TIMEOUT = 5.0  # seconds; a process in uninterruptible sleep survives SIGKILL
_SLICE = 1.0  # seconds between two signs of life while a command is waited for


class CommandError(Exception):
    """A command failed; the message says which and why."""


class Command:
    """A command that runs beside the monitor's loop.

    Args:
        command: program and arguments.
        timeout: seconds, after which the whole group is killed.

    Raises:
        CommandError: it cannot be started.
    """

    def __init__(self, command: Sequence[str], timeout: float) -> None:
        self._shown = " ".join(command)
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        # Memory, not a pipe: a grandchild that keeps a pipe open would keep us waiting.
        self._output = os.memfd_create("output")
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=self._output, stderr=self._output, start_new_session=True
            )
        except OSError as error:
            os.close(self._output)
            raise CommandError(f"`{self._shown}` cannot be run: {error.strerror}") from error

    def wait(self, seconds: float) -> str | None:
        """Wait at most so long for the end; return the last line of output, or None while it goes on.

        Raises:
            CommandError: it failed or took too long; the message ends with its last output.
        """
        left = self._deadline - time.monotonic()
        try:
            code = self._process.wait(max(0.0, min(seconds, left)))
        except subprocess.TimeoutExpired:
            if time.monotonic() < self._deadline:
                return None
            said = self._last_line()
            self.close()
            raise CommandError(f"`{self._shown}` took longer than {self._timeout:g} s: {said}") from None
        said = self._last_line()
        self.close()
        if code != 0:
            raise CommandError(f"`{self._shown}` ended with {code}: {said}")
        return said

    def close(self) -> None:
        """End it, with all its children, if it has not ended."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_KILL_TIMEOUT)
        if self._output >= 0:
            os.close(self._output)
            self._output = -1

    def _last_line(self) -> str:
        size = os.fstat(self._output).st_size
        text = os.pread(self._output, 2000, max(size - 2000, 0)).decode("utf-8", "replace").strip()
        return text.splitlines()[-1].strip() if text else "no output"


def run_command(command: Sequence[str], timeout: float, alive: Callable[[], None] = lambda: None) -> str:
    """Run a command to its end and return its last line of output.

    Args:
        command: program and arguments.
        timeout: seconds, after which the whole group is killed.
        alive: called every second meanwhile.

    Raises:
        CommandError: it cannot be started, fails, or takes longer.
    """
    running = Command(command, timeout)
    try:
        while (said := running.wait(_SLICE)) is None:
            alive()
    finally:
        running.close()
    return said
