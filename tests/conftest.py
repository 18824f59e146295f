"""In which order the tests run."""

import os
from itertools import islice

import pytest


@pytest.hookimpl(trylast=True)  # what is deselected counts for no worker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each worker begin with its part of the tests that take minutes, so that none is left alone with one.

    pytest-xdist's `worksteal` gives each worker one piece of the list, all of one length.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    lengthy = [item for item in items if item.get_closest_marker("lengthy")]
    others = iter([item for item in items if not item.get_closest_marker("lengthy")])
    left, ordered = len(items), []
    for worker in range(workers):
        length = left // (workers - worker)
        left -= length
        mine = lengthy[worker::workers]
        ordered += [*mine, *islice(others, max(0, length - len(mine)))]
    items[:] = [*ordered, *others]
