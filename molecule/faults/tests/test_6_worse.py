"""Two faults at once, and one that no restart cures."""

import time

from converged import API, COMPOSE, DIRECTORY, REDIS, freeze, wait_until
from testinfra.host import Host
from trial import Trial

ENV = f"{DIRECTORY}/.env"
# Between Compose's stop and its start the monitor would start the container again; so docs/operations.md has it paused.
RECREATE = (
    "cleaning-service-monitor pause 5m --wait 30s --reason settings"
    f" && {COMPOSE} up --detach --no-deps --force-recreate api && cleaning-service-monitor resume"
)


def test_two_faults_at_once(host: Host, trial: Trial) -> None:
    trial.undo = [f"docker restart --time 1 {API} {REDIS}"]
    trial.begin()
    freeze(host, REDIS)
    host.check_output(f"docker kill {API}")
    trial.cured(
        ("api", r"exited|ended|killed"),
        ("redis", r"no answer|PING|health check"),
        found=40,
        within=120,
        restarts={API, REDIS},
    )


def test_what_no_restart_cures(trial: Trial) -> None:
    """An operator writes nonsense into a setting: the API ends at once, each time, until a person mends that."""
    trial.undo = [f"sed -i s/^REQUEST_TIMEOUT=.*/REQUEST_TIMEOUT=30/ {ENV}", RECREATE]
    trial.inject(f"sed -i s/^REQUEST_TIMEOUT=.*/REQUEST_TIMEOUT=soon/ {ENV} && {RECREATE}")
    opened = trial.incident("api", r"78|exit|restarting", within=60)
    asked = trial.receiver.wait_for(opened.details["id"], "person-needed", 500)
    assert asked, "nobody was asked"
    assert any(event.component == "api" for event in trial.events("a-person-is-needed"))
    assert "REQUEST_TIMEOUT" in " ".join(asked.body["evidence"]), "the evidence does not name the setting"
    at_that_time = trial.cures("api")
    time.sleep(45)  # seconds; the retries are ten minutes apart now
    assert trial.cures("api") == at_that_time, f"it goes on: {trial.cures('api') - at_that_time}"
    trial.check_budgets()
    trial.mended(f"sed -i s/^REQUEST_TIMEOUT=.*/REQUEST_TIMEOUT=30/ {ENV} && {COMPOSE} up --detach")
    trial.await_well(120)
    trial.judge([opened])
    wait_until(lambda: not trial.needs_person(), 10, "nobody needed any more")
