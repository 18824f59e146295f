"""What the programs themselves say of the files that they are going to read: their own code runs here."""

import json
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
for _directory in ("roles/monitor/files", "roles/stack/files"):
    if str(ROOT / _directory) not in sys.path:
        sys.path.insert(0, str(ROOT / _directory))


def monitor(text: str, variables: Collection[str]) -> list[str]:
    """Have the monitor's code check its configuration.

    Args:
        text: what monitor.json is going to hold.
        variables: the names of the role's variables.
    """
    from cleaning_service_monitor import checks, config  # noqa: PLC0415  # found there

    try:
        config.parse(json.loads(text))
    except checks.SettingError as error:
        return [f"{monitor_variable(error.key, variables)} {error.complaint}"]
    return []


def monitor_variable(key: str, variables: Collection[str]) -> str:
    """Return the variable that a key of monitor.json comes from; of a list, with the place in it.

    A variable is named like its key, after `monitor_`; of the groups of keys, `host` is left out, and `alerts` is too
    where no alert is meant: `alerts.smtp.port` is `monitor_alert_smtp_port`. Two keys are made of other variables.
    """
    plain, bracket, place = key.partition("[")
    if plain == "components":
        return "monitor_proxy_url" if place.endswith(".url") else "monitor_api_replicas"
    if plain == "reboots_per_day":
        return "monitor_reboot_allowed"
    group, _, rest = plain.partition(".")
    own = rest.replace(".", "_")
    named = (f"monitor_{plain}", f"monitor_{own}", f"monitor_{group.removesuffix('s')}_{own}")
    found = next((name for name in named if name in variables), f"the key {plain} of monitor.json")
    return f"{found}{bracket}{place}"


PROGRAMS: Mapping[str, Callable[[str, Collection[str]], list[str]]] = {"monitor": monitor}
