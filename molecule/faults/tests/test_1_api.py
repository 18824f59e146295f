"""Faults of one replica of the API."""

import time

from converged import API, ASK_API, DIRECTORY, freeze, hold_threads, process, wait_until
from testinfra.host import Host
from trial import Trial, fail_without

ANSWERS = "curl --silent --output /dev/null --write-out %{http_code} --max-time"
READY = f"{ANSWERS} 10 {ASK_API}/health/ready"
# Not more than the container may have and a little: a machine that does not keep limits must not be filled.
ALLOCATE = "import time; held = [(bytearray(8 << 20), time.sleep(0.02)) for _ in range(60)]; time.sleep(5)"


def test_api_killed(trial: Trial) -> None:
    trial.inject(f"docker kill {API}")
    trial.cured(("api", r"exited|ended|killed"), found=10, within=60, restarts={API})


def test_api_frozen(host: Host, trial: Trial) -> None:
    trial.undo = [f"docker restart --time 1 {API}"]
    trial.begin()
    freeze(host, API)
    trial.cured(("api", r"no answer|did not end"), found=30, within=90, restarts={API})


def test_api_unhealthy(host: Host, trial: Trial) -> None:
    """Its worker threads stand still, as at a lock that nobody gives back: it lives, and says that it is not ready."""
    trial.undo = [f"docker restart --time 1 {API}"]
    trial.begin()
    hold_threads(host, API, "working")
    fail_without(host.run(READY).stdout == "503", "readiness")
    trial.cured(("api", r"health/ready.* 503|unhealthy"), found=30, within=120, restarts={API})


def test_api_hangs_at_registration_only(host: Host, trial: Trial) -> None:
    """The threads that hash passwords stand still: every registration hangs, and health is green."""
    trial.undo = [f"docker restart --time 1 {API}"]
    token = host.check_output(f"sed -n s/^CANARY_TOKEN=//p {DIRECTORY}/.env")
    canary = f"{ANSWERS} 3 --request POST --header 'Authorization: Bearer {token}' {ASK_API}/internal/canary"
    trial.begin()
    hold_threads(host, API, "hashing")
    fail_without(host.run(READY).stdout == "200", "health is not green")
    fail_without(host.run(canary).stdout == "000", "a registration is answered")
    trial.cured(("api", r"registration|canary"), found=90, within=150, restarts={API})


def test_api_out_of_memory(host: Host, trial: Trial) -> None:
    """Its container's memory fills up, and the kernel ends the API to make room."""
    trial.undo = [f"docker restart --time 1 {API}"]
    host.check_output(f"echo 1000 > /proc/{process(host, API)}/oom_score_adj")
    trial.begin()
    since = int(time.time())
    host.run(f'timeout 30 docker exec {API} /srv/venv/bin/python -c "{ALLOCATE}"')
    seen = f"timeout 5 docker events --since {since} --until $(date +%s) --filter event=oom --filter container={API}"
    wait_until(lambda: " oom " in host.run(seen).stdout, 10, "the kernel out of memory in the container")
    trial.cured(("api", r"out of memory"), found=10, within=60, restarts={API})


def test_api_container_removed(trial: Trial) -> None:
    trial.inject(f"docker rm --force {API}")
    # Docker kills it first, which is what is seen first.
    trial.cured(("api", r"no container|removed|killed"), found=60, within=90, restarts={API})
    assert any(event.component == "api" for event in trial.events("missing"))
