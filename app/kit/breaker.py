"""A circuit breaker: after a few failures a dependency is left alone for a while, then one call tries it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum


class State(StrEnum):
    """Of a breaker."""

    CLOSED = "closed"
    HALF_OPEN = "half-open"
    OPEN = "open"


class BreakerOpenError(Exception):
    """The dependency is being left alone; nothing was tried."""


class Breaker:
    """Opens after `failures` in a row; `cooldown` seconds later one call may try again."""

    def __init__(
        self, *, failures: int = 3, cooldown: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = failures
        self._cooldown = cooldown
        self._clock = clock
        self._failures = 0
        self._opened_at: float | None = None
        self._probing = False

    @property
    def state(self) -> State:
        """Closed: calls pass. Open: none does. Half-open: the next one is a probe."""
        if self._opened_at is None:
            return State.CLOSED
        return State.HALF_OPEN if self._clock() - self._opened_at >= self._cooldown else State.OPEN

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Run one call; any exception, cancellation included, counts as a failure.

        Raises:
            BreakerOpenError: the call must not be made now.
        """
        state = self.state
        if state is State.OPEN or (state is State.HALF_OPEN and self._probing):
            raise BreakerOpenError
        probe = state is State.HALF_OPEN
        self._probing = probe
        try:
            yield
        except BaseException:
            self._failed(probe=probe)
            raise
        self._failures = 0
        self._opened_at = None
        self._probing = False

    def _failed(self, *, probe: bool) -> None:
        self._failures += 1
        if probe:
            self._probing = False
            self._opened_at = self._clock()
        elif self._failures >= self._limit and self._opened_at is None:
            self._opened_at = self._clock()
