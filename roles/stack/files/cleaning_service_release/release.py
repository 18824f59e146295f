"""One release, from the lock to the journal, and the way back."""

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
from cleaning_service_host.locks import HeldError, held

from cleaning_service_release import compose, owners, probes
from cleaning_service_release.compose import Compose, Service
from cleaning_service_release.errors import BusyError, NotReturnedError, ReleaseError
from cleaning_service_release.journal import Entry, Journal, api_image
from cleaning_service_release.layout import Layout, origin, write_origin

LONGEST = 1200  # seconds for a release; what ran before is then brought back
RETURN = 300  # seconds for that
CURE = 240  # seconds that a cure of the monitor may take, which is at work when a release begins
WHOLE = CURE + LONGEST + RETURN  # seconds that all of it takes at most, once no other release is under way
LOCK_PATIENCE = WHOLE + 60.0  # seconds to wait for another release
QUIET = "30m"  # for which the monitor is asked to keep still; it ends by itself
# For which it keeps still after a release that changes what it watches; the playbook then restarts it.
UNTIL_TOLD = "2m"
ROOM = 200e6  # bytes that must be free besides what a snapshot needs
PROXY_NOTICE = 2.5  # seconds until the proxy has seen that a replica is back
_MONITOR = "/usr/local/bin/cleaning-service-monitor"
_MONITOR_SERVICE = "cleaning-service-monitor.service"


@dataclass(frozen=True)
class Order:
    """What is to be done.

    Attributes:
        choose: says which set to put in place; asked once no other release is under way.
        kind: release or rollback.
        by: who wants it.
    """

    choose: Callable[[], Path]
    kind: str
    by: str


class Exchange(Protocol):
    """Puts other data in place, while nobody has them open."""

    def put(self) -> None:
        """Set aside what is there, and put the new data in place."""

    def done(self) -> None:
        """Know that the API works with them."""

    def undo(self) -> None:
        """Put back what was set aside; also after a `put` that failed half way, and after `done`."""


class Releaser:
    """Carries out releases of one service.

    Args:
        layout: where everything lies.
        say: told each step, a line each.
    """

    def __init__(self, layout: Layout, say: Callable[[str], None]) -> None:
        self._layout = layout
        self._journal = Journal(layout)
        self._compose = Compose(layout.compose_file)
        self._say = say
        self._slowest = 0.0  # start of an API container in this run, in seconds

    def plan(self, source: Path) -> list[str]:
        """Say what a release would change; nothing when all is as the set wants it.

        Raises:
            ReleaseError: the set is not complete, the database has vanished, another project has the name of this one,
                or Docker does not answer.
        """
        self._require_database()
        if not (source / "docker-compose.stable.yml").exists() or not (source / "env").exists():
            raise ReleaseError(f"{source} is not complete: run the playbook site.yml")
        self._compose.refuse_strangers()
        reasons = [f"{place} is another one" for place in self._layout.differing(source)]
        if self._layout.under_way.exists():
            reasons.append("an earlier release was interrupted")
        if self._layout.failed.exists():
            reasons.append("the last release did not take over")
        if not reasons:
            reasons = self._drift()
        return reasons

    def carry_out(self, order: Order) -> str:
        """Bring a set into service; returns the API's image that runs now, or nothing where nothing had to change.

        Raises:
            BusyError: another release does not end.
            NotReturnedError: it failed, and what ran before could not be brought back.
            ReleaseError: it failed, and what ran before runs.
        """
        self._layout.releases.mkdir(mode=0o700, exist_ok=True)
        with self._locked(order), self._monitor_quiet(order):
            source = order.choose()
            self._require_database()
            self._mend_owners()
            reasons = self.plan(source)
            if not reasons:
                return ""
            image = api_image(source)
            for reason in reasons:
                self._say(f"to do: {reason}")
            self._release(order, source)
            return image

    def start(self, by: str) -> None:
        """Start what does not run, as the files in place want it, and see that the service works.

        Raises:
            BusyError: a release does not end.
            ReleaseError: it does not work; or the database has vanished, and nothing was done.
        """
        layout = self._layout
        if not layout.in_place():
            raise ReleaseError(f"nothing is set up in {layout.directory}: run the playbook site.yml")
        layout.releases.mkdir(mode=0o700, exist_ok=True)
        order = Order(lambda: layout.directory, "start", by)
        with self._locked(order), self._monitor_quiet(order):
            self._require_database()
            self._compose.refuse_strangers()
            self._mend_owners()
            services = self._compose.services()
            self._require_images(services)
            interrupted = layout.under_way.exists()
            if interrupted:
                self._say("a release was interrupted: end it with playbooks/deploy.yml, or take it back: rollback")
            # Of an interrupted release nobody has seen whether it works: what runs goes on as it is.
            self._start(services, recreate=not interrupted)
        compose.run(["systemctl", "enable", "--quiet", "--now", _MONITOR_SERVICE], timeout=compose.UP)

    def exchange_data(self, exchange: Exchange, by: str) -> None:
        """Stop the API, have its data exchanged, see that it works with the new ones, and start it.

        On a server without a release so far the data are put in place, and the first release starts the API on them.

        Raises:
            BusyError: a release does not end.
            NotReturnedError: that failed, and the API does not work with the data of before either.
            ReleaseError: it failed, and the API works with the data of before.
        """
        layout = self._layout
        layout.releases.mkdir(mode=0o700, exist_ok=True)
        order = Order(lambda: layout.directory, "restore", by)
        with self._locked(order), self._monitor_quiet(order):
            if not layout.in_place():
                exchange.put()
                layout.database_made.touch()
                exchange.done()
                return
            self._compose.refuse_strangers()
            services = self._compose.services()
            self._require_images(services)
            begun, image = time.monotonic(), api_image(layout.directory)
            entry = Entry(self._journal.new_id(), order.kind, "done", by, image, image, [], 0.0)
            replicas = [service for service in services if service.kind == "api"]
            try:
                self._compose.stop(replicas)
                exchange.put()
                self._mend_owners()
                self._compose.once(replicas[0].name, "migrate")
                layout.database_made.touch()
                self._try_out(replicas[0])
                exchange.done()
                self._start(services)
            except Exception as error:  # whatever it is, the data of before have to come back
                failure = self._take_back(exchange, services, error)
                outcome = "failed" if isinstance(failure, NotReturnedError) else "returned"
                with contextlib.suppress(OSError):
                    self._journal.write(replace(entry, outcome=outcome, reason=str(failure), seconds=_since(begun)))
                raise failure from error
            self._journal.write(replace(entry, seconds=_since(begun)))

    def exchange_back(self, undo: Callable[[], object], by: str, *, begun: bool) -> None:
        """Have the API run with its data of before: an exchange was killed.

        Args:
            undo: puts the data of before back.
            by: who does it, for the monitor's log.
            begun: whether anything was exchanged; if not, containers that run go on.

        Raises:
            ReleaseError: it does not work.
        """
        with self._locked(order := Order(lambda: self._layout.directory, "restore", by)), self._monitor_quiet(order):
            services = self._compose.services()
            if begun:
                self._compose.stop([service for service in services if service.kind == "api"])
                undo()
            self._mend_owners()
            self._start(services)

    def _take_back(self, exchange: Exchange, services: Sequence[Service], error: Exception) -> ReleaseError:
        """Bring the data of before back; returns the error to end with."""
        self._say(f"failed: {error}")
        try:
            self._compose.stop([service for service in services if service.kind == "api"])
            exchange.undo()
            self._mend_owners()
            self._start(services)
        except (ReleaseError, OSError) as second:
            return NotReturnedError(f"{error}; and the API does not work with the data of before either: {second}")
        self._say("the data of before are back, and the API works with them")
        return ReleaseError(f"{error}; the data of before are back")

    def _start(self, services: Sequence[Service], *, recreate: bool = True) -> None:
        """Start all that does not run, and see that it works; `recreate`: replace where due."""
        for service in services:
            self._compose.up(service.name, recreate=recreate)
        self._compose.remove_unwanted()
        for service in services:
            within = probes.patience(service.start_period, 0)
            probes.await_ready(service, service.container, service.url, self._token(), within)
        self._rehearse(services)

    def _mend_owners(self) -> None:
        """See to the owners of the data, and have containers that ended for them start from the beginning."""
        for sentence in (mended := owners.mend(self._layout)):
            self._say(f"mended: {sentence}")
        if mended and self._layout.compose_file.exists():
            for name, container in self._compose.containers().items():
                if container.restarts and container.health != "healthy":
                    compose.run(["docker", "stop", name], timeout=compose.UP, check=False)

    def _rehearse(self, services: Sequence[Service]) -> None:
        """See that each replica can register somebody, and that the way through the proxy leads to one.

        Raises:
            ReleaseError: one of both fails.
        """
        for service in services:
            if service.kind == "api":
                probes.canary(service.container, service.url or "", self._token())
        proxies = [service.url for service in services if service.kind == "proxy" and service.url]
        watched = read_json(self._layout.directory / "monitor.json").get("host", {})
        for url in proxies:
            probes.through_proxy(
                url, str(watched.get("certificate_name", "")), int(watched.get("certificate_port", 443))
            )
        self._say("a registration was rehearsed on each replica, and the proxy leads to one")

    def _drift(self) -> list[str]:
        """What of the containers is not as the files in place want it."""
        services, containers = self._compose.services(), self._compose.containers()
        waiting = self._compose.due()
        reasons = [f"{service.name} is not as wanted" for service in services if service.container in waiting]
        names = {service.container for service in services}
        return reasons + [f"{name} is not wanted any more" for name in containers if name not in names]

    def _release(self, order: Order, source: Path) -> None:
        layout, journal = self._layout, self._journal
        begun, name = time.monotonic(), journal.new_id()
        for leftover in (compose.ONCE, compose.CANDIDATE):
            self._compose.remove(leftover)
        interrupted = layout.under_way.exists() and layout.previous.exists()
        if layout.in_place() and not interrupted:
            layout.keep(layout.previous)
            if current := journal.current():
                layout.remember_monitor(current)
        had_previous = layout.previous.exists()
        before = api_image(layout.previous) if had_previous else ""
        write_atomically(layout.under_way, {"id": name, "kind": order.kind, "by": order.by, "since": time.time()})
        entry = Entry(name, order.kind, "done", order.by, api_image(source), before, [], 0.0)
        changed: list[str] = []
        try:
            with _time_limit():
                self._bring(order, source, name, changed)
        except Exception as error:  # whatever it is, what ran before has to come back
            cause = error if isinstance(error, ReleaseError) else ReleaseError(f"{type(error).__name__}: {error}")
            self._say("\n  ".join([f"failed: {cause}", *cause.evidence]))
            failure = self._undo(cause, changed, had_previous=had_previous)
            outcome = "failed" if isinstance(failure, NotReturnedError) else "returned"
            self._record_failure(
                replace(entry, outcome=outcome, changed=changed, reason=str(failure), seconds=_since(begun))
            )
            if outcome == "returned":
                layout.under_way.unlink(missing_ok=True)
            raise failure from error
        self._record(replace(entry, changed=changed, seconds=_since(begun)), source)

    def _record_failure(self, entry: Entry) -> None:
        """Write down that a release failed, for the alert first. A full disk must not hide how it ended."""
        failed = {"id": entry.id, "reason": entry.reason, "at": time.time()}
        with contextlib.suppress(OSError):
            write_atomically(self._layout.failed, failed)
        with contextlib.suppress(OSError):
            self._journal.write(entry)
        with contextlib.suppress(OSError):
            self._journal.prune_snapshots()

    def _record(self, entry: Entry, source: Path) -> None:
        """Write down what runs now, and remove what is not kept any longer; it runs, whatever happens here."""
        layout, journal = self._layout, self._journal
        kept = layout.releases / entry.id
        try:
            layout.keep(kept)
            if entry.kind == "rollback":
                write_origin(kept, origin(source))
            journal.make_current(kept)
            journal.write(entry)
            layout.failed.unlink(missing_ok=True)
            layout.under_way.unlink(missing_ok=True)
            for image in journal.prune():
                self._say(f"removed the image {image}, which no kept release needs")
        except (OSError, ReleaseError) as error:
            self._say(f"it runs, and not all of it could be written down or cleared away: {error}")

    def _bring(self, order: Order, source: Path, name: str, changed: list[str]) -> None:
        self._see_room()
        try:
            self._layout.put(source, but=self._layout.renewed(source) if order.kind == "rollback" else ())
        except OSError as error:
            raise ReleaseError(f"{error.filename} cannot be written: {error.strerror}") from error
        self._replace_all(name, changed)
        if self._layout.put_monitor(source):
            # It watches replicas and ports by its own configuration; a playbook writes it after a release.
            compose.run(["systemctl", "try-restart", _MONITOR_SERVICE], timeout=compose.UP, check=False)

    def _undo(self, error: ReleaseError, changed: Sequence[str], *, had_previous: bool) -> ReleaseError:
        """Bring back what ran before; returns the error to end with."""
        if not had_previous:
            return NotReturnedError(f"{error}; nothing ran before", error.evidence)
        try:
            self._return(changed)
        except (ReleaseError, OSError) as second:
            return NotReturnedError(f"{error}; and the way back failed: {second}", error.evidence)
        return error

    def _replace_all(self, name: str, changed: list[str]) -> None:
        """Bring every container to what the files in place want; `changed` gets the services that were touched."""
        services, containers = self._compose.services(), self._compose.containers()
        self._require_images(services)
        waiting = self._compose.due()
        running = {name for name, container in containers.items() if container.state == "running"}
        due = in_order(services, waiting, running)
        due_replicas = [service for service in due if service.kind == "api"]
        for service in due:
            if service.kind == "proxy":
                self._try_configuration(service)
        if due_replicas:
            self._prepare_data(due_replicas[0], name)
            serving = [service for service in services if service.kind == "api" and service.container in running]
            if len(serving) == 1:
                self._try_out(due_replicas[0])
        for service in due:
            changed.append(service.name)
            self._replace(service, self._patience(service), first=service.container not in containers)
            if service in due_replicas[:-1] and containers:
                time.sleep(PROXY_NOTICE)
        self._compose.remove_unwanted()
        self._rehearse(services)

    def _require_images(self, services: Sequence[Service]) -> None:
        """See that the host has all images.

        Raises:
            ReleaseError: it has not.
        """
        for service in services:
            if compose.image_id(service.image) is None:
                raise ReleaseError(
                    f"this host has no image {service.image}: check out the version it belongs to and run deploy.yml, "
                    "which makes it"
                )

    def _prepare_data(self, api: Service, name: str) -> None:
        """Copy the database, then migrate it with the new image; make it on a host that has never had one."""
        if self._had_database():
            said = self._compose.once(api.name, "snapshot", f"/data/snapshots/{name}.db")
            self._say(f"snapshot of the database: {said.strip()}")
            self._compose.once(api.name, "migrate")
        else:
            self._compose.once(api.name, "migrate", "--create")
        self._layout.database_made.touch()
        self._say("the database has the schema of the new image")

    def _had_database(self) -> bool:
        """Whether this host has, or has had, a database; a release before this record left a line in the journal."""
        done = any(entry.outcome == "done" for entry in self._journal.entries())
        return done or self._layout.database_made.exists()

    def _require_database(self) -> None:
        """See that the database has not vanished: a missing mount, or a slip of somebody's hand.

        Raises:
            ReleaseError: this host has had one.
        """
        database, compose_file = self._layout.database, self._layout.compose_file
        if self._had_database() and not database.exists():
            raise ReleaseError(
                f'the database {database} is missing: put it back (docs/operations.md, "The database is missing"), '
                "or, if it shall be a new one without any data: "
                f"docker-compose -f {compose_file} run --rm --no-deps --env LOG_FILE= api migrate --create"
            )

    def _try_configuration(self, proxy: Service) -> None:
        """Have the proxy's new image read its new configuration, certificate included, before the proxy is touched.

        Raises:
            ReleaseError: it does not accept it.
        """
        try:
            self._compose.once(proxy.name, "validate", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile")
        except ReleaseError as error:
            raise ReleaseError("the proxy does not accept its configuration", error.evidence) from error

    def _try_out(self, api: Service) -> None:
        """Start the new image beside the only replica that serves, before that is touched.

        Raises:
            ReleaseError: it does not work.
        """
        try:
            url = self._compose.candidate(api, compose.CANDIDATE)
            seconds = self._await_ready(api, compose.CANDIDATE, url, self._patience(api))
            self._say(f"a replica that gets no requests was ready within {seconds:.1f} s")
        finally:
            self._compose.remove(compose.CANDIDATE)

    def _replace(self, service: Service, within: float, *, first: bool) -> None:
        begun = time.monotonic()
        self._compose.up(service.name)
        replaced = time.monotonic() - begun
        seconds = self._await_ready(service, service.container, service.url, within)
        done = "created" if first else "replaced"
        self._say(f"{service.name}: {done} in {replaced:.1f} s, ready after {seconds:.1f} s more")

    def _patience(self, service: Service) -> float:
        """Seconds that a container may take to be ready, by what this host has shown in this run and the one before."""
        before = float(read_json(self._layout.starts).get("slowest", 0))
        return probes.patience(service.start_period, max(before, self._slowest))

    def _await_ready(self, service: Service, name: str, url: str | None, within: float) -> float:
        """Wait as `probes.await_ready` does, and remember how long an API took."""
        seconds = probes.await_ready(service, name, url, self._token(), within)
        if service.kind == "api":
            self._slowest = max(self._slowest, seconds)
            with contextlib.suppress(OSError):  # a full disk must not fail what works
                write_atomically(self._layout.starts, {"slowest": round(self._slowest, 1)})
        return seconds

    def _return(self, changed: Sequence[str]) -> None:
        """Put what ran before back in place, and replace what has changed already, the last first.

        It has worked, so it gets all the time that its compose file allows.
        """
        self._layout.put(self._layout.previous)
        waiting = self._compose.due()
        due = [service for service in self._compose.services() if service.container in waiting]
        order = [*reversed(changed), *(service.name for service in due)]
        for service in sorted(due, key=lambda service: order.index(service.name)):
            self._replace(service, probes.patience(service.start_period, 0), first=False)
        self._compose.remove_unwanted()
        self._say("what ran before runs again")

    def _see_room(self) -> None:
        """See that there is room for a snapshot and for what the containers write.

        Raises:
            ReleaseError: there is not; nothing has changed.
        """
        size = self._layout.database.stat().st_size if self._layout.database.exists() else 0
        needed, free = ROOM + 1.2 * size, shutil.disk_usage(self._layout.directory).free
        if free < needed:
            raise ReleaseError(
                f"{free / 1e6:.0f} MB are free in {self._layout.directory} and {needed / 1e6:.0f} MB are needed: "
                "make room (docs/operations.md) and begin again; nothing has changed"
            )

    def _token(self) -> str:
        lines = self._layout.env_file.read_text(encoding="utf-8").splitlines()
        return next((line.partition("=")[2] for line in lines if line.startswith("CANARY_TOKEN=")), "")

    @contextlib.contextmanager
    def _locked(self, order: Order) -> Iterator[None]:
        """Hold the lock."""
        owner = {"by": order.by, "since": time.time(), "pid": os.getpid()}
        try:
            with held(self._layout.lock, owner, patience=LOCK_PATIENCE, describe=_another, say=self._say):
                yield
        except HeldError as error:
            raise BusyError(f"{error}, has not ended within {LOCK_PATIENCE:g} s") from None

    @contextlib.contextmanager
    def _monitor_quiet(self, order: Order) -> Iterator[None]:
        """Have the monitor leave the containers alone meanwhile, once the cure that it is at work on has ended.

        A longer pause, which somebody else began, stays.
        """
        if not Path(_MONITOR).exists():
            yield
            return
        reason = ["--reason", f"{order.kind} by {order.by}"]
        pause = ["pause", QUIET, "--at-least", "--wait", f"{CURE}s", *reason]
        compose.run([_MONITOR, *pause], timeout=CURE + compose.QUICK, check=False)
        before = self._watched()
        try:
            yield
        finally:
            if order.kind == "release" and before and self._watched() != before and _paused_for(reason[1]):
                # It would take what is as the playbook has yet to tell it for a fault.
                compose.run([_MONITOR, "pause", UNTIL_TOLD, *reason], timeout=compose.QUICK, check=False)
            else:
                compose.run([_MONITOR, "resume", *reason], timeout=compose.QUICK, check=False)

    def _watched(self) -> AbstractSet[tuple[str, str | None, Collection[str]]]:
        """Return what the monitor has to know of the containers; nothing where no usable files are in place."""
        try:
            return {(service.container, service.url, service.networks) for service in self._compose.services()}
        except ReleaseError:
            return set()


def in_order(services: Sequence[Service], waiting: Collection[str], running: AbstractSet[str]) -> list[Service]:
    """Return the services that have to be replaced, in the order in which that is done: Redis, the replicas, the proxy.

    The proxy comes between the replicas when there are several: it may reach those of the release before in another way
    than its own. Whichever proxy is in service, a replica that it reaches is too. With a single replica the new proxy
    comes first, and holds the requests that come while the replica is replaced.

    Args:
        services: all that there are to be, Redis first and the proxy last.
        waiting: the containers that have to be replaced or made.
        running: the containers that run now, also those that are to go.
    """
    due = [service for service in services if service.container in waiting]
    # Those that nobody misses come first.
    replicas = sorted((each for each in due if each.kind == "api"), key=lambda each: each.container in running)
    serving = running - {service.container for service in services if service.kind != "api"}
    as_wanted = sum(service.kind == "api" for service in services) - len(replicas)

    def reached(replaced: int) -> int:
        """How many replicas the worse off of both proxies reaches when so many have been replaced."""
        return min(len(serving - {each.container for each in replicas[:replaced]}), as_wanted + replaced)

    before = max(range(len(replicas) + 1), key=reached) if serving else len(replicas)
    first = [service for service in due if service.kind not in ("api", "proxy")]
    proxy = [service for service in due if service.kind == "proxy"]
    return [*first, *replicas[:before], *proxy, *replicas[before:]]


def _another(owner: Mapping[str, Any]) -> str:
    """Name a release that is under way."""
    since = time.strftime("%H:%M:%S UTC", time.gmtime(float(owner.get("since", 0))))
    return f"another release, by {owner.get('by', 'somebody')} since {since} (process {owner.get('pid', '?')})"


def _paused_for(reason: str) -> bool:
    """Tell whether the monitor keeps still for this reason, and not for another pause that is longer."""
    said = compose.run(["sh", "-c", f"{_MONITOR} status --json || true"], timeout=compose.QUICK, check=False)
    try:
        return bool(json.loads(said)["paused"]["reason"] == reason)
    except (ValueError, KeyError, TypeError):
        return False


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    """End what takes too long; the way back has no limit of its own but the unit's."""

    def ended(_number: int, _frame: FrameType | None) -> None:
        raise ReleaseError(f"it took longer than {LONGEST / 60:g} minutes")

    signal.signal(signal.SIGALRM, ended)
    signal.alarm(LONGEST)
    try:
        yield
    finally:
        signal.alarm(0)


def _since(begun: float) -> float:
    return round(time.monotonic() - begun, 1)
