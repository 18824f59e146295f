"""Images in the local engine: one that the playbook would have built, and one of somebody else."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ours_and_theirs(prefix: str) -> Iterator[list[str]]:
    """Make two empty images, of which the first has the playbook's label; their names, which begin with `prefix`."""
    names = [f"{prefix}{name}:1" for name in ("ours", "theirs")]
    for name, change in zip(names, ("LABEL cleaning-service.base=any", "LABEL other=1"), strict=True):
        command = ["docker", "import", f"--change={change}", "-", name]
        subprocess.run(command, input=bytes(10240), capture_output=True, check=True)
    try:
        yield names
    finally:
        subprocess.run(["docker", "image", "rm", *names], capture_output=True, check=True)
