"""Releases, restores and starts: lock, replace containers, verify, record; restore the previous state on failure."""

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from cleaning_service_host.files import read_json, write_atomically
from cleaning_service_host.locks import LockTimeoutError, hold_lock

from cleaning_service_release import compose, owners, probes
from cleaning_service_release.compose import Compose, Service
from cleaning_service_release.errors import BusyError, ReleaseError, RevertFailedError
from cleaning_service_release.journal import Entry, Journal, api_image
from cleaning_service_release.layout import Layout, origin, write_origin

RELEASE_TIMEOUT = 1200  # seconds for a release; then it is reverted
REVERT_TIMEOUT = 300  # seconds for reverting
CURE_TIMEOUT = 240  # seconds to wait for a repair by the monitor to end
TOTAL_TIMEOUT = CURE_TIMEOUT + RELEASE_TIMEOUT + REVERT_TIMEOUT  # seconds for all of it, once the lock is held
LOCK_TIMEOUT = TOTAL_TIMEOUT + 60.0  # seconds to wait for another release
MONITOR_PAUSE = "30m"  # duration of the monitor's pause, which ends by itself
# Duration of its pause after a release that changes what it monitors: the playbook reconfigures it next.
RELOAD_PAUSE = "2m"
MINIMUM_FREE_SPACE = 200e6  # bytes besides the size of a snapshot
PROXY_HEALTH_DELAY = 2.5  # seconds until the proxy's health check has noticed that a replica is back
_MONITOR = "/usr/local/bin/cleaning-service-monitor"
_MONITOR_SERVICE = "cleaning-service-monitor.service"


@dataclass(frozen=True)
class Operation:
    """An operation that holds the release lock.

    Attributes:
        select_source: returns the directory of the file set to install; called once the lock is held.
        kind: release, rollback, start or restore.
        by: the operator.
    """

    select_source: Callable[[], Path]
    kind: str
    by: str


class DataReplacement(Protocol):
    """Replaces the data while the API is stopped."""

    def put(self) -> None:
        """Set the current data aside and install the new data."""

    def done(self) -> None:
        """Finish: the API works with the new data."""

    def undo(self) -> None:
        """Restore the data that was set aside. Can be called after a failed `put` and after `done`."""


class Releaser:
    """Performs releases, restores and starts.

    Args:
        layout: the installation.
        log: called with a line for each step.
    """

    def __init__(self, layout: Layout, log: Callable[[str], None]) -> None:
        self._layout = layout
        self._journal = Journal(layout)
        self._compose = Compose(layout.compose_file)
        self._log = log
        self._slowest = 0.0  # slowest start of an API container in this run, in seconds

    def plan(self, source: Path) -> list[str]:
        """Return what a release would change, a phrase each; empty if nothing.

        Raises:
            ReleaseError: the file set is incomplete, the database is missing, another project has the same name, or
                Docker does not answer.
        """
        self._require_database()
        if not (source / "docker-compose.stable.yml").exists() or not (source / "env").exists():
            raise ReleaseError(f"{source} is incomplete: run the playbook site.yml")
        self._compose.require_unique_project()
        reasons = [f"{path} differs" for path in self._layout.changed_paths(source)]
        if self._layout.in_progress.exists():
            reasons.append("an earlier release was interrupted")
        if self._layout.failed.exists():
            reasons.append("the last release failed")
        if not reasons:
            reasons = self._drift()
        return reasons

    def apply(self, operation: Operation) -> str:
        """Release a file set; return the API's new image, or an empty string if nothing had to change.

        Raises:
            BusyError: another release did not end in time.
            RevertFailedError: the release failed, and the previous one could not be restored.
            ReleaseError: the release failed, and the previous one runs.
        """
        self._layout.releases.mkdir(mode=0o700, exist_ok=True)
        with self._locked(operation), self._monitor_paused(operation):
            source = operation.select_source()
            self._require_database()
            self._mend_owners()
            reasons = self.plan(source)
            if not reasons:
                return ""
            image = api_image(source)
            for reason in reasons:
                self._log(f"reason for the release: {reason}")
            self._deploy(operation, source)
            return image

    def start(self, by: str) -> None:
        """Start all stopped containers from the installed files, and verify the service.

        Raises:
            BusyError: a release did not end in time.
            ReleaseError: the service does not work; or the database is missing, and nothing was done.
        """
        layout = self._layout
        if not layout.is_installed():
            raise ReleaseError(f"no service is installed in {layout.directory}: run the playbook site.yml")
        layout.releases.mkdir(mode=0o700, exist_ok=True)
        operation = Operation(lambda: layout.directory, "start", by)
        with self._locked(operation), self._monitor_paused(operation):
            self._require_database()
            self._compose.require_unique_project()
            self._mend_owners()
            services = self._compose.services()
            self._require_images(services)
            interrupted = layout.in_progress.exists()
            if interrupted:
                self._log("a release was interrupted: complete it with deploy.yml, or undo it with rollback.yml")
            # An interrupted release is unverified: containers that run are kept.
            self._start(services, recreate=not interrupted)
        compose.run(["systemctl", "enable", "--quiet", "--now", _MONITOR_SERVICE], timeout=compose.UP_TIMEOUT)

    def replace_data(self, replacement: DataReplacement, by: str) -> None:
        """Stop the API, replace its data, verify that the API works with the new data, and start it.

        Before the first release, the data is only installed; the first release starts the API on it.

        Raises:
            BusyError: a release did not end in time.
            RevertFailedError: that failed, and the API does not work with the previous data either.
            ReleaseError: that failed, and the API works with the previous data.
        """
        layout = self._layout
        layout.releases.mkdir(mode=0o700, exist_ok=True)
        operation = Operation(lambda: layout.directory, "restore", by)
        with self._locked(operation), self._monitor_paused(operation):
            if not layout.is_installed():
                replacement.put()
                layout.database_created.touch()
                replacement.done()
                return
            self._compose.require_unique_project()
            services = self._compose.services()
            self._require_images(services)
            begun, image = time.monotonic(), api_image(layout.directory)
            entry = Entry(self._journal.new_id(), operation.kind, "done", by, image, image, [], 0.0)
            replicas = [service for service in services if service.kind == "api"]
            try:
                self._compose.stop(replicas)
                replacement.put()
                self._mend_owners()
                self._compose.run_one_off(replicas[0].name, "migrate")
                layout.database_created.touch()
                self._test_candidate(replicas[0])
                replacement.done()
                self._start(services)
            except Exception as error:  # after any error the previous data must be restored
                failure = self._undo_data(replacement, services, error)
                outcome = "failed" if isinstance(failure, RevertFailedError) else "returned"
                with contextlib.suppress(OSError):
                    self._journal.write(replace(entry, outcome=outcome, reason=str(failure), seconds=_elapsed(begun)))
                raise failure from error
            self._journal.write(replace(entry, seconds=_elapsed(begun)))

    def revert_data(self, undo: Callable[[], object], by: str, *, begun: bool) -> None:
        """Start the API with its previous data after `replace_data` was killed.

        Args:
            undo: restores the previous data.
            by: the operator, for the monitor's log.
            begun: whether the replacement had begun; if not, running containers are kept.

        Raises:
            ReleaseError: the service does not work.
        """
        operation = Operation(lambda: self._layout.directory, "restore", by)
        with self._locked(operation), self._monitor_paused(operation):
            services = self._compose.services()
            if begun:
                self._compose.stop([service for service in services if service.kind == "api"])
                undo()
            self._mend_owners()
            self._start(services)

    def _undo_data(self, replacement: DataReplacement, services: Sequence[Service], error: Exception) -> ReleaseError:
        """Restore the previous data and start the API; return the error to raise."""
        self._log(f"failed: {error}")
        try:
            self._compose.stop([service for service in services if service.kind == "api"])
            replacement.undo()
            self._mend_owners()
            self._start(services)
        except (ReleaseError, OSError) as second:
            return RevertFailedError(f"{error}; and the API does not work with the previous data either: {second}")
        self._log("the previous data is restored, and the API works with it")
        return ReleaseError(f"{error}; the previous data is restored")

    def _start(self, services: Sequence[Service], *, recreate: bool = True) -> None:
        """Start all stopped containers and verify the service. With `recreate`, outdated containers are replaced."""
        for service in services:
            self._compose.up(service.name, recreate=recreate)
        self._compose.remove_orphans()
        for service in services:
            within = probes.start_timeout(service.start_period, 0)
            probes.await_ready(service, service.container, service.url, self._token(), within)
        self._verify_service(services)

    def _mend_owners(self) -> None:
        """Correct the owners of the data; stop containers that failed because of them, so that they start anew."""
        for sentence in (mended := owners.mend(self._layout)):
            self._log(f"corrected: {sentence}")
        if mended and self._layout.compose_file.exists():
            for name, container in self._compose.containers().items():
                if container.restarts and container.health != "healthy":
                    compose.run(["docker", "stop", name], timeout=compose.UP_TIMEOUT, check=False)

    def _verify_service(self, services: Sequence[Service]) -> None:
        """Run the registration canary on each replica, and check that the proxy reaches one.

        Raises:
            ReleaseError: a check failed.
        """
        for service in services:
            if service.kind == "api":
                probes.run_canary(service.container, service.url or "", self._token())
        proxies = [service.url for service in services if service.kind == "proxy" and service.url]
        watched = read_json(self._layout.directory / "monitor.json").get("host", {})
        for url in proxies:
            probes.check_proxy(url, str(watched.get("certificate_name", "")), int(watched.get("certificate_port", 443)))
        self._log("the registration canary passed on each replica, and the proxy reaches one")

    def _drift(self) -> list[str]:
        """Return how the containers differ from the installed compose file, a phrase each."""
        services, containers = self._compose.services(), self._compose.containers()
        waiting = self._compose.outdated_containers()
        reasons = [f"{service.name} is outdated or not running" for service in services if service.container in waiting]
        names = {service.container for service in services}
        return reasons + [f"{name} is no longer needed" for name in containers if name not in names]

    def _deploy(self, operation: Operation, source: Path) -> None:
        layout, journal = self._layout, self._journal
        begun, name = time.monotonic(), journal.new_id()
        for leftover in (compose.ONE_OFF_CONTAINER, compose.CANDIDATE_CONTAINER):
            self._compose.remove(leftover)
        interrupted = layout.in_progress.exists() and layout.previous.exists()
        if layout.is_installed() and not interrupted:
            layout.save_installed(layout.previous)
            if current := journal.current():
                layout.save_monitor_config(current)
        had_previous = layout.previous.exists()
        before = api_image(layout.previous) if had_previous else ""
        write_atomically(
            layout.in_progress, {"id": name, "kind": operation.kind, "by": operation.by, "since": time.time()}
        )
        entry = Entry(name, operation.kind, "done", operation.by, api_image(source), before, [], 0.0)
        changed: list[str] = []
        try:
            with _time_limit():
                self._roll_out(operation, source, name, changed)
        except Exception as error:  # after any error the previous release must be restored
            cause = error if isinstance(error, ReleaseError) else ReleaseError(f"{type(error).__name__}: {error}")
            self._log("\n  ".join([f"failed: {cause}", *cause.evidence]))
            failure = self._revert(cause, changed, had_previous=had_previous)
            outcome = "failed" if isinstance(failure, RevertFailedError) else "returned"
            self._record_failure(
                replace(entry, outcome=outcome, changed=changed, reason=str(failure), seconds=_elapsed(begun))
            )
            if outcome == "returned":
                layout.in_progress.unlink(missing_ok=True)
            raise failure from error
        self._record(replace(entry, changed=changed, seconds=_elapsed(begun)), source)

    def _record_failure(self, entry: Entry) -> None:
        """Record that a release failed, first for the alert. Errors here, as of a full disk, are ignored."""
        failed = {"id": entry.id, "reason": entry.reason, "at": time.time()}
        with contextlib.suppress(OSError):
            write_atomically(self._layout.failed, failed)
        with contextlib.suppress(OSError):
            self._journal.write(entry)
        with contextlib.suppress(OSError):
            self._journal.prune_snapshots()

    def _record(self, entry: Entry, source: Path) -> None:
        """Record a successful release and remove old ones. An error here does not fail the release."""
        layout, journal = self._layout, self._journal
        kept = layout.releases / entry.id
        try:
            layout.save_installed(kept)
            if entry.kind == "rollback":
                write_origin(kept, origin(source))
            journal.make_current(kept)
            journal.write(entry)
            layout.failed.unlink(missing_ok=True)
            layout.in_progress.unlink(missing_ok=True)
            for image in journal.prune():
                self._log(f"removed the image {image}, which no kept release needs")
        except (OSError, ReleaseError) as error:
            self._log(f"the release runs, but recording it or removing old ones failed: {error}")

    def _roll_out(self, operation: Operation, source: Path, name: str, changed: list[str]) -> None:
        self._check_free_space()
        try:
            skip = self._layout.renewed_certificate(source) if operation.kind == "rollback" else ()
            self._layout.install(source, skip=skip)
        except OSError as error:
            raise ReleaseError(f"{error.filename} cannot be written: {error.strerror}") from error
        self._replace_containers(name, changed)
        if self._layout.restore_monitor_config(source):
            # After a release the playbook writes the monitor's configuration; a rollback has to restart it here.
            compose.run(["systemctl", "try-restart", _MONITOR_SERVICE], timeout=compose.UP_TIMEOUT, check=False)

    def _revert(self, error: ReleaseError, changed: Sequence[str], *, had_previous: bool) -> ReleaseError:
        """Restore the previous release; return the error to raise."""
        if not had_previous:
            return RevertFailedError(f"{error}; nothing ran before", error.evidence)
        try:
            self._restore_previous(changed)
        except (ReleaseError, OSError) as second:
            return RevertFailedError(f"{error}; and restoring the previous release failed: {second}", error.evidence)
        return error

    def _replace_containers(self, name: str, changed: list[str]) -> None:
        """Replace all outdated containers; `changed` collects the names of their services."""
        services, containers = self._compose.services(), self._compose.containers()
        self._require_images(services)
        waiting = self._compose.outdated_containers()
        running = {name for name, container in containers.items() if container.state == "running"}
        due = rollout_order(services, waiting, running)
        due_replicas = [service for service in due if service.kind == "api"]
        for service in due:
            if service.kind == "proxy":
                self._validate_proxy(service)
        if due_replicas:
            self._prepare_data(due_replicas[0], name)
            serving = [service for service in services if service.kind == "api" and service.container in running]
            if len(serving) == 1:
                self._test_candidate(due_replicas[0])
        for service in due:
            changed.append(service.name)
            self._replace(service, self._start_timeout(service), first=service.container not in containers)
            if service in due_replicas[:-1] and containers:
                time.sleep(PROXY_HEALTH_DELAY)
        self._compose.remove_orphans()
        self._verify_service(services)

    def _require_images(self, services: Sequence[Service]) -> None:
        """Check that the host has all images.

        Raises:
            ReleaseError: an image is missing.
        """
        for service in services:
            if compose.image_id(service.image) is None:
                raise ReleaseError(
                    f"this host has no image {service.image}: check out the version it belongs to and run deploy.yml, "
                    "which builds it"
                )

    def _prepare_data(self, api: Service, name: str) -> None:
        """Take a snapshot of the database and migrate it with the new image; on a new host, create it."""
        if self._had_database():
            output = self._compose.run_one_off(api.name, "snapshot", f"/data/snapshots/{name}.db")
            self._log(f"snapshot of the database: {output.strip()}")
            self._compose.run_one_off(api.name, "migrate")
        else:
            self._compose.run_one_off(api.name, "migrate", "--create")
        self._layout.database_created.touch()
        self._log("the database has the schema of the new image")

    def _had_database(self) -> bool:
        """Whether this host ever had a database. Old releases left no `database_created`, but a journal entry."""
        done = any(entry.outcome == "done" for entry in self._journal.entries())
        return done or self._layout.database_created.exists()

    def _require_database(self) -> None:
        """Check that the database is not missing, for example because of a missing mount or an accidental deletion.

        Raises:
            ReleaseError: the host had a database, and it is missing.
        """
        database, compose_file = self._layout.database, self._layout.compose_file
        if self._had_database() and not database.exists():
            raise ReleaseError(
                f'the database {database} is missing: put it back (docs/operations.md, "The database is missing"), '
                "or, to start with an empty one: "
                f"docker-compose -f {compose_file} run --rm --no-deps --env LOG_FILE= api migrate --create"
            )

    def _validate_proxy(self, proxy: Service) -> None:
        """Validate the proxy's new configuration and certificate with its new image, before the proxy is replaced.

        Raises:
            ReleaseError: the configuration is invalid.
        """
        try:
            self._compose.run_one_off(
                proxy.name, "validate", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"
            )
        except ReleaseError as error:
            raise ReleaseError("the proxy does not accept its configuration", error.evidence) from error

    def _test_candidate(self, api: Service) -> None:
        """Start and verify the new image in a container beside the replica, before the replica is replaced.

        Raises:
            ReleaseError: the new image does not work.
        """
        try:
            url = self._compose.start_candidate(api, compose.CANDIDATE_CONTAINER)
            seconds = self._await_ready(api, compose.CANDIDATE_CONTAINER, url, self._start_timeout(api))
            self._log(f"a candidate without requests was ready after {seconds:.1f} s")
        finally:
            self._compose.remove(compose.CANDIDATE_CONTAINER)

    def _replace(self, service: Service, within: float, *, first: bool) -> None:
        begun = time.monotonic()
        self._compose.up(service.name)
        replaced = time.monotonic() - begun
        seconds = self._await_ready(service, service.container, service.url, within)
        done = "created" if first else "replaced"
        self._log(f"{service.name}: {done} in {replaced:.1f} s, ready after {seconds:.1f} s more")

    def _start_timeout(self, service: Service) -> float:
        """Seconds that a container may take to become ready, from the starts measured in this release and the last."""
        before = float(read_json(self._layout.start_times).get("slowest", 0))
        return probes.start_timeout(service.start_period, max(before, self._slowest))

    def _await_ready(self, service: Service, name: str, url: str | None, within: float) -> float:
        """Wait until a container is ready, and record how long an API container took."""
        seconds = probes.await_ready(service, name, url, self._token(), within)
        if service.kind == "api":
            self._slowest = max(self._slowest, seconds)
            with contextlib.suppress(OSError):  # a full disk must not fail the release
                write_atomically(self._layout.start_times, {"slowest": round(self._slowest, 1)})
        return seconds

    def _restore_previous(self, changed: Sequence[str]) -> None:
        """Install the previous release's files and replace the changed containers, the last changed one first.

        They have worked before, so each gets its compose file's full start period.
        """
        self._layout.install(self._layout.previous)
        waiting = self._compose.outdated_containers()
        due = [service for service in self._compose.services() if service.container in waiting]
        order = [*reversed(changed), *(service.name for service in due)]
        for service in sorted(due, key=lambda service: order.index(service.name)):
            self._replace(service, probes.start_timeout(service.start_period, 0), first=False)
        self._compose.remove_orphans()
        self._log("the previous release runs again")

    def _check_free_space(self) -> None:
        """Check that there is space for a snapshot and for the containers' data.

        Raises:
            ReleaseError: there is too little; nothing has changed.
        """
        size = self._layout.database.stat().st_size if self._layout.database.exists() else 0
        needed, free = MINIMUM_FREE_SPACE + 1.2 * size, shutil.disk_usage(self._layout.directory).free
        if free < needed:
            raise ReleaseError(
                f"{free / 1e6:.0f} MB are free in {self._layout.directory} and {needed / 1e6:.0f} MB are needed: "
                "free some space (docs/operations.md) and try again; nothing has changed"
            )

    def _token(self) -> str:
        lines = self._layout.env_file.read_text(encoding="utf-8").splitlines()
        return next((line.partition("=")[2] for line in lines if line.startswith("CANARY_TOKEN=")), "")

    @contextlib.contextmanager
    def _locked(self, operation: Operation) -> Iterator[None]:
        """Hold the release lock."""
        owner = {"by": operation.by, "since": time.time(), "pid": os.getpid()}
        try:
            with hold_lock(self._layout.lock, owner, timeout=LOCK_TIMEOUT, describe=_describe_owner, log=self._log):
                yield
        except LockTimeoutError as error:
            raise BusyError(f"{error}, did not end within {LOCK_TIMEOUT:g} s") from None

    @contextlib.contextmanager
    def _monitor_paused(self, operation: Operation) -> Iterator[None]:
        """Pause the monitor, after waiting for a repair in progress. A longer pause by an operator stays in effect."""
        if not Path(_MONITOR).exists():
            yield
            return
        reason = ["--reason", f"{operation.kind} by {operation.by}"]
        pause = ["pause", MONITOR_PAUSE, "--at-least", "--wait", f"{CURE_TIMEOUT}s", *reason]
        compose.run([_MONITOR, *pause], timeout=CURE_TIMEOUT + compose.QUERY_TIMEOUT, check=False)
        before = self._monitored()
        try:
            yield
        finally:
            if operation.kind == "release" and before and self._monitored() != before and _paused_for(reason[1]):
                # Until the playbook reconfigures the monitor, it would take the new state for a fault.
                compose.run([_MONITOR, "pause", RELOAD_PAUSE, *reason], timeout=compose.QUERY_TIMEOUT, check=False)
            else:
                compose.run([_MONITOR, "resume", *reason], timeout=compose.QUERY_TIMEOUT, check=False)

    def _monitored(self) -> AbstractSet[tuple[str, str | None, Collection[str]]]:
        """Return the properties of the containers that the monitor is configured with; empty without valid files."""
        try:
            return {(service.container, service.url, service.networks) for service in self._compose.services()}
        except ReleaseError:
            return set()


def rollout_order(services: Sequence[Service], waiting: Collection[str], running: AbstractSet[str]) -> list[Service]:
    """Return the services to replace in their order: Redis, replicas, proxy.

    With several replicas, the proxy is replaced between them: the old and the new proxy may reach replicas in different
    ways, and each must always reach one. With a single replica, the new proxy comes first, and holds the requests that
    arrive while the replica is replaced.

    Args:
        services: all services of the new release, Redis first and the proxy last.
        waiting: names of the containers to create or replace.
        running: names of the running containers, including those to remove.
    """
    due = [service for service in services if service.container in waiting]
    # Replicas that do not run come first.
    replicas = sorted((each for each in due if each.kind == "api"), key=lambda each: each.container in running)
    serving = running - {service.container for service in services if service.kind != "api"}
    up_to_date = sum(service.kind == "api" for service in services) - len(replicas)

    def reached(replaced: int) -> int:
        """Return how many replicas the worse of both proxies reaches after so many replacements."""
        return min(len(serving - {each.container for each in replicas[:replaced]}), up_to_date + replaced)

    before = max(range(len(replicas) + 1), key=reached) if serving else len(replicas)
    first = [service for service in due if service.kind not in ("api", "proxy")]
    proxy = [service for service in due if service.kind == "proxy"]
    return [*first, *replicas[:before], *proxy, *replicas[before:]]


def _describe_owner(owner: Mapping[str, Any]) -> str:
    """Describe the release that holds the lock."""
    since = time.strftime("%H:%M:%S UTC", time.gmtime(float(owner.get("since", 0))))
    return f"another release, by {owner.get('by', 'unknown')} since {since} (process {owner.get('pid', '?')})"


def _paused_for(reason: str) -> bool:
    """Whether the monitor is paused for this reason, and not by another, longer pause."""
    output = compose.run(["sh", "-c", f"{_MONITOR} status --json || true"], timeout=compose.QUERY_TIMEOUT, check=False)
    try:
        return bool(json.loads(output)["paused"]["reason"] == reason)
    except (ValueError, KeyError, TypeError):
        return False


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    """Raise when the release takes too long. Reverting is limited by the systemd unit alone."""

    def on_alarm(_number: int, _frame: FrameType | None) -> None:
        raise ReleaseError(f"the release took longer than {RELEASE_TIMEOUT / 60:g} minutes")

    signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(RELEASE_TIMEOUT)
    try:
        yield
    finally:
        signal.alarm(0)


def _elapsed(begun: float) -> float:
    return round(time.monotonic() - begun, 1)
