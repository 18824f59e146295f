"""Ends a process whose event loop stands still, so that it is restarted instead of hanging."""

import asyncio
import faulthandler
import os
import signal
import sys
import threading
import time

EXIT_CODE = 70  # EX_SOFTWARE of sysexits.h
CHECKS = 10  # looks at the heartbeat in one limit
DUMP_TIMEOUT = 5  # seconds; then the kernel ends the process even if stderr blocks


class LoopWatchdog:
    """A thread that counts how often it woke up since the event loop last did.

    Counting wake-ups, not wall time: a process that was suspended as a whole has not stood still.
    """

    def __init__(self, seconds: float) -> None:
        """Prepare.

        Args:
            seconds: how long the event loop may stand still.
        """
        self._interval = seconds / CHECKS
        self._beats = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="loop-watchdog", daemon=True)
        self.lag = 0.0
        """Seconds that the last heartbeat came late."""

    def start(self) -> None:
        """Watch the running event loop."""
        loop = asyncio.get_running_loop()
        self._beat(loop, loop.time())
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopped.set()

    def _beat(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._beats += 1
        self.lag = max(0.0, loop.time() - due)
        if not self._stopped.is_set():
            loop.call_later(self._interval, self._beat, loop, loop.time() + self._interval)

    def _watch(self) -> None:
        seen, missed = self._beats, 0
        while not self._stopped.is_set():
            time.sleep(self._interval)
            if self._beats == seen:
                missed += 1
                if missed > CHECKS:
                    self._end()
            else:
                seen, missed = self._beats, 0

    def _end(self) -> None:
        signal.alarm(DUMP_TIMEOUT)
        sys.stderr.write(f"The event loop has stood still for {self._interval * CHECKS:g} seconds. All stacks:\n")
        faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
        os._exit(EXIT_CODE)
