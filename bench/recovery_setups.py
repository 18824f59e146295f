"""Who watches: the set-ups that are compared."""

from dataclasses import dataclass
from pathlib import Path

from bench.recovery_faults import FAULTS
from bench.recovery_host import DIRECTORY, MONITOR, Host

MONIT_CONFIGURATION = Path(__file__).with_name("recovery_monit.conf")
MONIT_CURE = Path(__file__).with_name("recovery_monit_cure.sh")


@dataclass(frozen=True)
class Setup:
    """One way to watch the service.

    Attributes:
        name: for the command line and the results.
        title: for a person.
        replicas: of the API.
        bound: seconds after which a run that has not recovered counts as `never`.
        cycle: seconds between two looks of monit; 0: the set-up is not monit.
        hopeless: faults that it cannot cure by construction; a few runs that end in `never` are enough to show it.
    """

    name: str
    title: str
    replicas: int = 1
    bound: float = 180.0
    cycle: int = 0
    hopeless: frozenset[str] = frozenset()

    @property
    def monitor(self) -> bool:
        """Whether this project's monitor watches."""
        return self.name.startswith("monitor-")

    def start(self, host: Host) -> None:
        """Start watching."""
        if self.monitor:
            host.sh(f"systemctl start {MONITOR}")
        elif self.cycle:
            _install_monit(host)
            token = host.sh(f"sed -n 's/^CANARY_TOKEN=//p' {DIRECTORY}/.env").strip()
            host.write("/etc/monit/conf.d/cleaning-service", MONIT_CONFIGURATION.read_text().replace("TOKEN", token))
            host.write("/usr/local/sbin/cure", MONIT_CURE.read_text())
            host.sh("chmod 700 /usr/local/sbin/cure")
            host.sh(f"sed -i 's/^ *set daemon .*/set daemon {self.cycle}/' /etc/monit/monitrc")
            host.sh("monit -t && systemctl restart monit.service")

    def period(self, *, of_the_check: bool) -> float:
        """Seconds after which it looks again: the moment of the fault is spread evenly over these."""
        if self.monitor:
            return 60.0 if of_the_check else 5.0
        return float(self.cycle or 1)


_ALL_BUT_A_CRASH = frozenset(fault.name for fault in FAULTS if fault.name != "crashed")

SETUPS = [
    Setup("restart-policy", "restart policy only", hopeless=_ALL_BUT_A_CRASH),
    Setup("monit-120", "monit, cycle of 120 s", cycle=120, bound=300.0),
    Setup("monit-10", "monit, cycle of 10 s", cycle=10),
    Setup("monitor-1", "this monitor, one replica"),
    Setup("monitor-2", "this monitor, two replicas", replicas=2),
]


def _install_monit(host: Host) -> None:
    if not host.monit:
        host.sh(
            "command -v monit >/dev/null || (apt-get update -qq && DEBIAN_FRONTEND=noninteractive "
            "apt-get install -qq --no-install-recommends monit >/dev/null); "
            "systemctl disable --quiet --now monit.service",
            timeout=300,
        )
        host.monit = True
