"""The demo host of `make up`, for benchmarks that need a whole host."""

import subprocess

HOST = "cleaning-service-demo"


def address() -> str:
    """The demo host's address on this machine's Docker network."""
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return subprocess.check_output(["docker", "inspect", "--format", form, HOST], text=True).strip()


def play(*a: str) -> None: ...
