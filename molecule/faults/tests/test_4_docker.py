"""Faults of Docker itself."""

from testinfra.host import Host
from trial import Trial, fail_without

DOCKER = "docker.service docker.socket"


def test_docker_stopped(host: Host, trial: Trial) -> None:
    """The containers go on: Docker is set up to leave them alone when it ends."""
    trial.undo = [f"systemctl start {DOCKER}"]
    trial.inject(f"systemctl stop {DOCKER}")
    fail_without(not host.service("docker").is_running, "Docker runs")
    trial.cured(("docker", r"."), found=30, within=120)


def test_docker_frozen(host: Host, trial: Trial) -> None:
    trial.undo = ["systemctl kill --signal KILL docker.service; systemctl reset-failed docker.service"]
    frozen = host.check_output("systemctl show --property MainPID --value docker.service")
    trial.inject(f"kill -STOP {frozen}")
    trial.cured(("docker", r"no answer|did not answer|timed out"), found=30, within=120)
    assert host.check_output("systemctl show --property MainPID --value docker.service") != frozen
