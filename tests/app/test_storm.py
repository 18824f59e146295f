"""Many simultaneous registrations are answered in time, also with a failing Redis."""

import asyncio
import signal

import pytest

from tests.app.conftest import Redis, Serve, new_user
from tests.storm import REQUEST_TIMEOUT, storm

pytestmark = pytest.mark.alone


@pytest.mark.parametrize("state", ["runs", "stopped", "frozen"])
def test_every_registration_is_answered(serve: Serve, redis: Redis, state: str) -> None:
    server = serve(HASH_QUEUE="100")
    if state == "stopped":
        redis.process.terminate()
        redis.process.wait()
    if state == "frozen":
        redis.process.send_signal(signal.SIGSTOP)
    created = 0
    for number in (60, 200):
        answers, slowest, slowest_ready = asyncio.run(storm(server.url, number, new_user))
        assert set(answers) <= {201, 503}
        assert sum(answers.values()) == number
        assert slowest < REQUEST_TIMEOUT
        assert slowest_ready < slowest, "readiness must not stand in the queue of registrations"
        created += answers[201]
    assert server.rows() == created > 0
