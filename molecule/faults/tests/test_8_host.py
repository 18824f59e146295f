"""The whole host goes down and comes up again."""

import subprocess

from converged import CONTAINERS, HOST, address
from testinfra.host import Host
from trial import Trial


def test_host_rebooted(host: Host, trial: Trial) -> None:
    trial.begin()
    subprocess.run(["docker", "restart", HOST], check=True, capture_output=True)
    trial.writer.move(f"http://{address()}")
    trial.await_well(180)
    assert trial.restarted() == set(CONTAINERS)
    # A start that takes its time is no fault; what was called one has to be told and resolved like any other.
    trial.judge(trial.events("incident-opened"))
    assert not trial.events("a-person-is-needed")
    assert host.service("cleaning-service-monitor").is_running
