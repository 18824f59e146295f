"""What all tests share."""

import pytest
from bounded import leave_long_out


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out those marked `long`, unless LONG is set."""
    leave_long_out(config, items)
