"""What the monitor publishes, and how little it may do."""

import re

import httpx
import pytest
from converged import MONITOR, PROXY, wait_until
from testinfra.host import Host


@pytest.mark.parametrize(
    ("path", "language", "said"),
    [
        ("/status", "en", "Everything works"),
        ("/status", "ru-RU,ru;q=0.9", "Всё работает"),
        ("/status/en", "ru", "Everything works"),
        ("/status/ru", "en", "Всё работает"),
    ],
)
def test_the_status_page_speaks_the_readers_language(world: httpx.Client, path: str, language: str, said: str) -> None:
    wait_until(lambda: world.get("/status.json").json()["state"] == "ok", 90, "the status is ok")
    answer = world.get(path, headers={"Accept-Language": language}, follow_redirects=True)
    assert answer.status_code == 200
    assert said in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_the_status_as_data_tells_no_evidence(world: httpx.Client) -> None:
    status = world.get("/status.json").json()
    assert {component["name"] for component in status["components"]} >= {
        "docker",
        "redis",
        "api",
        "api_2",
        "proxy",
        "disk",
    }
    assert {service["name"]: service["health"] for service in status["services"]} == {
        "booking": "ok",
        "account": "ok",
        "website": "ok",
    }
    assert all("evidence" not in incident for incident in status["incidents"])


@pytest.mark.parametrize(
    "path", ["/metrics.prom", "/status/metrics.prom", "/status/maintenance", "/status/../monitor.json"]
)
def test_the_rest_of_the_directory_is_private(world: httpx.Client, path: str) -> None:
    assert world.get(path).status_code == 404


def test_the_monitors_unit_is_hardened(host: Host) -> None:
    said = host.check_output(f"systemd-analyze security --no-pager {MONITOR}").splitlines()[-1]
    found = re.search(r"([0-9.]+) ", said.split(":", 1)[1])
    assert found
    print(f"\n{said}")
    assert float(found[1]) <= 2.0


def test_a_pause_is_shown_as_maintenance(host: Host, world: httpx.Client) -> None:
    host.check_output("cleaning-service-monitor pause 5m --reason 'a test of the page'")
    try:
        wait_until(lambda: world.get("/status.json").json()["state"] == "maintenance", 20, "maintenance")
        assert "a test of the page" in world.get("/status/en").text
    finally:
        host.check_output("cleaning-service-monitor resume")
    wait_until(lambda: world.get("/status.json").json()["state"] == "ok", 20, "ok again")
    assert PROXY in host.check_output("docker ps --format '{{.Names}}'")
