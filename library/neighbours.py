"""Ansible module: what of a host that is not ours would be in our way."""

from __future__ import annotations

DOCUMENTATION = r"""
module: neighbours
short_description: Finds containers, Compose projects and listeners that are in the way of a Compose project
description:
  - Changes nothing, and does not fail on what it finds. Where Docker does not answer there are no containers.
  - A container belongs to the project when it has its name and was made from its compose file. Compose looks at the
    name alone, and would replace or remove the containers of another project of the same name.
options:
  project:
    description: Name of the Compose project.
    type: str
  compose_file:
    description: Its compose file.
    type: path
  containers:
    description: Names that its containers have.
    type: list
    elements: str
  ports:
    description: Ports that it publishes, such as C(80/tcp) and C(443/udp).
    type: list
    elements: str
"""
EXAMPLES = r"""
- name: Look for what is in the way
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
  description: A sentence for each thing that is in the way.
  type: list
  elements: str
"""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

TIMEOUT = 30.0  # seconds for one look
_PROJECT = "com.docker.compose.project"
_FORMAT = f'{{{{.Names}}}}\t{{{{.Label "{_PROJECT}"}}}}\t{{{{.Label "{_PROJECT}.config_files"}}}}'
_PROCESS = re.compile(r'\("([^"]+)",pid=(\d+)')
# Docker's own program for a published port: whose it is, the container tells.
_DOCKER = "docker-proxy"


@dataclass(frozen=True)
class Container:
    """A container and the Compose project it belongs to; empty strings where there is none."""

    name: str
    project: str
    files: str


def main() -> None:
    """Do what the task says."""
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
    complaints = of_containers([each for each in every if each.name not in own], project, module.params["containers"])
    for port in module.params["ports"]:
        published = containers(f"--filter=publish={port}")
        owners = [f"the container {each.name}" for each in published if each.name not in own] + processes(port)
        complaints += [of_port(port, owner) for owner in owners]
    module.exit_json(changed=False, own=sorted(own), complaints=complaints)


def belongs(container: Container, project: str, compose_file: Path) -> bool:
    """Whether a container is the project's own. The directory may have been reached through a link."""
    files = {Path(name).resolve() for name in container.files.split(",")}
    return container.project == project and compose_file.resolve() in files


def containers(*filters: str) -> list[Container]:
    """Return Docker's containers, by default those that run."""
    return [Container(*line.split("\t")) for line in _output("docker", "ps", *filters, f"--format={_FORMAT}")]


def of_containers(foreign: Sequence[Container], project: str, names: Sequence[str]) -> list[str]:
    """Complain about containers of others that have our names, or whose project has."""
    complaints = [
        f"The container {each.name} is another project's and has a name that this service needs: rename it "
        f"(`docker rename {each.name} NEW-NAME`)."
        for each in foreign
        if each.name in names
    ]
    namesakes = [f"{each.name} from {each.files or 'an unknown file'}" for each in foreign if each.project == project]
    if namesakes:
        complaints.append(
            f"Another Compose project on this host is called {project} too ({', '.join(namesakes)}): give it another "
            "name (`name:` in its compose file) and create its containers anew; Compose takes all containers of one "
            "name for one project's."
        )
    return complaints


def processes(port: str) -> list[str]:
    """Return the programs that listen on a port, but for Docker's own."""
    number, _, protocol = port.partition("/")
    options = ("--no-header", "--listening", f"--{protocol}", "--numeric", "--processes")
    lines = _output("ss", *options, f"sport = :{number}")
    if not lines:
        return []
    found = {(match[1], match[2]) for line in lines for match in _PROCESS.finditer(line)}
    named = [f"the process {name} ({pid})" for name, pid in sorted(found) if name != _DOCKER]
    return named or ([] if found else ["a program that the kernel does not name"])


def of_port(port: str, owner: str) -> str:
    """Complain about a port that is taken."""
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
