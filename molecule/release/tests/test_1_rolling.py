"""From version A to B, and in the long run back, again and again, while clients send."""

import json
import os
import re
from collections.abc import Callable

import pytest
from checkout import Checkout
from converged import API, API_2, CONTAINERS, DIRECTORY, inspect
from crowd import AtWork
from testinfra.host import Host

RELEASES = int(os.environ.get("RELEASES", "1"))


def version(checkout: Callable[[str], Checkout], name: str) -> Checkout:
    """A checkout whose API calls itself so."""
    made = checkout(name)
    made.set_version(name)
    return made


@pytest.mark.timeout(300 + 90 * RELEASES)
def test_nobody_notices(host: Host, checkout: Callable[[str], Checkout], crowd: AtWork) -> None:
    versions = [version(checkout, "2.0.0"), version(checkout, "3.0.0")]
    with crowd(f"{RELEASES} rolling releases"):
        untouched = {name: inspect(host, name)["State"]["StartedAt"] for name in CONTAINERS if name not in (API, API_2)}
        for number in range(RELEASES):
            before = {name: inspect(host, name)["Image"] for name in (API, API_2)}
            code, said = versions[number % 2].play("playbooks/deploy.yml")
            assert code == 0, said
            after = {name: inspect(host, name)["Image"] for name in (API, API_2)}
            assert all(before[name] != after[name] for name in (API, API_2)), "the replicas run as before"
            print(re.findall(r"^.*(?:replaced in|after ).*$", said, re.MULTILINE)[-1:])
    assert untouched == {name: inspect(host, name)["State"]["StartedAt"] for name in untouched}
    entries = [json.loads(line) for line in host.check_output(f"cat {DIRECTORY}/releases/releases.jsonl").splitlines()]
    done = entries[-RELEASES:]
    assert [entry["outcome"] for entry in done] == ["done"] * RELEASES
    assert all(entry["changed"] == ["api", "api_2"] for entry in done)
    assert all(entry["by"] and entry["seconds"] > 0 and entry["before"] != entry["image"] for entry in done)
    print(f"each took {min(entry['seconds'] for entry in done):.1f} to {max(entry['seconds'] for entry in done):.1f} s")


def test_few_images_and_snapshots_are_kept(host: Host) -> None:
    kept = json.loads(host.check_output("cleaning-service-release list --json"))["kept"]
    images = set(host.check_output("docker image ls --format {{.Repository}}:{{.Tag}} cleaning-service/api").split())
    assert images == {release["image"] for release in kept}
    assert len(kept) <= 4
    assert [release["current"] for release in kept] == [False] * (len(kept) - 1) + [True]
    snapshots = host.check_output(f"ls {DIRECTORY}/data/snapshots").split()
    assert 0 < len(snapshots) <= 4
