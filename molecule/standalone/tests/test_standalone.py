"""scripts/setup_stable.sh on bare servers, with nobody's laptop beside them."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
import testinfra
from converged import ROOT, all_healthy, wait_until
from testinfra.host import Host

OFFLINE = "cleaning-service-standalone"
ONLINE = "cleaning-service-standalone-online"
CHECKOUT = "/root/cleaning-service"
SETUP = f"{CHECKOUT}/scripts/setup_stable.sh"
# A host in a container has no clock of its own to keep right.
NO_CLOCK = "monitor_clock_check: false\n"


def run(*command: str, stdin: bytes | None = None) -> None:
    """Run a command on this machine.

    Raises:
        CalledProcessError: it failed.
    """
    subprocess.run(command, input=stdin, cwd=ROOT, check=True, timeout=1200)


def write(host: str, path: str, content: bytes) -> None:
    """Write a file on a host."""
    run("docker", "exec", "-i", host, "sh", "-c", f"mkdir -p $(dirname {path}) && cat >{path}", stdin=content)


def configure(host: str, settings: str) -> None:
    """Write the settings as an operator would."""
    write(host, f"{CHECKOUT}/inventory/local/group_vars/all.yml", settings.encode())


def set_up(host: Host, environment: str = "") -> str:
    """Run the script; returns what it said."""
    began = time.monotonic()
    done = host.run(f"env {environment} {SETUP}")
    print(f"\nsetup_stable.sh: {time.monotonic() - began:.0f} s")
    assert done.rc == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return str(done.stdout)


def answers(host: Host) -> bool:
    """Tell whether the service answers on the host itself, by way of the proxy."""
    script = "import urllib.request as r; print(r.urlopen('http://127.0.0.1/health', timeout=5).read().decode())"
    done = host.run(f'python3 -c "{script}"')
    return bool(done.rc == 0 and json.loads(done.stdout)["status"] == "ok")


@pytest.fixture(scope="module")
def offline() -> Host:
    """A bare host with the unpacked bundle and no network."""
    bundle = ROOT / "dist" / "cleaning-service-bundle-trixie.tar"
    assert bundle.exists(), "make bundle makes it"
    with bundle.open("rb") as file:
        subprocess.run(["docker", "exec", "-i", OFFLINE, "tar", "-x", "-C", "/root"], stdin=file, check=True)
    configure(OFFLINE, f"{NO_CLOCK}backup_replica: /srv/replica\n")
    for network in subprocess.check_output(
        ["docker", "inspect", "--format", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}", OFFLINE],
        text=True,
    ).split():
        run("docker", "network", "disconnect", network, OFFLINE)
    host = testinfra.get_host(f"docker://{OFFLINE}")
    assert host.check_output("ls /sys/class/net").split() == ["lo"]
    assert host.run("python3 -c 'import ansible'").rc != 0
    assert not host.exists("docker")
    return host


def test_a_server_without_any_network(offline: Host) -> None:
    said = set_up(offline)
    assert "installing from the bundle, without a network" in said
    wait_until(lambda: all_healthy(offline), 60, "every container healthy")
    assert answers(offline)
    assert offline.service("cleaning-service-monitor.service").is_running
    assert offline.docker("cleaning_service_replica_stable").is_running


def test_again_changes_nothing_without_a_network(offline: Host) -> None:
    assert "changed=0 " in set_up(offline)


def test_a_bundle_for_another_system_is_refused(offline: Host) -> None:
    offline.check_output(f"sed -i s/trixie/sid/ {CHECKOUT}/bundle/release")
    done = offline.run(SETUP)
    assert done.rc == 1
    assert "this bundle is for the release sid, and this server runs trixie" in done.stderr


@pytest.fixture(scope="module")
def online() -> tuple[Host, str]:
    """A bare host with a copy of the checkout, and the environment in which it finds this machine's package index."""
    files = subprocess.check_output(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT)
    archive = subprocess.run(
        ["tar", "--create", "--null", "--files-from=-", "--ignore-failed-read"],
        input=files, cwd=ROOT, check=True, stdout=subprocess.PIPE,
    ).stdout  # fmt: skip
    run("docker", "exec", ONLINE, "mkdir", CHECKOUT)
    run("docker", "exec", "-i", ONLINE, "tar", "-x", "-C", CHECKOUT, stdin=archive)
    settings, environment = f"{NO_CLOCK}stack_image_source: debian\n", ""
    if authority := os.environ.get("SSL_CERT_FILE"):
        write(ONLINE, "/root/ca.crt", Path(authority).read_bytes())
        settings += "stack_extra_ca_bundle: /root/ca.crt\n"
        environment += "PIP_CERT=/root/ca.crt "
    if index := os.environ.get("PIP_INDEX_URL"):
        settings += f"stack_package_index_url: {index}\n"
        environment += f"PIP_INDEX_URL={index} "
    configure(ONLINE, settings)
    return testinfra.get_host(f"docker://{ONLINE}"), environment


@pytest.mark.long
def test_a_bare_server_with_a_copy_of_the_checkout(online: tuple[Host, str]) -> None:
    host, environment = online
    set_up(host, environment)
    wait_until(lambda: all_healthy(host), 60, "every container healthy")
    assert answers(host)


@pytest.mark.long
def test_again_changes_nothing(online: tuple[Host, str]) -> None:
    assert "changed=0 " in set_up(*online)


@pytest.mark.long
def test_an_argument_is_handed_on(online: tuple[Host, str]) -> None:
    host, environment = online
    done = host.run(f"env {environment} {SETUP} --extra-vars stack_api_replicas=9")
    assert done.rc != 0
    assert "stack_api_replicas" in done.stdout
    assert answers(host)


@pytest.mark.long
def test_the_copy_on_the_server_starts_what_is_stopped(online: tuple[Host, str]) -> None:
    host, _ = online
    host.check_output("cleaning-service-monitor pause 5m --reason test")
    host.check_output("docker compose --file /opt/fastapi-backend/docker-compose.stable.yml down")
    assert "The service is up" in host.check_output("/opt/fastapi-backend/scripts/setup_stable.sh")
    wait_until(lambda: answers(host), 30, "the service answers")
    done = host.run("/opt/fastapi-backend/scripts/setup_stable.sh --check")
    assert done.rc == 1
    assert "which needs a checkout" in done.stderr
