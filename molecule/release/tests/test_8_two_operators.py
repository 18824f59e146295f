"""Two operators run the playbook at the same time, with different settings."""

from collections.abc import Callable
from functools import partial

from checkout import Checkout
from converged import DIRECTORY, wait_until
from testinfra.host import Host

LOG = f"{DIRECTORY}/releases/release.log"
WAITING = "waiting for another release"
JOURNAL = f"{DIRECTORY}/releases/releases.jsonl"


def test_the_one_whose_settings_are_not_in_service_is_told(host: Host, checkout: Callable[[str], Checkout]) -> None:
    """A release under way holds both up, so that the second has prepared its settings before the first has its turn."""
    root, before = checkout("two"), count(host, f"cat {JOURNAL}", '"outcome"')
    waited = count(host, f"cat {LOG}", WAITING)
    host.check_output(f"systemd-run --collect --unit hold-release flock {DIRECTORY}/releases/lock sleep 300")
    runs = []
    try:
        for number, email in enumerate(("first@example.com", "second@example.com"), start=1):
            runs.append(root.begin("playbooks/deploy.yml", "--extra-vars", f"stack_proxy_email={email}"))
            wait_until(partial(has_waited, host, waited + number), 120, f"the run of {email} held up")
    finally:
        host.check_output("systemctl stop hold-release")
    said = [run.communicate(timeout=300)[0] for run in runs]
    assert [run.returncode == 0 for run in runs] == [False, True], said
    assert "another run of the playbook has prepared other settings" in " ".join(said[0].split())
    assert "second@example.com" in host.check_output(f"cat {DIRECTORY}/proxy/config/Caddyfile")
    assert count(host, f"cat {JOURNAL}", '"outcome"') == before + 1


def has_waited(host: Host, times: int) -> bool:
    """Whether so many releases have waited by now."""
    return count(host, f"cat {LOG}", WAITING) >= times


def count(host: Host, command: str, text: str) -> int:
    """How many lines of what a command says hold a text."""
    return sum(text in line for line in host.run(command).stdout.splitlines())
