"""Back to an earlier release, by playbook and by hand."""

import json
import time
from collections.abc import Callable

import pytest
from checkout import Checkout
from converged import API, API_2, inspect
from crowd import AtWork
from testinfra.host import Host


def kept(host: Host) -> list[dict[str, object]]:
    """The kept releases, the current one last."""
    found: list[dict[str, object]] = json.loads(host.check_output("cleaning-service-release list --json"))["kept"]
    return found


def test_the_release_before_comes_back_in_seconds(
    host: Host, checkout: Callable[[str], Checkout], crowd: AtWork
) -> None:
    """The version before works on the schema that the newer one left."""
    before = kept(host)
    with crowd("a rollback"):
        begun = time.monotonic()
        code, said = checkout("any").play("playbooks/rollback.yml")
        seconds = time.monotonic() - begun
    assert code == 0, said
    print(f"rollback.yml took {seconds:.1f} s")
    assert {inspect(host, name)["Config"]["Image"] for name in (API, API_2)} == {before[-2]["image"]}


@pytest.mark.long
def test_any_kept_release_can_be_named(host: Host, checkout: Callable[[str], Checkout]) -> None:
    oldest = kept(host)[0]
    code, said = checkout("any").play("playbooks/rollback.yml", "--extra-vars", f"release={oldest['id']}")
    assert code == 0, said
    assert inspect(host, API)["Config"]["Image"] == oldest["image"]
    code, said = checkout("other").play("playbooks/rollback.yml", "--extra-vars", "release=20200101T000000Z")
    assert code != 0
    assert "there is no release 20200101T000000Z; kept are:" in said
    assert inspect(host, API)["Config"]["Image"] == oldest["image"]


def test_one_screen_says_how_the_host_is(checkout: Callable[[str], Checkout]) -> None:
    code, said = checkout("any").play("playbooks/status.yml")
    assert code == 0, said
    for title in ("Health", "Last incidents", "Releases", "Containers", "Snapshots", "Certificate", "Disk"):
        assert f"== {title}" in said
    assert "rollback by" in said
    assert "cleaning_service_api_stable_2" in said


@pytest.mark.long
def test_the_checkout_comes_into_service_again(host: Host, checkout: Callable[[str], Checkout]) -> None:
    code, said = checkout("this").play("site.yml")
    assert code == 0, said
    assert inspect(host, API)["Config"]["Image"] == inspect(host, API_2)["Config"]["Image"]
    code, said = checkout("again").play("playbooks/deploy.yml")
    assert code == 0
    assert "changed=0 " in said
