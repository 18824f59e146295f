"""Receivers of webhooks for the tests of alerts."""

from collections.abc import Iterator

import pytest

from tests.monitor.alerts.receivers import Receiver, receiver


@pytest.fixture
def web() -> Iterator[Receiver]:
    """A receiver."""
    with receiver() as server:
        yield server


@pytest.fixture
def other() -> Iterator[Receiver]:
    """A second one."""
    with receiver() as server:
        yield server
