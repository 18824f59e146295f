"""Faults of the proxy, and of the network that the containers reach the world through."""

from converged import API, API_2, PROXY, freeze
from testinfra.host import Host
from trial import Trial, fail_without

NETWORK = "cleaning-service_edge"


def test_proxy_killed(trial: Trial) -> None:
    trial.inject(f"docker kill {PROXY}")
    trial.cured(("proxy", r"exited|ended|killed"), found=10, within=60, restarts={PROXY})


def test_proxy_frozen(host: Host, trial: Trial) -> None:
    trial.undo = [f"docker restart --time 1 {PROXY}"]
    trial.begin()
    freeze(host, PROXY)
    trial.cured(("proxy", r"no answer|did not end"), found=30, within=90, restarts={PROXY})


def test_compose_network_removed(host: Host, trial: Trial) -> None:
    cut = " && ".join(f"docker network disconnect --force {NETWORK} {container}" for container in (API, API_2, PROXY))
    trial.inject(f"{cut} && docker network rm {NETWORK}")
    fail_without(host.run(f"docker network inspect {NETWORK}").rc != 0, "the network is there")
    trial.cured(("proxy|api.*", r"network|no answer|502|503|refused"), found=30, within=150)
    host.check_output(f"docker network inspect {NETWORK}")
