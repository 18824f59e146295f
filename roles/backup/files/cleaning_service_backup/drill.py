"""Proving backups: the newest of each source is restored beside what runs, compared, and the API started on it."""

import time
from collections.abc import Callable

from cleaning_service_backup.errors import BackupError
from cleaning_service_backup.history import History, told_content
from cleaning_service_backup.place import Place
from cleaning_service_backup.restore import LASTING, Candidate, Fetched, Sources, Wish
from cleaning_service_backup.settings import REPLICA, Settings
from cleaning_service_backup.status import Status, moment
from cleaning_service_backup.workshop import Workshop

_IN_FLIGHT = 60.0  # seconds: a row may be written so long after the moment that it bears


class Drill:
    """Proves the backups of one server.

    Args:
        settings: of the backups.
        place: where they have their files.
        say: told each step, a line each.
    """

    def __init__(self, settings: Settings, place: Place, say: Callable[[str], None]) -> None:
        self._place = place
        self._say = say
        self._status = Status(place.status, settings)
        self._sources = Sources(History(settings, place, say), settings, place, say)
        names = [repository.name for repository in settings.repositories]
        self._names = [*names, *([REPLICA] if settings.replica else [])]

    def run(self) -> list[str]:
        """Prove the newest backup of each source; returns what failed, a sentence each."""
        return [failure for name in self._names if (failure := self._prove(name))]

    def _prove(self, name: str) -> str:
        begun = time.monotonic()
        try:
            candidate = self._sources.candidates(Wish(source=name))[0]
            at, rows = self._try(candidate)
        except (BackupError, OSError) as error:
            self._say(f"{name}: failed: {error}")
            self._status.note_drill(name, failure=str(error), moment=None, bookings=None, seconds=0.0)
            return f"{name}: {error}"
        seconds = round(time.monotonic() - begun, 1)
        self._status.note_drill(name, failure="", moment=at, bookings=rows.get("booking", 0), seconds=seconds)
        self._say(f"{name}: proven: {told_content(rows)} of {moment(at)}, a registration rehearsed, took {seconds} s")
        return ""

    def _try(self, candidate: Candidate) -> tuple[float, dict[str, int]]:
        workshop = Workshop(self._place.layout)
        with self._place.emptied(self._place.scratch / "drill") as directory:
            self._say(f"fetching {candidate}")
            fetched = self._sources.fetch(candidate, directory)
            self._require_all(fetched, workshop)
            workshop.migrate(directory)
            workshop.rehearse(directory)
            return fetched.moment, fetched.rows

    def _require_all(self, fetched: Fetched, workshop: Workshop) -> None:
        """See that the first row which the live database has beyond the restored ones was written after their moment.

        Only that row: the clock may have been set since, so that later rows seem to be older.

        Raises:
            BackupError: it was there at that moment; or there are restored rows that the live database lacks.
        """
        restored = {table: fetched.rows.get(table, 0) for table in LASTING}
        live = workshop.examine(self._place.layout.database.parent, restored)
        for table, number in restored.items():
            most = live["rows"].get(table, 0)
            if number > most:
                raise BackupError(f"it has {number} rows in {table}, and the live database has {most}")
            last, following = live["created"].get(table, (None, None))
            limit = fetched.moment - _IN_FLIGHT
            if following is None or following > limit:
                continue
            if fetched.moment > time.time() or (last is not None and last > following + _IN_FLIGHT):
                self._say(f"{table}: the clock was set back about then, so nobody can tell whether rows are missing")
                continue
            raise BackupError(
                f"it has {number} rows in {table}, and the live database has {most}, the next of them made "
                f"{moment(following)}, before {moment(limit)}"
            )
