"""Ansible module: finds conflicts with other containers and programs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: neighbours
short_description: Finds containers, Compose projects and listeners that conflict with a Compose project
description:
  - Changes nothing, and does not fail on conflicts. If Docker does not answer, there are no containers.
  - A container belongs to the project if its labels name both the project and the compose file. Compose looks at the
    project's name alone, and would replace or remove the containers of another project of the same name.
options:
  project:
    description: Name of the Compose project.
    type: str
  compose_file:
    description: The project's compose file.
    type: path
  containers:
    description: Names of the project's containers.
    type: list
    elements: str
  ports:
    description: Ports that the project publishes, such as C(80/tcp) and C(443/udp).
    type: list
    elements: str
"""
EXAMPLES = r"""
- name: Find conflicts
  neighbours:
    project: example
    compose_file: /opt/example/compose.yml
    containers: [example_web]
    ports: [80/tcp]
  register: found
"""
RETURN = r"""
own:
  description: Names of the project's own containers, running or not.
  type: list
  elements: str
complaints:
  description: A sentence for each conflict.
  type: list
  elements: str
"""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

TIMEOUT = 30.0  # seconds for one command
_PROJECT = "com.docker.compose.project"
_FORMAT = f'{{{{.Names}}}}\t{{{{.Label "{_PROJECT}"}}}}\t{{{{.Label "{_PROJECT}.config_files"}}}}'
_PROCESS = re.compile(r'\("([^"]+)",pid=(\d+)')
# Docker's process for a published port; the container that publishes it is reported instead.
_DOCKER = "docker-proxy"


@dataclass(frozen=True)
class ComposeContainer:
    """A container with its project's name and compose files; empty strings without a project."""

    name: str
    project: str
    files: str


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "project": {"type": "str", "required": True},
            "compose_file": {"type": "path", "required": True},
            "containers": {"type": "list", "elements": "str", "default": []},
            "ports": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    project, compose_file = module.params["project"], Path(module.params["compose_file"])

    every = containers("--all")
    own = {each.name for each in every if belongs(each, project, compose_file)}
    complaints = container_conflicts(
        [each for each in every if each.name not in own], project, module.params["containers"]
    )
    for port in module.params["ports"]:
        published = containers(f"--filter=publish={port}")
        owners = [f"the container {each.name}" for each in published if each.name not in own] + listeners(port)
        complaints += [port_conflict(port, owner) for owner in owners]
    module.exit_json(changed=False, own=sorted(own), complaints=complaints)


def belongs(container: ComposeContainer, project: str, compose_file: Path) -> bool:
    """Whether a container was created from this compose file, also if through a symbolic link to its directory."""
    files = {Path(name).resolve() for name in container.files.split(",")}
    return container.project == project and compose_file.resolve() in files


def containers(*filters: str) -> list[ComposeContainer]:
    """Return containers as `docker ps` with these options; by default, the running ones."""
    return [ComposeContainer(*line.split("\t")) for line in _output("docker", "ps", *filters, f"--format={_FORMAT}")]


def container_conflicts(foreign: Sequence[ComposeContainer], project: str, names: Sequence[str]) -> list[str]:
    """Return sentences on foreign containers that use this project's name or container names."""
    complaints = [
        f"The container {each.name} is another project's and has a name that this service needs: rename it "
        f"(`docker rename {each.name} NEW-NAME`)."
        for each in foreign
        if each.name in names
    ]
    same_project = [
        f"{each.name} from {each.files or 'an unknown file'}" for each in foreign if each.project == project
    ]
    if same_project:
        complaints.append(
            f"Another Compose project on this host is called {project} too ({', '.join(same_project)}): give it "
            "another name (`name:` in its compose file) and recreate its containers; Compose treats all containers of "
            "one name as one project."
        )
    return complaints


def listeners(port: str) -> list[str]:
    """Return the processes that listen on a port, except Docker's own."""
    number, _, protocol = port.partition("/")
    options = ("--no-header", "--listening", f"--{protocol}", "--numeric", "--processes")
    lines = _output("ss", *options, f"sport = :{number}")
    if not lines:
        return []
    found = {(match[1], match[2]) for line in lines for match in _PROCESS.finditer(line)}
    named = [f"the process {name} ({pid})" for name, pid in sorted(found) if name != _DOCKER]
    return named or ([] if found else ["an unknown process"])


def port_conflict(port: str, owner: str) -> str:
    """Return a sentence on a port that is in use."""
    number, _, protocol = port.partition("/")
    return f"Port {number} ({protocol}) is taken by {owner}."


def _output(*command: str) -> list[str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.splitlines() if done.returncode == 0 else []


if __name__ == "__main__":
    main()
