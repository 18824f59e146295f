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

from cleaning_service_host.units import go_into_a_unit

from cleaning_service_release import owners
from cleaning_service_release.errors import BusyError, NotReturnedError, ReleaseError, SupersededError
from cleaning_service_release.journal import Journal, api_image
from cleaning_service_release.layout import Layout, origin
from cleaning_service_release.release import LOCK_PATIENCE, RETURN, WHOLE, Order, Releaser

UNCHANGED = "unchanged"
# Exit codes. 1 is what Python and systemd end with when something unforeseen happens.
NOT_RETURNED, RETURNED, USAGE, BUSY, SUPERSEDED = 2, 10, 64, 75, 76
_ENDINGS = {NotReturnedError: NOT_RETURNED, SupersededError: SUPERSEDED}
_LOG_SIZE = 1_000_000  # bytes
_DIRECTORY = Path(__file__).resolve().parents[2]  # the program lies in its directory scripts/


class _Voice:
    """Says each step to whoever listens, and writes it down; goes on when nobody listens any more."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def say(self, line: str) -> None:
        """Say one line."""
        try:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
        except OSError:
            # The laptop is gone. Nothing more is written there, and the release goes on.
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
        with contextlib.suppress(OSError):
            if self._log.exists() and self._log.stat().st_size > _LOG_SIZE:
                self._log.replace(self._log.with_name(f"{self._log.name}.1"))
            with self._log.open("a", encoding="utf-8") as file:
                file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {line}\n")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say how it is used; the usual exit code means something else here."""
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")


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
            go_into_a_unit(
                "cleaning_service_release", [*arguments, "--by", options.by, "--here"],
                longest=LOCK_PATIENCE + WHOLE, to_end=RETURN,
            )  # fmt: skip
        return _carry_out(layout, options)
    except BusyError as error:
        sys.stderr.write(f"{error}\n")
        return BUSY
    except ReleaseError as error:
        _complain(error)
        return _ENDINGS.get(type(error), RETURNED)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="cleaning-service-release", description=__doc__)
    parser.add_argument("--directory", type=Path, default=_DIRECTORY, help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", required=True)
    plan = commands.add_parser("plan", help="say what `apply` would change")
    listing = commands.add_parser("list", help="show the kept releases and how the last ones went")
    listing.add_argument("--json", action="store_true", help="for programs")
    apply = commands.add_parser("apply", help="bring what the playbook has prepared into service")
    rollback = commands.add_parser("rollback", help="go back to a kept release")
    rollback.add_argument("release", nargs="?", help="its name in `list`; the one before the current one if left out")
    start = commands.add_parser("start", help="start what does not run, and see that the service works")
    mending = commands.add_parser("mend-owners", help="give the containers' user what is somebody else's in the data")
    mending.add_argument("--check", action="store_true", help="only say what is wrong")
    for command in (plan, apply):
        command.add_argument("--expect", default="", help="digest of the set that is meant, for the playbook")
    for command in (apply, rollback, start):
        command.add_argument("--by", default=os.environ.get("SUDO_USER") or "root", help="who does it, for the journal")
        command.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    return parser


def _plan(layout: Layout, expected: str) -> int:
    layout.require(layout.wanted, expected)
    reasons = Releaser(layout, lambda _: None).plan(layout.wanted)
    sys.stdout.write("".join(f"{reason}\n" for reason in reasons) or f"{UNCHANGED}\n")
    return 0


def _mend_owners(layout: Layout, *, check: bool) -> int:
    found = owners.mend(layout, check=check)
    sys.stdout.write("".join(f"{sentence}\n" for sentence in found) or f"{UNCHANGED}\n")
    return 0


def _carry_out(layout: Layout, options: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, _ended)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.umask(0o077)
    layout.releases.mkdir(mode=0o700, exist_ok=True)
    voice = _Voice(layout.releases / "release.log")
    begun = time.monotonic()
    if options.command == "start":
        Releaser(layout, voice.say).start(options.by)
        return 0
    if options.command == "apply":
        order = Order(lambda: layout.take(options.expect), "release", options.by)
    elif options.release:
        order = Order(lambda: kept_as(layout, options.release), "rollback", options.by)
    else:
        order = Order(lambda: to_go_back_to(layout), "rollback", options.by)
    try:
        image = Releaser(layout, voice.say).carry_out(order)
    except ReleaseError as error:
        voice.say(f"not done: {error}")
        raise
    voice.say(f"{image} runs, after {time.monotonic() - begun:.1f} s" if image else UNCHANGED)
    return 0


def kept_as(layout: Layout, name: str) -> Path:
    """Find a kept release by its name, or by that of the release it is a copy of.

    Raises:
        ReleaseError: there is none of that name.
    """
    journal = Journal(layout)
    found = journal.kept()
    names = ", ".join(path.name for path in found if path != journal.current()) or "none"
    meant = [path for path in reversed(found) if name in (path.name, origin(path))]
    if not meant:
        raise ReleaseError(f"there is no release {name}; kept are: {names}")
    return meant[0]


def to_go_back_to(layout: Layout) -> Path:
    """Find the release that ran before the current one; after a rollback, the one before that which it went back to.

    Or the current one itself, where a release has failed or was interrupted, so that something else may run.

    Raises:
        ReleaseError: none is kept.
    """
    journal = Journal(layout)
    current = journal.current()
    if current and (layout.under_way.exists() or layout.failed.exists() or layout.differing(current)):
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
        told = {
            "kept": [{"id": path.name, "image": api_image(path), "current": path == current} for path in kept],
            "last": [asdict(entry) for entry in entries[-10:]],
        }
        sys.stdout.write(json.dumps(told) + "\n")
        return 0
    for path in kept:
        sys.stdout.write(f"{'*' if path == current else ' '} {path.name}  {api_image(path)}\n")
    for entry in entries[-10:]:
        sys.stdout.write(
            f"{entry.id}  {entry.kind} by {entry.by}: {entry.outcome} after {entry.seconds:g} s"
            f"{f' ({entry.reason})' if entry.reason else ''}\n"
        )
    return 0


def _complain(error: ReleaseError) -> None:
    lines = [f"{error}", *(f"  {line}" for line in error.evidence)]
    with contextlib.suppress(OSError):
        sys.stderr.write("\n".join(lines) + "\n")


def _ended(_number: int, _frame: FrameType | None) -> None:
    raise ReleaseError("it was told to end")
