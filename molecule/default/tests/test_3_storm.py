"""Many people register at the same moment: all get an answer in time, whatever Redis does."""

import asyncio
from collections.abc import Iterator

import pytest
from converged import REDIS, address, freeze, healthy, new_user, wait_until
from testinfra.host import Host

from tests.storm import REQUEST_TIMEOUT, storm


@pytest.fixture(params=["runs", "stopped", "frozen"])
def redis_state(request: pytest.FixtureRequest, host: Host) -> Iterator[str]:
    """Redis in one of three states, with the monitor asked to leave it so."""
    host.check_output("cleaning-service-monitor pause 5m --reason test")
    if request.param == "stopped":
        host.check_output(f"docker stop {REDIS}")
    if request.param == "frozen":
        freeze(host, REDIS)
    yield request.param
    host.check_output(f"docker restart --time 1 {REDIS}")
    wait_until(lambda: healthy(host, REDIS), 30, "Redis healthy again")
    host.check_output("cleaning-service-monitor resume")


@pytest.mark.parametrize("number", [60, 200])
def test_every_registration_is_answered(redis_state: str, number: int) -> None:
    answers, slowest, slowest_watched = asyncio.run(storm(f"http://{address()}", number, new_user, "/health"))
    print(f"\nRedis {redis_state}, {number} at once: {dict(answers)}")
    print(f"slowest registration {slowest:.1f} s, slowest look at /health {slowest_watched:.2f} s")
    assert set(answers) <= {201, 503}
    assert answers[201] > 0
    assert sum(answers.values()) == number
    assert slowest < REQUEST_TIMEOUT
    assert slowest_watched < slowest, "/health must not stand in the queue of registrations"
