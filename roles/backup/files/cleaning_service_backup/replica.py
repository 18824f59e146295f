"""The replica: Litestream's copy of the database at another place, some half a second behind.

Litestream runs in a container that begins with a whole copy whenever it starts, behind all that the far side has. So
the address is all that a bare server needs: there is one history, the newest state is at its end, and a database that
was restored is one more state after those of before.
"""

import contextlib
import http.client
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cleaning_service_host.commands import CommandError, run_command
from cleaning_service_release.layout import Layout
from cleaning_service_release.probes import UnixConnection

from cleaning_service_backup.errors import BackupError
from cleaning_service_backup.settings import Settings

CONTAINER = "cleaning_service_replica_stable"
COMPOSE_FILE = "docker-compose.backup.yml"
_DATABASE = "/data/cleaning_service_stable.db"  # in the container
_CONFIG = ("-no-expand-env", "-config", "/etc/litestream/litestream.yml")
_QUICK = 60.0  # seconds for a command of Docker's
_LONG = 3600.0  # seconds for fetching a whole database
_ANSWER = 10  # seconds in which what was written has to be at the far side
_PLAN = 25.0  # seconds for looking at the far side
_CONFINED = (
    *("--pull", "never", "--init", "--read-only", "--tmpfs", "/tmp:size=16m"),  # noqa: S108  # in the container
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--memory", "256m", "--pids-limit", "64", "--cpu-shares", "64", "--log-driver", "none"),
)
_LOOK = 0.2  # seconds between two looks
_LOST = ("no matching backup files", "non-contiguous")  # what Litestream says where files are missing


class BeginAnewError(BackupError):
    """The replica fails in a way that only beginning anew can cure."""


@dataclass(frozen=True)
class ReplicaSettings:
    """What the playbook writes into backup.json under `replica`.

    Attributes:
        image: Litestream's.
        user: that the containers run as, `10001:10001`.
        directory: of this server that the replica is kept in; None where it is kept elsewhere.
    """

    image: str
    user: str
    directory: Path | None = None


def parse(found: Mapping[str, Any]) -> ReplicaSettings:
    """Make settings of what the file holds.

    Raises:
        KeyError: it is not what the playbook writes.
    """
    directory = str(found.get("directory") or "")
    return ReplicaSettings(str(found["image"]), str(found["user"]), Path(directory) if directory else None)


class Replica:
    """The replica of a service's database.

    Args:
        settings: of the backups; `replica` has to be set.
        layout: of the service.

    Raises:
        BackupError: no replica is set.
    """

    def __init__(self, settings: Settings, layout: Layout) -> None:
        if settings.replica is None:
            raise BackupError("no replica of the database is set: set `backup_replica` and run the playbook site.yml")
        self._settings = parse(settings.replica)
        self._directory = layout.directory
        self._database = layout.database

    def restore(self, target: Path, at: float | None = None) -> float:
        """Fetch the database as it was at a moment, or as it is, into a new file; returns the moment of the data.

        The moment is that of the last write in it, in whole seconds, by the clock of the server that replicated it.

        Args:
            target: the new file; it will belong to the containers' user.
            at: seconds since the epoch; None for the newest.

        Raises:
            BackupError: the far side has nothing of that time or cannot be reached, or what it has is damaged.
        """
        if target.exists():
            raise BackupError(f"{target} exists: a restore never writes over a file")
        # A plan without a moment is found without asking for the exact time of each file.
        plan = self._plan()
        if at is not None and plan.moment > at:
            plan = self._plan("-timestamp", datetime.fromtimestamp(at, timezone.utc).isoformat())
        with self._writable(target) as directory:
            self._litestream(
                "restore", *_CONFIG, "-txid", plan.last, "-integrity-check", "quick", "-o", "/out/database", _DATABASE,
                out=directory, timeout=_LONG,
            )  # fmt: skip
            (directory / "database").rename(target)
        return plan.moment

    def stop(self) -> None:
        """Stop replicating; all that was written is sent first, where the far side can be reached.

        Raises:
            BackupError: Docker does not do it.
        """
        self._compose("stop")

    def start(self) -> None:
        """Replicate the database that is in place now, with a whole copy to begin with.

        Raises:
            BackupError: Docker does not do it.
        """
        self._compose("up", "--detach", "--force-recreate")

    def confirm(self) -> int:
        """Wait until all that was written before this call is at the far side; returns the last transaction's number.

        Raises:
            BeginAnewError: Litestream stands still, or waits for a far side that says nothing.
            BackupError: it is not there, and why.
        """
        deadline = time.monotonic() + _ANSWER
        sent, wanted = self._synchronise()
        if not wanted:
            raise BackupError("the replica has not begun yet")
        while sent < wanted and time.monotonic() < deadline:
            time.sleep(_LOOK)
            sent, _ = self._synchronise()
        if sent < wanted:
            self._send(sent)
        return wanted

    def _send(self, sent: int) -> None:
        """Have Litestream try once more, where the far side answers: by itself it may wait five minutes with that.

        Args:
            sent: the last transaction at the far side until now.

        Raises:
            BeginAnewError: the far side says nothing.
            BackupError: it does not take what was written, and why.
        """
        failed = "the far side has not taken the last writes"
        try:
            listing = ("litestream", "ltx", *_CONFIG, _DATABASE)
            run_command(["docker", "exec", CONTAINER, *listing], _PLAN)
        except CommandError as error:
            raise BackupError(f"{failed}: {_reason(error)}") from error
        try:
            self._synchronise(wait=True)
        except BeginAnewError:
            raise
        except BackupError as error:
            late = "deadline exceeded" in str(error)
            # After a long outage it takes its time, and that is no reason to begin anew.
            kind = BeginAnewError if late and self._synchronise()[0] <= sent else BackupError
            raise kind(f"{failed}: {error}") from error

    def _synchronise(self, *, wait: bool = False) -> tuple[int, int]:
        """Have Litestream read what was written; returns the last transaction at the far side, and the last there is.

        With its wait for the far side comes a time-out. When that ends, so may the lock that keeps the service from
        beginning its write-ahead log anew, and what Litestream has not read of it by then is missing at the far side
        (0.5.17: the lock is a transaction, and ends with the context that it was begun in, at the start or after a
        checkpoint). So it only follows on a call without, after which there is no checkpoint to make.

        Args:
            wait: for the far side too.

        Raises:
            BeginAnewError: Litestream stands still.
            BackupError: that fails, and why.
        """
        asked = {"path": _DATABASE, **({"wait": True, "timeout": _ANSWER} if wait else {})}
        connection = UnixConnection(str(self._directory / "replica/state/control.sock"), _ANSWER + 2.0)
        try:
            connection.request("POST", "/sync", json.dumps(asked))
            answer = connection.getresponse()
            found = dict(json.loads(answer.read()))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise BeginAnewError(f"Litestream does not answer ({error or type(error).__name__})") from error
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.OK:
            raise BackupError(_shortened(str(found.get("error", found))))
        return int(found.get("replicated_txid", 0)), int(found.get("txid", 0))

    def require_restorable(self, transaction: int) -> None:
        """Look at the far side itself: from what lies there, the database can be put together up to a transaction.

        Args:
            transaction: that `confirm` has returned.

        Raises:
            BeginAnewError: it cannot.
            BackupError: nobody can tell, because the far side does not answer.
        """
        try:
            said = run_command(["docker", "exec", CONTAINER, "litestream", *_plan_command()], _PLAN, with_stderr=False)
        except CommandError as error:
            kind = BeginAnewError if any(each in error.output for each in _LOST) else BackupError
            raise kind(f"what is at the far side cannot be restored: {_reason(error)}") from error
        if int(_read_plan(said).last, 16) < transaction:
            raise BeginAnewError("files of the replica have been removed at the far side")

    def exchanged(self) -> bool:
        """Whether Litestream replicates another file than the one that is at the database's path now."""
        try:
            began_with = (self._directory / "replica/state/replicated").read_text(encoding="ascii").split()
            found = self._database.stat()
        except OSError:  # it has not begun, or there is nothing to begin with
            return False
        return began_with != [str(found.st_dev), str(found.st_ino)]

    def skipped(self) -> bool:
        """Whether the service has begun its log anew after the whole copy and before Litestream went on from there.

        Nobody holds it back in that moment, and Litestream does not notice: what it has not read may be missing.
        """
        state = self._directory / "replica/state"
        try:
            last = (state / "copied").read_text(encoding="ascii").split()[-1]
            number = int(last.partition("-")[0], 16) + 1
            files = (last, f"{number:016x}-{number:016x}.ltx")
            copied, following = (_log_of(state / "database/ltx/0" / name) for name in files)
        except (OSError, ValueError, IndexError):  # nothing was written since; or it was, hours ago
            return False
        return copied != following

    def restart(self) -> bool:
        """Have a container that runs begin anew; whether it ran.

        Raises:
            BackupError: Docker does not do it.
        """
        running = self._docker("ps", "--quiet", "--filter", f"name=^{CONTAINER}$", "--filter", "status=running")
        if not running.strip():
            return False
        self._docker("restart", "--time", "5", CONTAINER)
        return True

    def backlog(self, since: float = 0.0) -> int:
        """Return the bytes that Litestream keeps on this server, for the far side and to merge them there.

        Args:
            since: only those that were written after this moment, in seconds since the epoch.
        """
        total = 0
        for path, _, files, descriptor in os.fwalk(self._directory / "replica/state/database"):
            del path
            for name in files:
                with contextlib.suppress(FileNotFoundError):
                    found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                    total += found.st_size if found.st_mtime > since else 0
        return total

    def _plan(self, *arguments: str) -> "_Plan":
        return _read_plan(self._litestream(*_plan_command(*arguments), timeout=_QUICK))

    @contextlib.contextmanager
    def _writable(self, target: Path) -> Iterator[Path]:
        """Have a directory beside a file that is the containers' user's."""
        directory = target.absolute().with_name(f".{target.name}.{secrets.token_hex(4)}")
        directory.mkdir(mode=0o700)
        try:
            user, group = map(int, self._settings.user.split(":"))
            os.chown(directory, user, group)
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _litestream(self, *arguments: str, timeout: float, out: Path | None = None) -> str:
        """Run Litestream in a container of its own, beside the one that replicates, if there is one.

        Raises:
            BackupError: it fails, and why.
        """
        mounts = {self._directory / "replica/config": "/etc/litestream:ro"}
        if self._settings.directory:
            mounts[self._settings.directory] = "/replica:ro"
        if out:
            mounts[out] = "/out"
        name = f"cleaning_service_replica_{secrets.token_hex(4)}"
        command = ["docker", "run", "--rm", "--name", name, *_CONFINED, "--user", self._settings.user]
        command += [part for source, place in mounts.items() for part in ("--mount", _bind(source, place))]
        if (self._directory / "replica/config/ca.crt").exists():
            command += ["--env", "SSL_CERT_FILE=/etc/litestream/ca.crt"]  # besides the image's own
        command += ["--entrypoint", "litestream", self._settings.image, *arguments]
        try:
            return run_command(command, timeout, with_stderr=False)
        except CommandError as error:
            raise BackupError(f"the replica cannot be restored: {_reason(error)}") from error
        finally:
            # A client of Docker's that was killed leaves its container running.
            with contextlib.suppress(CommandError):
                run_command(["docker", "rm", "--force", name], _QUICK)

    def _compose(self, *arguments: str) -> None:
        self._docker("compose", "--file", str(self._directory / COMPOSE_FILE), *arguments)

    def _docker(self, *arguments: str) -> str:
        try:
            return run_command(["docker", *arguments], _QUICK)
        except CommandError as error:
            raise BackupError(f"the replica's container: {error}") from error


@dataclass(frozen=True)
class _Plan:
    """Of what a restore would be put together.

    Attributes:
        last: transaction in it, in hexadecimal digits.
        moment: of that one, in seconds since the epoch.
    """

    last: str
    moment: float


def _log_of(file: Path) -> bytes:
    """Return which log of the service a transaction was read from: the salts that its head repeats (superfly/ltx)."""
    with file.open("rb") as opened:
        return opened.read(72)[64:]


def _plan_command(*arguments: str) -> list[str]:
    return ["restore", *_CONFIG, *arguments, "-dry-run", "-json", "-o", "/tmp/database", _DATABASE]  # noqa: S108  # written by none


def _read_plan(said: str) -> _Plan:
    try:
        found = json.loads(said[said.index("{") :])
        moment = datetime.fromisoformat(found["files"][-1]["timestamp"].replace("Z", "+00:00")).timestamp()
        return _Plan(str(found["max_txid"]), moment)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise BackupError(f"Litestream's plan of a restore cannot be read: {_shortened(said)}") from error


def _reason(error: CommandError) -> str:
    """Return what Litestream or Docker says, or, where they say nothing, which command failed."""
    said = [line for line in error.output.splitlines() if line.strip() and not line.startswith("Run 'docker ")]
    return _shortened(said[-1].removeprefix("Error: ")) if said else str(error)


def _shortened(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:300]}…"  # noqa: PLR2004


def _bind(source: Path, place: str) -> str:
    """Return the argument of `--mount` that, other than one of `--volume`, makes no directory where there is none."""
    target, _, mode = place.partition(":")
    return f"type=bind,source={source},target={target}{',readonly' if mode == 'ro' else ''}"
