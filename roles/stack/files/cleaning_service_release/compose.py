"""Docker and Docker Compose through their command lines. Every command has a time-out."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from cleaning_service_host.commands import CommandError, run_command

from cleaning_service_release.errors import ReleaseError

QUERY_TIMEOUT = 30.0  # seconds for a command that changes nothing
UP_TIMEOUT = 120.0  # seconds to replace a container, which may take 25 to stop
ONE_OFF_TIMEOUT = 300.0  # seconds for a snapshot or a migration
ONE_OFF_CONTAINER = "cleaning_service_once"
CANDIDATE_CONTAINER = "cleaning_service_candidate"
_PROJECT = "cleaning-service"
_BASE_LABEL = "cleaning-service.base"  # label of the images that the playbook builds; its value names their base image
_FILES_LABEL = "com.docker.compose.project.config_files"
_DRY_RUN_STEP = re.compile(r"^\s*DRY-RUN MODE -\s+Container (\S+)\s+(\w+)", re.MULTILINE)
_TEMPORARY_NAME = re.compile(r"[0-9a-f]{12}_")
_DURATION = re.compile(r"([0-9.]+)(ms|h|m|s)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_REPLACEMENT_ORDER = {"redis": 0, "api": 1, "proxy": 2}


@dataclass(frozen=True)
class Service:
    """One service of the compose file.

    Attributes:
        kind: api, redis or proxy.
        url: its address on this host, http://ADDRESS:PORT or unix:PATH; None without one.
        socket_file: path of its socket inside the container; None if it listens on a port.
        networks: the networks of its container.
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
    """The state of one container.

    Attributes:
        state: Docker's name of the state, such as running or exited.
        health: healthy, unhealthy or starting; empty without a health check.
        restarts: how often Docker has restarted it.
    """

    name: str
    id: str
    state: str
    health: str
    exit_code: int
    restarts: int
    addresses: Sequence[str]


class Compose:
    """The Compose project of one compose file.

    Another project on the host may have the same name, by default the name of its directory. So a container belongs to
    this project only if its labels name both the project and this file.

    Args:
        compose_file: the installed compose file.
    """

    def __init__(self, compose_file: Path) -> None:
        self._file = compose_file
        self._command = ["docker", "compose", "--ansi", "never", "--file", str(compose_file)]

    def services(self) -> list[Service]:
        """Return all services: Redis first, the proxy last.

        Raises:
            ReleaseError: the compose file or the settings are invalid.
        """
        config = json.loads(self._run("config", "--format", "json", timeout=QUERY_TIMEOUT))
        found = [_service(name, wanted) for name, wanted in config["services"].items()]
        return sorted(found, key=lambda service: (_REPLACEMENT_ORDER.get(service.kind, 1), service.name))

    def containers(self) -> dict[str, Container]:
        """Return the project's containers by name, without those of one-off commands."""
        found = self._project_containers("label=com.docker.compose.oneoff=False")
        return {_name(each): _container(each) for each in found if self._owns(each)}

    def require_unique_project(self) -> None:
        """Check that no other project has the same name: Compose would take its containers for this project's.

        Raises:
            ReleaseError: another project has the same name.
        """
        foreign = [each for each in self._project_containers() if not self._owns(each)]
        if foreign:
            named = [f"{_name(each)} from {_labels(each).get(_FILES_LABEL) or 'an unknown file'}" for each in foreign]
            raise ReleaseError(
                f"another Compose project on this host is called {_PROJECT} too ({', '.join(named)}): give it another "
                "name (`name:` in its compose file) and recreate its containers; nothing has changed"
            )

    def _project_containers(self, *filters: str) -> list[dict[str, Any]]:
        """Return `docker inspect` of each container whose project has this name, also those of other projects."""
        wanted = [f"--filter={each}" for each in (f"label=com.docker.compose.project={_PROJECT}", *filters)]
        ids = run(["docker", "ps", "--all", "--quiet", *wanted], timeout=QUERY_TIMEOUT).split()
        return list(json.loads(run(["docker", "inspect", *ids], timeout=QUERY_TIMEOUT))) if ids else []

    def _owns(self, found: Mapping[str, Any]) -> bool:
        """Whether a container was created from this compose file, also if through a symbolic link to its directory."""
        labels = _labels(found)
        files = {Path(name).resolve() for name in labels.get(_FILES_LABEL, "").split(",")}
        return labels.get("com.docker.compose.project") == _PROJECT and self._file.resolve() in files

    def outdated_containers(self) -> set[str]:
        """Return the names of containers that are missing, stopped, or created from another configuration.

        Taken from Compose's dry run: for a service with an `env_file`, the digest that `config --hash` prints differs
        from the one in the container's label.
        """
        steps = self._run(
            "--dry-run", "up", "--detach", "--no-deps", "--pull", "never", timeout=UP_TIMEOUT, with_stderr=True
        )
        names = self.containers()
        found = {(match[1], match[2]) for match in _DRY_RUN_STEP.finditer(steps)}
        # While Compose replaces a container, it prefixes the name with the id of the old one.
        return {
            name.partition("_")[2] if _TEMPORARY_NAME.match(name) and name not in names else name
            for name, state in found
            if state != "Running"
        }

    def up(self, service: str, *, recreate: bool = True) -> None:
        """Create, replace or start the container of one service. Without `recreate`, an outdated container is kept."""
        options = () if recreate else ("--no-recreate",)
        self._run("up", "--detach", "--no-deps", *options, "--pull", "never", service, timeout=UP_TIMEOUT)

    def stop(self, services: Sequence[Service]) -> None:
        """Stop the containers of these services."""
        self._run("stop", *(service.name for service in services), timeout=UP_TIMEOUT)

    def remove_orphans(self) -> None:
        """Remove the containers of services that the compose file no longer has, and start missing containers."""
        wanted = {service.name for service in self.services()}
        for found in self._project_containers("label=com.docker.compose.oneoff=False"):
            if self._owns(found) and _labels(found).get("com.docker.compose.service") not in wanted:
                run(["docker", "stop", found["Id"]], timeout=UP_TIMEOUT, check=False)
                self.remove(found["Id"])
        self._run("up", "--detach", "--no-recreate", "--pull", "never", timeout=UP_TIMEOUT)

    def remove(self, name: str) -> None:
        """Remove a container, running or not, if it belongs to this project."""
        found = _inspect(name)
        if found and self._owns(found):
            run(["docker", "rm", "--force", name], timeout=UP_TIMEOUT, check=False)

    def run_one_off(self, service: str, *arguments: str) -> str:
        """Run a command in a temporary container of a service; return its output.

        The container has a fixed name, so that it is removed even if the command times out or is killed.
        """
        self.remove(ONE_OFF_CONTAINER)
        try:
            return self._run(
                *("run", "--rm", "--no-deps", "--no-TTY", "--name", ONE_OFF_CONTAINER, "--env", "LOG_FILE="),
                *(service, *arguments),
                timeout=ONE_OFF_TIMEOUT,
            )
        finally:
            self.remove(ONE_OFF_CONTAINER)

    def start_candidate(self, service: Service, name: str) -> str:
        """Start an additional API container, which the proxy does not know; return its address.

        Raises:
            ReleaseError: it cannot be started.
        """
        self.remove(name)
        settings = ["--env", "LOG_FILE="]
        if service.socket_file:
            settings += ["--env", f"SOCKET_FILE={PurePosixPath(service.socket_file).with_name(f'{name}.sock')}"]
        self._run("run", "--detach", "--no-deps", "--name", name, *settings, service.name, timeout=UP_TIMEOUT)
        if service.socket_file and service.url:
            return str(PurePosixPath(service.url).with_name(f"{name}.sock"))
        # The API of an old release listens on a port.
        found = container(name)
        if found is None or not found.addresses:
            raise ReleaseError("the candidate has no address", log_tail(name))
        return f"http://{found.addresses[0]}:8000"

    def _run(self, *arguments: str, timeout: float, with_stderr: bool = False) -> str:
        return run([*self._command, *arguments], timeout=timeout, with_stderr=with_stderr)


def container(name: str) -> Container | None:
    """Return one container, or None if there is none of this name."""
    found = _inspect(name)
    return _container(found) if found else None


def _inspect(name: str) -> dict[str, Any] | None:
    output = run(["docker", "inspect", "--type", "container", name], timeout=QUERY_TIMEOUT, check=False)
    return next(iter(json.loads(output or "[]")), None)


def _name(found: Mapping[str, Any]) -> str:
    return str(found["Name"]).lstrip("/")


def _labels(found: Mapping[str, Any]) -> Mapping[str, str]:
    return dict(found["Config"]["Labels"] or {})


def image_id(reference: str) -> str | None:
    """Return an image's id, or None if this host does not have the image."""
    output = run(["docker", "image", "inspect", "--format", "{{.Id}}", reference], timeout=QUERY_TIMEOUT, check=False)
    return output.strip() or None


def built_images(prefix: str) -> list[str]:
    """Return the names of the images that the playbook has built and that begin with `prefix`."""
    ours = [f"--filter=label={_BASE_LABEL}", f"--filter=reference={prefix}*"]
    output = run(["docker", "image", "ls", "--format={{.Repository}}:{{.Tag}}", *ours], timeout=QUERY_TIMEOUT)
    return output.split()


def remove_image(reference: str) -> None:
    """Remove an image, unless a container uses it."""
    run(["docker", "image", "rm", reference], timeout=UP_TIMEOUT, check=False)


def log_tail(name: str, number: int = 20) -> list[str]:
    """Return the last lines of a container's log."""
    return run(
        ["docker", "logs", "--tail", str(number), name], timeout=QUERY_TIMEOUT, check=False, with_stderr=True
    ).splitlines()


def run(command: Sequence[str], *, timeout: float, check: bool = True, with_stderr: bool = False) -> str:
    """Run a command and return its standard output. All its processes are killed when it ends or times out.

    Args:
        command: program and arguments.
        timeout: seconds.
        check: raise if the command fails or times out; otherwise return an empty string then.
        with_stderr: whether the output includes standard error.

    Raises:
        ReleaseError: the command failed or timed out; the evidence is the last lines of its output.
    """
    try:
        return run_command(command, timeout, with_stderr=with_stderr)
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
    """Parse a duration in Compose's format, e.g. 1h5m0s."""
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
