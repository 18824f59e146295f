"""Proving backups: the newest of each source is restored beside what runs, compared, and the API started on it."""

import time
from collections.abc import Callable

from cleaning_service_backup.errors import BackupError
from cleaning_service_backup.history import History, told_content
from cleaning_service_backup.place import Place
from cleaning_service_backup.restore import Candidate, Sources, Wish
from cleaning_service_backup.settings import REPLICA, Settings
from cleaning_service_backup.status import Status, moment
from cleaning_service_backup.workshop import Workshop

LASTING = ("user_account", "booking")
"""Tables whose rows are never removed, so that a restored database has all that were made until its moment."""
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
            live = workshop.examine(self._place.layout.database.parent, fetched.moment - _IN_FLIGHT)
            for table in LASTING:
                restored, least, most = (
                    fetched.rows.get(table, 0), live["rows_until"].get(table, 0), live["rows"].get(table, 0),
                )  # fmt: skip
                if not least <= restored <= most:
                    raise BackupError(
                        f"it has {restored} rows in {table}, and the live database has {most}, {least} of them from "
                        f"before {moment(fetched.moment - _IN_FLIGHT)}"
                    )
            workshop.migrate(directory)
            workshop.rehearse(directory)
            return fetched.moment, fetched.rows
