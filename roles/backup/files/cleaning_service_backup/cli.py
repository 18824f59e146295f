"""Command line: `cleaning-service-backup run|list|restore|drill|maintain|export|status`."""

import argparse
import contextlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

from cleaning_service_host.files import read_json
from cleaning_service_host.units import run_in_systemd_unit
from cleaning_service_release.errors import BusyError as ReleaseBusyError
from cleaning_service_release.errors import ReleaseError
from cleaning_service_release.release import LOCK_TIMEOUT, Releaser

from cleaning_service_backup import workshop
from cleaning_service_backup.drill import Drill
from cleaning_service_backup.errors import BackupError, BusyError
from cleaning_service_backup.history import History
from cleaning_service_backup.keys import change_key
from cleaning_service_backup.place import PATIENCE, Place
from cleaning_service_backup.replica import Replica
from cleaning_service_backup.restore import Restorer, Wish, recover
from cleaning_service_backup.settings import LOCAL, REMOTE, REPLICA, Settings, load
from cleaning_service_backup.status import Status, age, moment, told
from cleaning_service_backup.watch import Watch

OK, FAILED, PERSON, USAGE, BUSY = 0, 1, 2, 64, 75
UNCHANGED = "unchanged"
_DIRECTORY = Path(__file__).resolve().parents[2]  # the program lies in its directory scripts/
_WHOLE = 4 * 3600.0  # seconds that a restore may take at most
_INTERRUPTED = ("signal", "core-dump", "timeout", "watchdog", "oom-kill")  # systemd's words for how a unit ended
_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%SZ")


def main(arguments: Sequence[str]) -> int:
    """Run one command.

    Returns:
        0 done; 1 not done, and nothing is lost; 2 a person is needed; 64 there is no such command; 75 another backup or
        release is under way.
    """
    options = _parser().parse_args(arguments)
    os.umask(0o077)
    signal.signal(signal.SIGTERM, _ended)
    try:
        settings = load(options.directory / "backup.json")
        return int(options.command(settings, Place(settings), options, arguments))
    except (BusyError, ReleaseBusyError) as error:
        return _complain(error, BUSY)
    except BackupError as error:
        return _complain(error, FAILED)
    except ReleaseError as error:
        return _complain(error, PERSON)
    except OSError as error:
        return _complain(f"{error.filename or 'the system'}: {error.strerror or error}", FAILED)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say how it is used; the usual exit code means something else here."""
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="cleaning-service-backup", description="Backups of the booking API.")
    parser.add_argument("--directory", type=Path, default=_DIRECTORY, help=argparse.SUPPRESS)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: Callable[..., int], text: str | None = None) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text) if text else commands.add_parser(name)
        added.set_defaults(command=function)
        return added

    command("run", _run, "take a backup now")
    listing = command("list", _list, "show what can be restored")
    listing.add_argument("--json", action="store_true", help="for programs")
    restore = command("restore", _restore, "bring data back: the newest that are good, if nothing else is said")
    restore.add_argument("--at", type=_moment, metavar="TIME", help='not younger than this, in UTC: "2026-11-20 14:00"')
    restore.add_argument("--snapshot", default="", metavar="ID", help="this backup of `list`, and no other")
    restore.add_argument(
        "--from", dest="source", default="", choices=["", "history", LOCAL, REMOTE, REPLICA], help="only from there"
    )
    restore.add_argument("--file", type=Path, metavar="FILE", help="a copy: of `export`, or a snapshot of a release")
    restore.add_argument("--check", action="store_true", help="only say what it would do")
    restore.add_argument("--by", default=os.environ.get("SUDO_USER") or "root", help="who does it, for the journal")
    restore.add_argument("--server-files", action="store_true", help=argparse.SUPPRESS)
    restore.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    command("drill", _drill, "restore the newest backup of each source beside what runs, and see that it works")
    command("maintain", _maintain, "free what is not kept any more, check the repositories, and drill")
    export = command("export", _export, "write a checked copy of the database to a file of your own")
    export.add_argument("file", type=Path, metavar="FILE")
    status = command("status", _status, "how old the backups are, and when they were proven")
    status.add_argument("--json", action="store_true", help="for programs")
    adopt = command("adopt", _adopt, "take what is at a repository's place for the repository, after it was moved")
    adopt.add_argument("name", choices=[LOCAL, REMOTE])
    # What the playbook and units call; not for people.
    command("make", _make)
    command("change-key", _change_key)
    command("recover", _recover)
    command("watch-replica", _watch_replica)
    return parser


def _run(settings: Settings, place: Place, _options: argparse.Namespace, _arguments: Sequence[str]) -> int:
    with place.locked("backup", _say):
        workshop.clear()
        failures = History(settings, place, _say).run()
    return FAILED if failures else OK


def _maintain(settings: Settings, place: Place, options: argparse.Namespace, arguments: Sequence[str]) -> int:
    with place.locked("check", _say):
        failures = History(settings, place, _say).maintain()
    return _drill(settings, place, options, arguments) or (FAILED if failures else OK)


def _drill(settings: Settings, place: Place, _options: argparse.Namespace, _arguments: Sequence[str]) -> int:
    with place.locked("drill", _say):
        workshop.clear()
        failures = Drill(settings, place, _say).run()
    return FAILED if failures else OK


def _restore(settings: Settings, place: Place, options: argparse.Namespace, arguments: Sequence[str]) -> int:
    restorer = Restorer(settings, place, _say)
    wish = Wish(options.at, options.snapshot, options.source, _callers(options.file) if options.file else None)
    if options.check:
        restorer.foretell(wish)
        return OK
    if not options.here:
        # It outlives the caller, and whatever ends it, what was there before comes back.
        run_in_systemd_unit(
            "cleaning_service_backup",
            [*arguments, "--by", options.by, "--here", *(["--file", str(wish.file)] if wish.file else [])],
            timeout=_WHOLE + PATIENCE + LOCK_TIMEOUT,
            exec_stop_post=f"{sys.executable} -m cleaning_service_backup --directory {settings.directory} recover",
        )  # fmt: skip
    with place.locked("restore", _say):
        workshop.clear()
        recover(settings, place, _say)
        if options.server_files:
            _say("\n".join(restorer.restore_server(wish)) or UNCHANGED)
        else:
            restorer.restore(wish, options.by)
    return OK


def _watch_replica(settings: Settings, place: Place, _options: argparse.Namespace, _arguments: Sequence[str]) -> int:
    Watch(Replica(settings, place.layout), place.layout, place, _say).run()
    return OK


def _recover(settings: Settings, place: Place, _options: argparse.Namespace, _arguments: Sequence[str]) -> int:
    """After a restore, and at boot before Docker: whatever ended it, what was there before is back, and runs."""
    interrupted = os.environ.get("SERVICE_RESULT", "") in _INTERRUPTED
    if not interrupted and not place.under_way.exists():
        return OK
    with place.locked("recovery", _say):
        if not interrupted:  # at boot nothing runs yet, and Docker starts what ran
            recover(settings, place, _say)
            return OK
        workshop.clear()
        if place.layout.is_installed():
            Releaser(place.layout, _say).revert_data(
                lambda: recover(settings, place, _say), "recovery", begun=place.under_way.exists()
            )
        else:
            recover(settings, place, _say)
    return OK


def _list(settings: Settings, place: Place, options: argparse.Namespace, _arguments: Sequence[str]) -> int:
    found, code, now = [], OK, time.time()
    for repository in History(settings, place, _say).repositories():
        try:
            found += repository.backups()
        except BackupError as error:  # noqa: PERF203
            code = _complain(error, FAILED)
    if options.json:
        _say(json.dumps([{"repository": each.repository, "id": each.id, "moment": each.moment} for each in found]))
        return code
    for each in found:
        _say(f"{each.id}  {moment(each.moment)}  {each.repository}  ({age(now - each.moment)} ago)")
    if settings.replica:
        _say("and the replica: `restore --from replica`, with `--at` any moment that it still has")
    for aside in sorted(place.set_aside.iterdir()) if place.set_aside.is_dir() else ():
        _say(f"set aside by a restore: {aside}")
    return code


def _export(settings: Settings, place: Place, options: argparse.Namespace, _arguments: Sequence[str]) -> int:
    target = _callers(options.file)
    with place.locked("backup", _say):
        size = History(settings, place, _say).export(target)
    _say(f"{target}: {size} bytes, checked")
    return OK


def _status(settings: Settings, place: Place, options: argparse.Namespace, _arguments: Sequence[str]) -> int:
    found, replica = Status(place.status, settings).read(), read_json(place.replica_status)
    lines, well = told(found, replica, time.time())
    _say(json.dumps({**found, "replica": replica or found["replica"]}) if options.json else "\n".join(lines))
    return OK if well else FAILED


def _make(settings: Settings, place: Place, _options: argparse.Namespace, _arguments: Sequence[str]) -> int:
    with place.locked("backup", _say):
        made = History(settings, place, _say).make()
    _say("\n".join(f"made the {name} repository" for name in made) or UNCHANGED)
    return OK


def _adopt(settings: Settings, place: Place, options: argparse.Namespace, _arguments: Sequence[str]) -> int:
    with place.locked("backup", _say):
        History(settings, place, _say).adopt(options.name)
    return OK


def _change_key(settings: Settings, place: Place, _options: argparse.Namespace, _arguments: Sequence[str]) -> int:
    with place.locked("backup", _say):
        changed = change_key(sys.stdin.read().strip(), place, History(settings, place, _say))
    _say("changed" if changed else UNCHANGED)
    return OK


def _callers(file: Path) -> Path:
    """Return a file that the caller has named, who may have been in another directory."""
    return Path(os.environ.get("CLEANING_SERVICE_CALLED_FROM", "."), file)


def _moment(text: str) -> float:
    for each in _FORMATS:
        with contextlib.suppress(ValueError):
            return datetime.strptime(text.strip(), each).replace(tzinfo=UTC).timestamp()
    if re.fullmatch(r"\d{9,11}(\.\d+)?", text):
        return float(text)
    raise argparse.ArgumentTypeError(f'"{text}" is no moment such as "2026-11-20 14:00" (UTC)')


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _complain(error: Exception | str, code: int) -> int:
    evidence: Mapping[str, object] | Sequence[str] = getattr(error, "evidence", [])
    sys.stderr.write("\n  ".join([str(error), *map(str, evidence)]) + "\n")
    return code


def _ended(_number: int, _frame: FrameType | None) -> NoReturn:
    raise BackupError("it was told to end")
