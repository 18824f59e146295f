"""The host also holds a Compose project of somebody else, with settings of the engine that were there before ours."""

import json

from converged import API, inspect
from neighbour import untouched
from testinfra.host import Host


def test_untouched_by_the_installation(host: Host) -> None:
    """The engine was restarted for a setting of ours, and its container went on meanwhile."""
    untouched(host)


def test_settings_of_the_engine_stay_and_ours_are_added(host: Host) -> None:
    found = json.loads(host.file("/etc/docker/daemon.json").content_string)
    theirs = host.run("cat /root/neighbour/daemon.json")
    for key, value in json.loads(theirs.stdout or "{}").items():
        assert found[key] == value
    ours = json.loads(host.file("/etc/docker/cleaning-service.json").content_string)
    assert ours["live-restore"] is True
    assert all(found[key] == value for key, value in ours.items())


def test_our_logs_are_capped_whatever_the_engines_own_driver(host: Host) -> None:
    logs = inspect(host, API)["HostConfig"]["LogConfig"]
    assert logs == {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m", "mode": "non-blocking"}}


def test_untouched_when_room_is_made(host: Host) -> None:
    """An image that nobody uses at the moment is no rubbish of ours."""
    host.run("test -e /root/neighbour && docker tag shop/web:1 cleaning-service/web:1")
    host.check_output("systemctl start cleaning-service-clean-up.service")
    untouched(host, tags={"cleaning-service/web:1"})
    host.run("docker image rm cleaning-service/web:1")


def test_the_installation_has_waited_for_apt(host: Host) -> None:
    """Its locks were held when it began: the program that held them has met somebody at each."""
    held = host.run("systemctl show --property=Result --value apt-lock.service")
    assert held.stdout.strip() == "success"
    assert "nobody has used apt-get" not in host.run("journalctl --unit apt-lock.service --no-pager").stdout
