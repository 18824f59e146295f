"""Watching the replica: how far behind the far side is, written down for the monitor, and the one cure."""

import time
from collections.abc import Callable
from pathlib import Path

from cleaning_service_host.files import read_json, write_atomically
from cleaning_service_release.layout import Layout

from cleaning_service_backup.errors import BackupError, BusyError
from cleaning_service_backup.place import Place
from cleaning_service_backup.replica import BeginAnewError, Replica

INTERVAL = 15.0  # seconds between two looks
FAR_INTERVAL = 300.0  # seconds between two looks at what lies at the far side
PATIENCE = 300.0  # seconds that Litestream may stand still before it is made to begin anew
CURE_INTERVAL = 900.0  # seconds between two cures
# What waits for the far side, besides one copy of the database: one that is away for days does not fill the disk.
BACKLOG = 1_000_000_000  # bytes; some 65 000 writes
LEAST_BACKLOG = 50_000_000  # bytes kept for it, from which on they are given up where the disk is nearly full


class Watch:
    """Looks at the replica again and again.

    Args:
        replica: that is watched.
        layout: of the service.
        place: where backups have their files.
        say: told what happens, a line each.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        replica: Replica,
        layout: Layout,
        place: Place,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._replica = replica
        self._database = layout.database
        self._place = place
        self._say = say
        self._clock = clock
        self._confirmed = float(read_json(place.replica_status).get("confirmed") or clock())
        self._looked = self._cured = 0.0  # when the far side was looked at, and Litestream made to begin anew
        self._helpless: float | None = None  # since when only that helps
        self._lost = False  # whether files are missing at the far side
        self._told = ""

    def run(self) -> None:
        """Look, for ever."""
        while True:
            began = time.monotonic()
            self.look()
            time.sleep(max(1.0, INTERVAL - (time.monotonic() - began)))

    def look(self) -> None:
        """Look once, write down what was seen, and do what can be done about it."""
        failure = self._failure()
        if failure != self._told:
            self._say(failure or "the far side has everything")
        self._told = failure
        self._write(failure)
        if reason := self._reason_to_begin_anew(failure):
            self._begin_anew(reason)

    def _failure(self) -> str:
        """Return what is wrong with the replica, nothing if nothing is."""
        if not self._database.exists():
            return "the database is missing"
        now = self._clock()
        try:
            transaction = self._replica.confirm()
            try:
                if self._lost or now - self._looked >= FAR_INTERVAL:
                    self._look_at_far_side(transaction, now)
            finally:
                if not self._lost:
                    self._confirmed = now
        except BeginAnewError as error:
            if self._helpless is None:
                self._helpless = now
            return str(error)
        except BackupError as error:
            self._helpless = None
            return str(error)
        self._helpless = None
        return ""

    def _look_at_far_side(self, transaction: int, now: float) -> None:
        self._looked = now
        try:
            self._replica.require_restorable(transaction)
        except BeginAnewError:
            self._lost = True
            raise
        self._lost = False

    def _write(self, failure: str) -> None:
        now = self._clock()
        news = {
            "written": now,
            "behind": self._behind(now) if failure else 0.0,
            "failure": failure,
            "confirmed": self._confirmed,
        }
        try:
            write_atomically(self._place.replica_status, news)
        except OSError as error:  # the monitor sees that the file is old
            self._say(f"{self._place.replica_status} cannot be written: {error.strerror}")

    def _behind(self, now: float) -> float:
        """Return how many seconds old the oldest write may be that the far side lacks; 0 where none was made since."""
        log = self._database.with_name(f"{self._database.name}-wal")
        written = max(map(_changed, (self._database, log)))
        return now - self._confirmed if written > self._confirmed or self._lost else 0.0

    def _reason_to_begin_anew(self, failure: str) -> str:
        if self._replica.exchanged():
            return "the database is another file"
        now = self._clock()
        if now - self._cured >= CURE_INTERVAL and self._replica.skipped():
            return "the service has begun its log anew while Litestream started"
        if not failure:
            return ""
        copy = self._place.database_size()
        if self._replica.backlog(self._confirmed) > BACKLOG + copy or (
            self._place.short_of_room(self._database.parent) and self._replica.backlog() > LEAST_BACKLOG + copy
        ):
            return "what waits for the far side would fill the disk"
        lasting = self._helpless is not None and now - self._helpless >= PATIENCE
        return failure if lasting and now - self._cured >= CURE_INTERVAL else ""

    def _begin_anew(self, reason: str) -> None:
        try:
            # Nobody may be exchanging the database at this moment.
            with self._place.locked("restart of the replica", lambda _: None, patience=0.0):
                if self._replica.restart():
                    self._say(f"Litestream begins anew: {reason}")
                    self._cured, self._looked = self._clock(), 0.0
        except BusyError:
            return
        except (BackupError, OSError) as error:
            self._cured = self._clock()
            self._say(f"Litestream could not be made to begin anew: {error}")


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
