"""The Compose project of somebody else on a test host (make_neighbour.sh), before and now."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import pytest
from testinfra.host import Host

_LOOKS = {
    "container": "docker inspect shop-web-1",
    "volume": "docker volume inspect shop_goods",
    "network": "docker network inspect shop_default",
    "image": "docker image inspect shop/web:1",
}


def untouched(host: Host, *, restarted: bool = False, tags: Collection[str] = ()) -> None:
    """See that it is what it was, to the last label, and answers.

    Args:
        host: the test host.
        restarted: whether its container may have been restarted: the host itself or its engine went down.
        tags: names that the test itself has added to its image.
    """
    if not host.file("/root/neighbour").exists:
        pytest.skip("this host has no neighbour")
    for kind, command in _LOOKS.items():
        before = json.loads(host.file(f"/root/neighbour/{kind}.json").content_string)[0]
        now = json.loads(host.check_output(command))[0]
        now["RepoTags"] = [tag for tag in now.get("RepoTags", []) if tag not in tags]
        before.setdefault("RepoTags", [])
        assert _lasting(now, restarted=restarted) == _lasting(before, restarted=restarted), kind
    container = json.loads(host.check_output(_LOOKS["container"]))[0]
    assert container["State"]["Running"]
    assert host.check_output("busybox wget -q -O - http://127.0.0.1:18080/") == "soap"


def _lasting(found: dict[str, Any], *, restarted: bool) -> dict[str, Any]:
    """Return what a restart of the engine leaves as it is."""
    kept = {key: found[key] for key in found if key in _LASTING}
    if "NetworkSettings" in found:
        networks = found["NetworkSettings"]["Networks"]
        kept["networks"] = {name: network["NetworkID"] for name, network in networks.items()}
        kept["ports"] = found["NetworkSettings"]["Ports"]
    if "State" in found and not restarted:
        kept["started"] = found["State"]["StartedAt"]
    return {key: _told(value) for key, value in kept.items()}


def _told(value: object) -> object:
    """Leave out what says nothing: an engine that starts again makes empty lists of settings that nobody has given."""
    if isinstance(value, dict):
        return {key: _told(each) for key, each in value.items() if each}
    return value


_LASTING = {
    "Id", "ID", "Name", "Created", "CreatedAt", "Image", "Config", "Labels", "Mounts", "Mountpoint", "Driver", "IPAM",
    "Options", "RepoTags", "HostConfig", "RestartCount",
}  # fmt: skip
