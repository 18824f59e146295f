"""Faults of the proxy, of the network that containers reach the world through, and of the way in from outside."""

import httpx
import pytest
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


def test_firewall_reloaded(host: Host, trial: Trial) -> None:
    """Docker's rules are gone: nobody outside gets in, while everything answers the host itself."""
    trial.undo = ["systemctl restart docker.service"]
    trial.inject("iptables -P FORWARD DROP && iptables -F")
    with trial.world() as client, pytest.raises(httpx.TimeoutException):
        client.get("/health", timeout=1)
    trial.cured(("ingress", r"^no client gets in: .* over IPv4: no answer"), found=30, within=90)
    assert "DOCKER" in host.check_output("iptables -S FORWARD")
    assert not trial.restarted(), "a restart of Docker leaves containers alone"


@pytest.mark.long
def test_firewall_reloaded_for_ipv6(host: Host, trial: Trial) -> None:
    host.check_output("ip -6 address replace 2001:db8::1/128 dev lo")  # what makes a host reachable by IPv6
    trial.undo = ["systemctl restart docker.service"]
    trial.inject("ip6tables -P FORWARD DROP && ip6tables -F")
    trial.cured(("ingress", r"^clients by IPv6 do not get in: "), found=30, within=90)
    host.check_output("ip -6 address delete 2001:db8::1/128 dev lo")
    assert not trial.restarted()
