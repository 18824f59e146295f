"""A service's directory as the playbook prepares it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cleaning_service_release.layout import Layout

COMPOSE = """services:
  api:
    image: cleaning-service/api:{tag}
  redis:
    image: cleaning-service/redis:1
"""


def write_set(directory: Path, tag: str) -> Path:
    """Write the files of one release."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "docker-compose.stable.yml").write_text(COMPOSE.format(tag=tag))
    (directory / "env").write_text(f"CANARY_TOKEN={tag * 8}\n")
    (directory / "env").chmod(0o600)
    (directory / "Caddyfile").write_text(tag)
    (directory / "redis.conf").write_text("appendonly yes")
    (directory / "pages").mkdir(exist_ok=True)
    (directory / "pages" / "away.html").write_text(tag)
    return directory


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    """Restore the umask that the program changes."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A new server: a file set is prepared, none is installed."""
    layout = Layout(tmp_path)
    for place in ("releases", "proxy/config", "redis/config", "data/snapshots"):
        (tmp_path / place).mkdir(parents=True)
    write_set(layout.wanted, "new")
    return layout
