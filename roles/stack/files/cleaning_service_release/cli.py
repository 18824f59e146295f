"""Command line: `cleaning-service-release plan|apply|rollback|start|mend-owners|list`."""

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import NoReturn

from cleaning_service_host.units import run_in_systemd_unit

from cleaning_service_release import owners
from cleaning_service_release.errors import BusyError, ReleaseError, RevertFailedError, SupersededError
from cleaning_service_release.journal import Journal, api_image
from cleaning_service_release.layout import Layout, origin
from cleaning_service_release.release import LOCK_TIMEOUT, REVERT_TIMEOUT, TOTAL_TIMEOUT, Operation, Releaser

UNCHANGED = "unchanged"
# 1 stays free: Python and systemd use it for unexpected failures.
EXIT_REVERT_FAILED, EXIT_REVERTED, EXIT_USAGE, EXIT_BUSY, EXIT_SUPERSEDED = 2, 10, 64, 75, 76
_EXIT_CODES = {RevertFailedError: EXIT_REVERT_FAILED, SupersededError: EXIT_SUPERSEDED}
_MAXIMUM_LOG_SIZE = 1_000_000  # bytes
_DIRECTORY = Path(__file__).resolve().parents[2]  # the program is installed in its directory scripts/


class ReleaseLog:
    """Writes each step to standard output and to the log file; continues without the output once it is closed."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def write(self, line: str) -> None:
        """Write one line."""
        try:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
        except OSError:
            # The operator's connection is lost. The release continues, and writes to the log file alone.
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
        with contextlib.suppress(OSError):
            if self._log.exists() and self._log.stat().st_size > _MAXIMUM_LOG_SIZE:
                self._log.replace(self._log.with_name(f"{self._log.name}.1"))
            with self._log.open("a", encoding="utf-8") as file:
                file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {line}\n")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Print the usage; argparse's own exit code 2 has another meaning here."""
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    layout = Layout(options.directory)
    try:
        if options.command == "plan":
            return _plan(layout, options.expect)
        if options.command == "mend-owners":
            return _mend_owners(layout, check=options.check)
        if options.command == "list":
            return _list(layout, as_json=options.json)
        if not options.here:
            run_in_systemd_unit(
                "cleaning_service_release", [*arguments, "--by", options.by, "--here"],
                timeout=LOCK_TIMEOUT + TOTAL_TIMEOUT, stop_timeout=REVERT_TIMEOUT,
            )  # fmt: skip
        return _run_operation(layout, options)
    except BusyError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_BUSY
    except ReleaseError as error:
        _print_error(error)
        return _EXIT_CODES.get(type(error), EXIT_REVERTED)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="cleaning-service-release", description=__doc__)
    parser.add_argument("--directory", type=Path, default=_DIRECTORY, help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", required=True)
    plan = commands.add_parser("plan", help="print what `apply` would change")
    listing = commands.add_parser("list", help="show the kept releases and the last journal entries")
    listing.add_argument("--json", action="store_true", help="print JSON")
    apply = commands.add_parser("apply", help="release what the playbook has prepared")
    rollback = commands.add_parser("rollback", help="go back to a kept release")
    rollback.add_argument("release", nargs="?", help="its name in `list`; default: the one before the current one")
    start = commands.add_parser("start", help="start all stopped containers and check the service")
    mending = commands.add_parser("mend-owners", help="make the containers' user the owner of all data files")
    mending.add_argument("--check", action="store_true", help="only print what is wrong")
    for command in (plan, apply):
        command.add_argument("--expect", default="", help="expected digest of the prepared release, for the playbook")
    for command in (apply, rollback, start):
        command.add_argument("--by", default=os.environ.get("SUDO_USER") or "root", help="operator, for the journal")
        command.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    return parser


def _plan(layout: Layout, expected: str) -> int:
    layout.require_digest(layout.wanted, expected)
    reasons = Releaser(layout, lambda _: None).plan(layout.wanted)
    sys.stdout.write("".join(f"{reason}\n" for reason in reasons) or f"{UNCHANGED}\n")
    return 0


def _mend_owners(layout: Layout, *, check: bool) -> int:
    found = owners.mend(layout, check=check)
    sys.stdout.write("".join(f"{sentence}\n" for sentence in found) or f"{UNCHANGED}\n")
    return 0


def _run_operation(layout: Layout, options: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, _on_sigterm)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.umask(0o077)
    layout.releases.mkdir(mode=0o700, exist_ok=True)
    log = ReleaseLog(layout.releases / "release.log")
    begun = time.monotonic()
    if options.command == "start":
        Releaser(layout, log.write).start(options.by)
        return 0
    if options.command == "apply":
        operation = Operation(lambda: layout.copy_wanted(options.expect), "release", options.by)
    elif options.release:
        operation = Operation(lambda: find_kept_release(layout, options.release), "rollback", options.by)
    else:
        operation = Operation(lambda: find_rollback_target(layout), "rollback", options.by)
    try:
        image = Releaser(layout, log.write).apply(operation)
    except ReleaseError as error:
        log.write(f"not released: {error}")
        raise
    log.write(f"{image} runs, after {time.monotonic() - begun:.1f} s" if image else UNCHANGED)
    return 0


def find_kept_release(layout: Layout, name: str) -> Path:
    """Find a kept release by its name, or by the name of the release that it is a copy of.

    Raises:
        ReleaseError: there is no such release.
    """
    journal = Journal(layout)
    found = journal.kept()
    names = ", ".join(path.name for path in found if path != journal.current()) or "none"
    matches = [path for path in reversed(found) if name in (path.name, origin(path))]
    if not matches:
        raise ReleaseError(f"there is no release {name}; kept are: {names}")
    return matches[0]


def find_rollback_target(layout: Layout) -> Path:
    """Find the release before the current one; after a rollback, the one before the rollback's target.

    If the last release failed or was interrupted, the target is the current release: other containers may be running.

    Raises:
        ReleaseError: no earlier release is kept.
    """
    journal = Journal(layout)
    current = journal.current()
    if current and (layout.in_progress.exists() or layout.failed.exists() or layout.changed_paths(current)):
        return current
    earlier = journal.kept()[:-1] if current else []
    if current and origin(current) != current.name:
        earlier = sorted((path for path in earlier if origin(path) < origin(current)), key=origin)
    if not earlier:
        raise ReleaseError("there is no release to go back to: none before this one is kept")
    return earlier[-1]


def _list(layout: Layout, *, as_json: bool) -> int:
    journal = Journal(layout)
    kept = journal.kept() if layout.releases.exists() else []
    current = journal.current() if kept else None
    entries = journal.entries()
    if as_json:
        listing = {
            "kept": [{"id": path.name, "image": api_image(path), "current": path == current} for path in kept],
            "last": [asdict(entry) for entry in entries[-10:]],
        }
        sys.stdout.write(json.dumps(listing) + "\n")
        return 0
    for path in kept:
        sys.stdout.write(f"{'*' if path == current else ' '} {path.name}  {api_image(path)}\n")
    for entry in entries[-10:]:
        sys.stdout.write(
            f"{entry.id}  {entry.kind} by {entry.by}: {entry.outcome} after {entry.seconds:g} s"
            f"{f' ({entry.reason})' if entry.reason else ''}\n"
        )
    return 0


def _print_error(error: ReleaseError) -> None:
    lines = [f"{error}", *(f"  {line}" for line in error.evidence)]
    with contextlib.suppress(OSError):
        sys.stderr.write("\n".join(lines) + "\n")


def _on_sigterm(_number: int, _frame: FrameType | None) -> None:
    raise ReleaseError("the release was terminated")
