"""Stub until the replica is merged."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cleaning_service_release.layout import Layout

from cleaning_service_backup.settings import Settings


class Replica:
    """Stub."""

    def __init__(self, settings: Settings, layout: Layout) -> None:
        self._settings, self._layout = settings, layout
        self.found: Mapping[str, Any] = {}

    def restore(self, target: Path, at: float) -> float:
        """Stub."""
        raise NotImplementedError(target, at)

    def stop(self) -> None:
        """Stub."""

    def start(self) -> None:
        """Stub."""

    def begin_anew(self) -> None:
        """Stub."""
