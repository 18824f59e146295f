"""The service is taken off the host; data stays until it is named."""

import json
from collections.abc import Callable

import pytest
from checkout import Checkout
from converged import DIRECTORY, seed
from neighbour import untouched
from testinfra.host import Host


def test_only_data_and_settings_stay(host: Host, checkout: Callable[[str], Checkout]) -> None:
    code, said = checkout("any").play("playbooks/uninstall.yml")
    assert code == 0, said
    ours = "--filter label=com.docker.compose.project=cleaning-service"
    assert host.check_output(f"docker ps --all --quiet {ours}") == ""
    assert host.check_output(f"docker network ls --quiet {ours}") == ""
    assert host.check_output("docker image ls --quiet --filter reference=cleaning-service/*") == ""
    assert set(host.check_output(f"ls --almost-all {DIRECTORY}").split()) == {".env", "backup", "data"}
    assert host.file(f"{DIRECTORY}/data/cleaning_service_stable.db").size > 0
    assert host.run("systemctl cat cleaning-service-monitor.service").rc != 0
    assert host.check_output("systemctl list-units --all --plain --no-legend 'cleaning-service*'") == ""
    assert host.run("ip link show cs-ingress").rc != 0
    assert not host.file("/etc/docker/cleaning-service.json").exists
    theirs = host.run("cat /root/neighbour/daemon.json")
    assert json.loads(host.run("cat /etc/docker/daemon.json").stdout or "{}") == json.loads(theirs.stdout or "{}")
    code, said = checkout("again").play("playbooks/uninstall.yml")
    assert code == 0, said


def test_the_neighbour_is_untouched(host: Host) -> None:
    """By all that the scenarios before have done; those that share the host restart it and its engine."""
    untouched(host, restarted=True)


@pytest.mark.long
def test_a_new_installation_finds_the_data(host: Host, checkout: Callable[[str], Checkout]) -> None:
    code, said = checkout("anew").play("site.yml")
    assert code == 0, said
    assert "unchanged" in seed(host)


def test_data_goes_when_it_is_named(host: Host, checkout: Callable[[str], Checkout]) -> None:
    code, said = checkout("any").play("playbooks/uninstall.yml", "--extra-vars", "uninstall_data=true")
    assert code == 0, said
    assert not host.file(DIRECTORY).exists
