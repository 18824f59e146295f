"""A restore that is killed at a known step of the exchange, as a process of its own, and what `recover` makes of it."""

import json
import os
import subprocess
import sys

import pytest

from tests.backup.conftest import ROOT, Site
from tests.backup.database import accounts, register

CONTAINER = "cleaning_service_api_stable"
# It kills the program that calls it, at the command that the file `killed-at` names; all else it does is done.
DOCKER = f"""#!/bin/sh
here=$(dirname "$0")
echo "$*" >>"$here/called"
case "$*" in
*"$(cat "$here/killed-at")"*) kill -KILL "$PPID"; exit 1 ;;
"compose "*" config "*) cat "$here/config" ;;
"image inspect "*) echo sha256:1 ;;
"inspect --type container "*) cat "$here/container" ;;
"run --rm "*) exec {sys.executable} "$0.py" "$@" ;;
esac
"""
PROGRAM = """
import sys
from pathlib import Path
from cleaning_service_backup import cli, repository
from cleaning_service_release import probes
probes.send_request = lambda *_: probes.Response(200, "")
repository._CACHE = Path(sys.argv[1])
sys.exit(cli.main(sys.argv[2:]))
"""


class Killed:
    """A server whose programs can be killed.

    Args:
        site: the server, with one backup; what was registered afterwards is not in it.
    """

    def __init__(self, site: Site) -> None:
        site.write_settings()
        site.staged()
        register(site.database)
        self.site = site
        self.programs = site.top / "programs"
        compose_file = site.settings.directory / "docker-compose.stable.yml"
        labels = {
            "com.docker.compose.project": "cleaning-service",
            "com.docker.compose.project.config_files": str(compose_file),
        }
        container = {"Id": "1", "Name": f"/{CONTAINER}", "Config": {"Labels": labels}, "RestartCount": 0}
        state = {"State": {"Status": "running", "ExitCode": 0}}
        network = {"NetworkSettings": {"Networks": {"one": {"IPAddress": "127.0.0.1"}}}}
        service = {"container_name": CONTAINER, "image": "cleaning-service/api:1"}
        (self.programs / "container").write_text(json.dumps([container | state | network]))
        (self.programs / "config").write_text(json.dumps({"services": {"api": service}}))
        (self.programs / "docker").write_text(DOCKER)

    def call(self, *arguments: str, killed_at: str = "(never)", ended: str = "") -> tuple[int, list[str]]:
        """Call the program as its unit does; returns its exit code, and which commands of Docker's it has called.

        Args:
            arguments: its arguments.
            killed_at: part of the command at which it is killed.
            ended: systemd's word for how the unit before it ended.
        """
        (self.programs / "killed-at").write_text(killed_at)
        called = self.programs / "called"
        called.unlink(missing_ok=True)
        directory = self.site.settings.directory
        paths = os.pathsep.join(str(ROOT / "roles" / role / "files") for role in ("backup", "stack"))
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *map(str, (self.site.top / "cache", "--directory", directory, *arguments))],
            env=os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", "SERVICE_RESULT": ended},
            check=False,
            capture_output=True,
            text=True,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, called.read_text().splitlines() if called.exists() else []

    def require_a_restore(self) -> None:
        """See that nothing half done is left, and that the next restore works and keeps all that was there."""
        assert not list(self.site.database.parent.glob(".*.restored"))
        assert self.call("restore", "--here")[0] == 0
        assert accounts(self.site.database) == 4
        assert 5 in {accounts(each) for each in self.site.place.set_aside.glob(f"*/{self.site.database.name}")}


@pytest.fixture
def killed(site: Site) -> Killed:
    """Four accounts in the backup, five in the live database."""
    return Killed(site)


@pytest.mark.parametrize(
    ("killed_at", "exchanged", "there"),
    [
        (" stop api", False, 5),
        (" api migrate", True, 5),  # the files are exchanged, and nobody has used them
        (" --name cleaning_service_candidate ", True, 5),
        (" up --detach --no-deps ", False, 4),  # the new ones are known to be good: they stay
    ],
    ids=["before the exchange", "after the exchange", "while it is tried out", "at the start"],
)
def test_a_killed_restore_is_taken_back_or_ended(
    killed: Killed, killed_at: str, there: int, *, exchanged: bool
) -> None:
    site = killed.site
    code, called = killed.call("restore", "--here", killed_at=killed_at)
    assert code == -9
    assert killed_at in called[-1]
    assert site.place.under_way.exists() is exchanged
    assert accounts(site.database) == (4 if exchanged else there)
    code, called = killed.call("recover", ended="signal")
    assert code == 0
    assert accounts(site.database) == there
    assert not site.place.under_way.exists()
    assert any(" up --detach --no-deps " in each for each in called), "the API is not started"
    killed.require_a_restore()


@pytest.mark.parametrize("killed_at", [" api migrate", " --name cleaning_service_candidate "])
def test_after_a_power_cut_it_is_taken_back_before_docker_starts(killed: Killed, killed_at: str) -> None:
    assert killed.call("restore", "--here", killed_at=killed_at)[0] == -9
    assert killed.call("recover") == (0, [])
    assert accounts(killed.site.database) == 5
    assert not killed.site.place.under_way.exists()
    killed.require_a_restore()
