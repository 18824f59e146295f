"""The circuit breaker, with a clock that the test turns."""

import pytest

from app.kit.breaker import Breaker, BreakerOpenError


class Clock:
    """Time, as the test wants it."""

    now = 0.0

    def __call__(self) -> float:
        """Return it."""
        return self.now


def fail(breaker: Breaker) -> None:
    with pytest.raises(ConnectionError), breaker.guard():
        raise ConnectionError


def test_it_opens_after_failures_in_a_row_and_lets_one_probe_through() -> None:
    clock = Clock()
    breaker = Breaker(failures=3, cooldown=5, clock=clock)
    fail(breaker)
    fail(breaker)
    with breaker.guard():
        pass
    for _ in range(3):
        fail(breaker)
    assert breaker.state.value == "open"
    with pytest.raises(BreakerOpenError), breaker.guard():
        pytest.fail("nothing may pass")
    clock.now = 5
    with breaker.guard(), pytest.raises(BreakerOpenError), breaker.guard():
        pytest.fail("only one probe may pass")
    assert breaker.state.value == "closed"


def test_a_failed_probe_opens_it_again() -> None:
    clock = Clock()
    breaker = Breaker(failures=1, cooldown=5, clock=clock)
    fail(breaker)
    clock.now = 6
    fail(breaker)
    assert breaker.state.value == "open"
    clock.now = 11
    assert breaker.state.value == "half-open"
