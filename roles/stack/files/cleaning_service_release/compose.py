"""What of Docker and Compose a release needs, through their command line; every command has a time-out."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from cleaning_service_host.commands import CommandError, run_command

from cleaning_service_release.errors import ReleaseError

QUICK = 30.0  # seconds for what only looks
UP = 120.0  # seconds to replace a container: it may take 25 to stop
ONE_OFF = 300.0  # seconds for a snapshot or a migration
ONCE = "cleaning_service_once"
CANDIDATE = "cleaning_service_candidate"
_PROJECT = "cleaning-service"
_BUILT = "cleaning-service.base"  # the label that the playbook gives what it builds
_FILES = "com.docker.compose.project.config_files"
_WOULD_DO = re.compile(r"^\s*DRY-RUN MODE -\s+Container (\S+)\s+(\w+)", re.MULTILINE)
_REPLACED = re.compile(r"[0-9a-f]{12}_")
_DURATION = re.compile(r"([0-9.]+)(ms|h|m|s)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_ORDER = {"redis": 0, "api": 1, "proxy": 2}


@dataclass(frozen=True)
class Service:
    """One service as the compose file wants it.

    Attributes:
        kind: api, redis or proxy.
        url: where it answers on this host, http://ADDRESS:PORT or unix:PATH; None where it does not.
        socket_file: the path of that socket within the container; None where it listens on a port.
        networks: that its container is on.
        start_period: seconds that its container may take to start.
    """

    name: str
    kind: str
    container: str
    image: str
    url: str | None
    socket_file: str | None
    networks: tuple[str, ...]
    start_period: float


@dataclass(frozen=True)
class Container:
    """One container as it is.

    Attributes:
        state: Docker's word for it.
        health: healthy, unhealthy, starting, or nothing.
        restarts: how often Docker has started it again.
    """

    name: str
    id: str
    state: str
    health: str
    exit_code: int
    restarts: int
    addresses: Sequence[str]


class Compose:
    """The project of one compose file.

    Another project on the host may have the same name, which is that of its directory by default. A container belongs
    to this project when it has the name and was made from this file.

    Args:
        compose_file: the file in place.
    """

    def __init__(self, compose_file: Path) -> None:
        self._file = compose_file
        self._command = ["docker", "compose", "--ansi", "never", "--file", str(compose_file)]

    def services(self) -> list[Service]:
        """Return all services, in the order in which they are replaced.

        Raises:
            ReleaseError: the compose file or the settings cannot be used.
        """
        config = json.loads(self._run("config", "--format", "json", timeout=QUICK))
        found = [_service(name, wanted) for name, wanted in config["services"].items()]
        return sorted(found, key=lambda service: (_ORDER.get(service.kind, 1), service.name))

    def containers(self) -> dict[str, Container]:
        """Return the project's containers by name, but for those of single commands."""
        found = self._of_that_name("label=com.docker.compose.oneoff=False")
        return {_name(each): _container(each) for each in found if self._owns(each)}

    def refuse_strangers(self) -> None:
        """See that no other project of the same name is on this host: Compose would take its containers for this one's.

        Raises:
            ReleaseError: there is one.
        """
        strangers = [each for each in self._of_that_name() if not self._owns(each)]
        if strangers:
            named = [f"{_name(each)} from {_labels(each).get(_FILES) or 'an unknown file'}" for each in strangers]
            raise ReleaseError(
                f"another Compose project on this host is called {_PROJECT} too ({', '.join(named)}): give it another "
                "name (`name:` in its compose file) and create its containers anew; nothing has changed"
            )

    def _of_that_name(self, *filters: str) -> list[dict[str, Any]]:
        """Return what Docker says of each container whose project has this project's name, whoever made it."""
        wanted = [f"--filter={each}" for each in (f"label=com.docker.compose.project={_PROJECT}", *filters)]
        ids = run(["docker", "ps", "--all", "--quiet", *wanted], timeout=QUICK).split()
        return list(json.loads(run(["docker", "inspect", *ids], timeout=QUICK))) if ids else []

    def _owns(self, found: Mapping[str, Any]) -> bool:
        """Whether a container was made from this compose file. The directory may have been reached through a link."""
        labels = _labels(found)
        files = {Path(name).resolve() for name in labels.get(_FILES, "").split(",")}
        return labels.get("com.docker.compose.project") == _PROJECT and self._file.resolve() in files

    def due(self) -> set[str]:
        """Return the containers that are missing, stopped, or made from something else than the file wants now.

        Compose is asked what it would do: the digest that `config --hash` prints is another one than that of containers
        with an `env_file`.
        """
        said = self._run("--dry-run", "up", "--detach", "--no-deps", "--pull", "never", timeout=UP, both=True)
        names = self.containers()
        found = {(match[1], match[2]) for match in _WOULD_DO.finditer(said)}
        # A container that is replaced has a name for the moment too, which is the id of the one before with its name.
        return {
            name.partition("_")[2] if _REPLACED.match(name) and name not in names else name
            for name, state in found
            if state != "Running"
        }

    def up(self, service: str, *, recreate: bool = True) -> None:
        """Create, replace or start the container of one service; `recreate`: replace where due."""
        as_it_is = () if recreate else ("--no-recreate",)
        self._run("up", "--detach", "--no-deps", *as_it_is, "--pull", "never", service, timeout=UP)

    def stop(self, services: Sequence[Service]) -> None:
        """Stop the containers of services, each within its own grace period."""
        self._run("stop", *(service.name for service in services), timeout=UP)

    def remove_unwanted(self) -> None:
        """Remove containers of services that the file does not name any more, and start what is missing."""
        wanted = {service.name for service in self.services()}
        for found in self._of_that_name("label=com.docker.compose.oneoff=False"):
            if self._owns(found) and _labels(found).get("com.docker.compose.service") not in wanted:
                run(["docker", "stop", found["Id"]], timeout=UP, check=False)  # within its own grace period
                self.remove(found["Id"])
        self._run("up", "--detach", "--no-recreate", "--pull", "never", timeout=UP)

    def remove(self, name: str) -> None:
        """Remove a container of this project, running or not."""
        found = _inspect(name)
        if found and self._owns(found):
            run(["docker", "rm", "--force", name], timeout=UP, check=False)

    def once(self, service: str, *arguments: str) -> str:
        """Run one command of a service's image to its end, in a container of its own; return what it said.

        The container has a name, and ends with the command that started it, also when that takes too long or is killed.
        """
        self.remove(ONCE)
        try:
            return self._run(
                *("run", "--rm", "--no-deps", "--no-TTY", "--name", ONCE, "--env", "LOG_FILE="),
                *(service, *arguments),
                timeout=ONE_OFF,
            )
        finally:
            self.remove(ONCE)

    def candidate(self, service: Service, name: str) -> str:
        """Start a further container of the API, which gets no requests; return where it answers.

        Raises:
            ReleaseError: it cannot be started.
        """
        self.remove(name)
        settings = ["--env", "LOG_FILE="]
        if service.socket_file:
            settings += ["--env", f"SOCKET_FILE={PurePosixPath(service.socket_file).with_name(f'{name}.sock')}"]
        self._run("run", "--detach", "--no-deps", "--name", name, *settings, service.name, timeout=UP)
        if service.socket_file and service.url:
            return str(PurePosixPath(service.url).with_name(f"{name}.sock"))
        # A release that is gone back to may be one whose API listens on a port.
        found = container(name)
        if found is None or not found.addresses:
            raise ReleaseError("the candidate has no address", last_lines(name))
        return f"http://{found.addresses[0]}:8000"

    def _run(self, *arguments: str, timeout: float, both: bool = False) -> str:
        return run([*self._command, *arguments], timeout=timeout, both=both)


def container(name: str) -> Container | None:
    """Return one container, or nothing where there is none."""
    found = _inspect(name)
    return _container(found) if found else None


def _inspect(name: str) -> dict[str, Any] | None:
    said = run(["docker", "inspect", "--type", "container", name], timeout=QUICK, check=False)
    return next(iter(json.loads(said or "[]")), None)


def _name(found: Mapping[str, Any]) -> str:
    return str(found["Name"]).lstrip("/")


def _labels(found: Mapping[str, Any]) -> Mapping[str, str]:
    return dict(found["Config"]["Labels"] or {})


def image_id(reference: str) -> str | None:
    """Return an image's id, or nothing where this host has none of that name."""
    said = run(["docker", "image", "inspect", "--format", "{{.Id}}", reference], timeout=QUICK, check=False)
    return said.strip() or None


def images(prefix: str) -> list[str]:
    """Return the names of this project's images that begin so: those that its playbook has built."""
    ours = [f"--filter=label={_BUILT}", f"--filter=reference={prefix}*"]
    said = run(["docker", "image", "ls", "--format={{.Repository}}:{{.Tag}}", *ours], timeout=QUICK)
    return said.split()


def remove_image(reference: str) -> None:
    """Remove an image, unless a container uses it."""
    run(["docker", "image", "rm", reference], timeout=UP, check=False)


def last_lines(name: str, number: int = 20) -> list[str]:
    """Return what a container said last."""
    return run(["docker", "logs", "--tail", str(number), name], timeout=QUICK, check=False, both=True).splitlines()


def run(command: Sequence[str], *, timeout: float, check: bool = True, both: bool = False) -> str:
    """Run a command to its end and return its standard output. No process of it goes on afterwards.

    Args:
        command: program and arguments.
        timeout: seconds.
        check: whether a failure, or too long a time, is an error; else nothing is returned then.
        both: return what it writes to standard error too.

    Raises:
        ReleaseError: it failed or took too long; the evidence is what it said last.
    """
    try:
        return run_command(command, timeout, errors=both)
    except CommandError as error:
        if not check:
            return ""
        raise ReleaseError(error.reason, error.output.splitlines()[-20:]) from error


def _service(name: str, wanted: Mapping[str, Any]) -> Service:
    kind = "api" if name == "api" or name.startswith("api_") else name
    return Service(
        name=name,
        kind=kind,
        container=str(wanted["container_name"]),
        image=str(wanted["image"]),
        url=_url(wanted),
        socket_file=(wanted.get("environment") or {}).get("SOCKET_FILE"),
        networks=tuple(wanted.get("networks") or ()),
        start_period=_seconds(str((wanted.get("healthcheck") or {}).get("start_period", ""))),
    )


def _url(wanted: Mapping[str, Any]) -> str | None:
    inside = (wanted.get("environment") or {}).get("SOCKET_FILE")
    for mount in wanted.get("volumes") or []:
        if inside and PurePosixPath(inside).is_relative_to(mount["target"]):
            return f"unix:{PurePosixPath(mount['source']) / PurePosixPath(inside).relative_to(mount['target'])}"
    ports = [port["published"] for port in wanted.get("ports") or [] if port.get("published")]
    return f"http://127.0.0.1:{ports[0]}" if ports else None


def _seconds(duration: str) -> float:
    """Read a duration as Compose writes it, e.g. 1h5m0s."""
    return sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(duration))


def _container(found: Mapping[str, Any]) -> Container:
    state = found["State"]
    networks = (found.get("NetworkSettings") or {}).get("Networks") or {}
    return Container(
        name=_name(found),
        id=str(found["Id"]),
        state=str(state["Status"]),
        health=str((state.get("Health") or {}).get("Status", "")),
        exit_code=int(state["ExitCode"]),
        restarts=int(found.get("RestartCount", 0)),
        addresses=[str(network["IPAddress"]) for network in networks.values() if network.get("IPAddress")],
    )
