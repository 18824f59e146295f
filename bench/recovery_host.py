"""The test hosts on which recovery is measured: containers on this machine that boot systemd and run Docker."""

import hashlib
import json
import os
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORK = ROOT / ".cache" / "recovery"
DIRECTORY = "/opt/fastapi-backend"
COMPOSE = f"docker compose --file {DIRECTORY}/docker-compose.stable.yml"
API = "cleaning_service_api_stable"
REDIS = "cleaning_service_redis_stable"
PROXY = "cleaning_service_proxy_stable"
MONITOR = "cleaning-service-monitor.service"
_ARCHIVE = WORK / "images.tar"
_ARRANGED = "/root/arranged"  # on the host: for how many replicas, from which checkout
_PLAYBOOK_TIMEOUT = 1500.0  # seconds; the first host builds the images

_CLEAN = f"""
systemctl stop {MONITOR} monit.service 2>/dev/null
systemctl kill --kill-whom=main --signal=CONT docker.service 2>/dev/null
if ! timeout 5 docker version >/dev/null 2>&1; then
    systemctl kill --signal=KILL docker.service
    systemctl reset-failed docker.service docker.socket 2>/dev/null
    systemctl restart docker.service
fi
systemctl reset-failed docker.service docker.socket {MONITOR} monit.service 2>/dev/null
rm -rf /var/lib/cleaning-service-monitor/* /var/lib/monit/state /var/lib/monit/events /run/lock-holder
"""

# An engine that was frozen or killed may remember containers and network endpoints that are gone, and forget others
# that are not; then neither `rm --force` nor `down` brings it back. So it starts with nothing but its images.
_RESET = """
systemctl kill --signal=KILL docker.service 2>/dev/null
systemctl stop docker.socket docker.service 2>/dev/null
ps -u 10001 -o pid= | xargs --no-run-if-empty kill -KILL 2>/dev/null
pgrep containerd-shim | xargs --no-run-if-empty kill -KILL 2>/dev/null
systemctl stop containerd.service
umount --lazy /run/docker/netns/* /var/lib/docker/overlay2/*/merged 2>/dev/null
rm -rf /run/docker/netns/* /run/containerd/io.containerd.runtime.v2.task/moby/*
rm -rf /var/lib/docker/containers/* /var/lib/docker/network/files/local-kv.db
for bridge in $(ip -o link show type bridge | grep -o 'br-[0-9a-f]*' | sort -u); do ip link delete "$bridge"; done
systemctl reset-failed docker.service docker.socket containerd.service 2>/dev/null
systemctl start containerd.service docker.socket docker.service
"""


class HostError(Exception):
    """The host does not do what it is asked; the message has the command's last words."""


class Host:
    """One test host."""

    def __init__(self, number: int) -> None:
        self.name = f"cleaning-service-recovery-{number}"
        self.replicas = 0
        self.monit = False
        """Whether monit is installed."""

    def sh(self, script: str, timeout: float = 120.0) -> str:
        """Run a shell script on the host as root and return what it prints.

        Raises:
            HostError: it failed or took longer than `timeout` seconds.
        """
        try:
            run = subprocess.run(
                ["docker", "exec", self.name, "bash", "-c", script],
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise HostError(f"{self.name}: not done within {timeout:g} s: {script[:200]}") from error
        if run.returncode != 0:
            raise HostError(f"{self.name}: {script[:200]}: {run.stderr[-500:]}")
        return run.stdout

    def write(self, path: str, text: str) -> None:
        """Write a file of root's that nobody else reads."""
        subprocess.run(
            ["docker", "exec", "--interactive", self.name, "bash", "-c", f"umask 077; cat >{path}"],
            input=text,
            text=True,
            timeout=30,
            check=True,
        )

    def address(self) -> str:
        """The host's address on this machine's Docker network."""
        networks = "{{json .NetworkSettings.Networks}}"
        out = subprocess.check_output(["docker", "inspect", "--format", networks, self.name], text=True)
        return str(next(iter(json.loads(out).values()))["IPAddress"])

    def arrange(self, replicas: int) -> None:
        """Run site.yml for this number of API replicas, unless the host has been arranged so from this checkout."""
        self.replicas = replicas
        arranged = f"{replicas} {checkout()}\n"
        if self.sh(f"cat {_ARRANGED} 2>/dev/null || true") == arranged:
            return
        self.sh(f"rm -f {_ARRANGED}; test ! -e {DIRECTORY}/docker-compose.stable.yml || ({_CLEAN}true)")
        extra = ["--extra-vars", f"stack_api_replicas={replicas}", "--limit", self.name]
        if _ARCHIVE.exists():
            extra += ["--extra-vars", f"stack_image_source=archive stack_image_archive={_ARCHIVE}"]
        playbook("site.yml", *extra)
        self._keep_images()
        self.write(_ARRANGED, arranged)

    def containers(self) -> list[str]:
        """The names of the containers that the stack has on this host."""
        return [API, *(f"{API}_{number}" for number in range(2, self.replicas + 1)), REDIS, PROXY]

    def started(self, container: str) -> str:
        """Which container it is and when it was started; empty where there is none or Docker does not say."""
        look = f"timeout 4 docker inspect --format '{{{{.Id}}}} {{{{.State.StartedAt}}}}' {container} || true"
        return self.sh(look, timeout=10)

    def whole(self) -> bool:
        """Whether every container runs and is healthy."""
        try:
            out = self.sh(
                "timeout 4 docker inspect --format '{{.State.Status}} {{.State.Health.Status}}' "
                + " ".join(self.containers()),
                timeout=10,
            )
        except HostError:
            return False
        return out.split("\n")[:-1] == ["running healthy"] * len(self.containers())

    def clean(self, *, hard: bool) -> None:
        """Bring the host back to a healthy stack that nobody watches, with the watchers' memories empty.

        Args:
            hard: begin with an engine that knows nothing but its images.
        """
        self.sh(f"{_CLEAN}\ntrue")
        if hard:
            self.sh(_RESET)
        self.sh(f"{COMPOSE} up --detach --wait --wait-timeout 90", timeout=150)

    def _keep_images(self) -> None:
        """Keep the images that the first host built, for the others to load."""
        if not _ARCHIVE.exists():
            self.sh(f"docker save --output /root/images.tar $({COMPOSE} config --images | sort -u)", timeout=300)
            subprocess.run(["docker", "cp", "--quiet", f"{self.name}:/root/images.tar", str(_ARCHIVE)], check=True)
            self.sh("rm /root/images.tar")


def checkout() -> str:
    """A digest of what site.yml installs."""
    files = [
        file
        for directory in ("app", "roles", "playbooks", "inventory/demo")
        for file in sorted((ROOT / directory).rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    ]
    return hashlib.sha256(b"".join(str(file).encode() + file.read_bytes() for file in files)).hexdigest()


def playbook(*arguments: str) -> None:
    """Run ansible-playbook on the inventory of the test hosts.

    Raises:
        HostError: it failed.
    """
    log = WORK / "ansible.log"
    with log.open("ab") as output:
        code = subprocess.run(
            ["ansible-playbook", "--inventory", str(WORK / "inventory"), *arguments],
            cwd=ROOT,
            env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=_PLAYBOOK_TIMEOUT,
            check=False,
        ).returncode
    if code != 0:
        raise HostError(f"ansible-playbook {' '.join(arguments)} failed: see {log}")


def make_hosts(count: int) -> list[Host]:
    """Make this many test hosts; those that are there are kept."""
    hosts = [Host(number) for number in range(1, count + 1)]
    inventory = WORK / "inventory"
    inventory.mkdir(parents=True, exist_ok=True)
    group_vars = inventory / "group_vars"
    group_vars.unlink(missing_ok=True)
    group_vars.symlink_to(ROOT / "inventory" / "demo" / "group_vars")
    # JSON is YAML. Only this connection is ever written here, so no real server can be meant.
    variables = {"ansible_connection": "community.docker.docker"}
    inventory.joinpath("hosts.yml").write_text(json.dumps({"all": {"hosts": {host.name: variables for host in hosts}}}))
    # What an earlier checkout built is not to be measured.
    _ARCHIVE.unlink(missing_ok=True)
    playbook("molecule/shared/create.yml")
    return hosts


def remove_hosts() -> None:
    """Remove the test hosts with all that is in them."""
    playbook("molecule/shared/destroy.yml")


def wait_until_old(host: Host, seconds: float) -> None:
    """Wait until every container runs for this long: Docker's restart policy has forgotten earlier ends by then."""
    started = "docker inspect --format '{{.State.StartedAt}}' " + " ".join(host.containers())
    youngest = float(host.sh(f"{started} | sort | tail -n 1 | xargs date +%s.%N --date"))
    time.sleep(max(0.0, youngest + seconds - time.time()))
