"""What `make test` leaves to `make test-long`."""

import os

import pytest


def leave_long_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that are marked `long`, unless LONG is set."""
    if not os.environ.get("LONG"):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("long")])
        items[:] = [item for item in items if not item.get_closest_marker("long")]
