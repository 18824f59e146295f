"""Faults of the monitor itself: it comes back, remembers, and cures what went wrong while it was away."""

from converged import API, MONITOR, REDIS
from testinfra.host import Host
from trial import Trial


def _process(host: Host) -> str:
    return str(host.check_output(f"systemctl show --property MainPID --value {MONITOR}"))


def test_monitor_killed(host: Host, trial: Trial) -> None:
    before = _process(host)
    trial.inject(f"systemctl kill --signal KILL {MONITOR} && docker kill {API}")
    trial.cured(("api", r"exited|ended|killed"), found=30, within=60, restarts={API})
    assert _process(host) != before


def test_monitor_frozen(host: Host, trial: Trial) -> None:
    """The watchdog of systemd ends it; until then nobody cures, and the other replica serves."""
    trial.undo = [f"systemctl kill --signal KILL {MONITOR}"]
    before = _process(host)
    trial.inject(f"kill -STOP {before} && docker kill {API}")
    trial.cured(("api", r"exited|ended|killed"), found=240, within=280, restarts={API})
    assert _process(host) != before


def test_alerts_wait_for_their_receiver(trial: Trial) -> None:
    """The network is away for as long as the fault lasts: both messages come later, in their order."""
    with trial.receiver.away():
        trial.inject(f"docker kill {REDIS}")
        opened = trial.incident("redis", r"exited|ended|killed", within=10)
        trial.await_well(60)
    trial.judge([opened])
