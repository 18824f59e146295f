"""The proxy with the role's own configuration: a real Caddy, for tests of what clients meet."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import jinja2
from ansible.plugins.filter.core import from_yaml, to_bool

from tests.app.conftest import free_port

STACK = Path(__file__).parents[1] / "roles" / "stack"
PROXY_TOKEN = "proxy-token-of-the-tests-0123456789"


@dataclass
class Proxy:
    """A running Caddy, its client, the directory that the monitor would write, and what Caddy logs."""

    client: httpx.Client
    status: Path
    log: Path


def configuration(directory: Path, replicas: list[str], ports: dict[str, int]) -> Path:
    """The role's own configuration; only its ports and directories are other ones."""
    environment = jinja2.Environment(autoescape=False, trim_blocks=True)  # noqa: S701  # no HTML
    environment.filters["bool"] = to_bool
    text = environment.from_string((STACK / "templates" / "Caddyfile.j2").read_text()).render(
        from_yaml((STACK / "defaults" / "main.yml").read_text())
        | {"ansible_managed": "a test", "stack_request_timeout": 2, "_stack_replica_suffixes": replicas}
    )
    patience = re.search(r"lb_try_duration \d+s", text)
    assert patience
    for before, after in {
        "http_port 8080": f"http_port {ports['http']}",
        "https_port 443": f"https_port {ports['https']}",
        "http://:8099": f"http://:{ports['health']}",
        "/run/api": str(directory / "run"),
        patience[0]: "lb_try_duration 300ms",
        "/srv/status": str(directory / "status"),
        "/etc/caddy/pages": str(directory / "pages"),
        "grace_period 10s": "grace_period 0s",
    }.items():
        assert before in text, before
        text = text.replace(before, after)
    path = directory / "Caddyfile"
    path.write_text(text)
    return path


def replica_socket(directory: Path, suffix: str) -> Path:
    """Return where a replica has to listen for the proxy whose files are in `directory`."""
    run = directory / "run"
    run.mkdir(parents=True, exist_ok=True)
    return run / f"cleaning_service_api_stable{suffix}.sock"


@contextmanager
def caddy(directory: Path, replicas: list[str]) -> Iterator[Proxy]:
    """Run Caddy in front of replicas.

    Args:
        directory: for its files, and with the replicas' sockets.
        replicas: their suffixes; that of the first is empty. Whether they are there, shows when they are asked.
    """
    program = shutil.which("caddy")
    assert program, "make setup installs caddy into .venv/bin"
    (directory / "status").mkdir(parents=True)
    shutil.copytree(STACK / "files" / "pages", directory / "pages")
    ports = {name: free_port() for name in ("http", "https", "health")}
    config = configuration(directory, replicas, ports)
    log = directory / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [program, "run", "--config", config, "--adapter", "caddyfile"],
            env={
                "HOME": str(directory),
                "XDG_DATA_HOME": str(directory),
                "XDG_CONFIG_HOME": str(directory),
                "PROXY_TOKEN": PROXY_TOKEN,
            },
            stdout=file,
            stderr=file,
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{ports['http']}", trust_env=False) as client:
                for _ in range(200):
                    try:
                        if client.get("/").status_code in (200, 503):  # by then it knows which replicas are well
                            break
                    except httpx.TransportError:
                        assert process.poll() is None, log.read_text()
                        time.sleep(0.05)
                yield Proxy(client, directory / "status", log)
        finally:
            process.terminate()
            process.wait(10)
