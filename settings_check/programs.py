"""Validate the programs' configuration on the controller, with the programs' own code."""

import json
import re
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
for _directory in (".", "roles/monitor/files", "roles/stack/files"):
    if str(ROOT / _directory) not in sys.path:
        sys.path.insert(0, str(ROOT / _directory))

# A line of .env that all readers parse alike. Within single quotes, every character is literal up to the next quote.
_ENV_LINE = re.compile(r"([A-Z_]+)=(?:'([^'\r\n]*)(?<!\\)'|([A-Za-z0-9_.,:/@+-]*))")
_ENV_NAME = re.compile(r"\b[A-Z][A-Z_]+\b")
_MISSING = (
    "{name} is missing on this machine, and the API's settings cannot be checked without it: use the environment that "
    "`make setup` creates, or install requirements/controller.txt with Ansible."
)


def monitor(text: str, variables: Collection[str]) -> list[str]:
    """Validate the monitor's configuration; return a sentence for each error.

    Args:
        text: the future content of monitor.json.
        variables: names of the role's variables.
    """
    from cleaning_service_monitor import checks, config  # noqa: PLC0415  # importable only now

    try:
        config.parse(json.loads(text))
    except checks.SettingError as error:
        return [f"{monitor_variable(error.key, variables)} {error.complaint}"]
    return []


def monitor_variable(key: str, variables: Collection[str]) -> str:
    """Return the variable that a key of monitor.json comes from, with the index if it is a list.

    The variable is the key with the prefix `monitor_`. The group `host` is left out, and `alerts` becomes `alert` or is
    left out: `alerts.smtp.port` is `monitor_alert_smtp_port`. Two keys are built from other variables.
    """
    plain, bracket, place = key.partition("[")
    if plain == "components":
        return "monitor_proxy_url" if place.endswith(".url") else "monitor_api_replicas"
    if plain == "reboots_per_day":
        return "monitor_reboot_allowed"
    group, _, rest = plain.partition(".")
    own = rest.replace(".", "_")
    candidates = (f"monitor_{plain}", f"monitor_{own}", f"monitor_{group.removesuffix('s')}_{own}")
    found = next((name for name in candidates if name in variables), f"the key {plain} of monitor.json")
    return f"{found}{bracket}{place}"


def api(text: str, _variables: Collection[str]) -> list[str]:
    """Validate the API's environment; return a sentence for each error.

    Args:
        text: the future content of .env, with a placeholder for each secret that only the host knows.
    """
    try:
        from app.settings import Settings, SettingsError, load_settings  # noqa: PLC0415  # importable only now
    except ModuleNotFoundError as error:
        return [_MISSING.format(name=error.name)]
    environment, unreadable = read_env(text)
    if unreadable:
        return [
            f"stack_{name.lower()} must not contain a single quote or end with a backslash: .env cannot represent that."
            for name in unreadable
        ]
    names = {field.upper(): f"stack_{field}" for field in Settings.model_fields}
    try:
        load_settings(environment)
    except SettingsError as error:
        return [
            f"{names[name]}: {_ENV_NAME.sub(lambda found: names.get(found[0], found[0]), problem)}."
            for name, problem in error.problems.items()
        ]
    return []


def read_env(text: str) -> tuple[dict[str, str], list[str]]:
    """Parse the text of .env; return its variables, and the names in lines that cannot be parsed."""
    found, unreadable = {}, []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = _ENV_LINE.fullmatch(line)
        if match:
            found[match[1]] = match[2] if match[2] is not None else match[3]
        else:
            unreadable.append(line.partition("=")[0])
    return found, unreadable


def create_admin(text: str, _variables: Collection[str]) -> list[str]:
    """Validate the first administrator's account; return a sentence for each error.

    Args:
        text: a JSON object with the keys email, password and full_name.
    """
    try:
        from pydantic import ValidationError  # noqa: PLC0415  # may not be installed

        from app.accounts.fields import Administrator  # noqa: PLC0415  # importable only now
    except ModuleNotFoundError as error:
        return [_MISSING.format(name=error.name)]
    variables = {"email": "stack_admin_email", "password": "stack_admin_password", "full_name": "stack_admin_name"}
    try:
        Administrator.model_validate_json(text)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False)
        return [f"{variables[str(problem['loc'][0])]}: {problem['msg']}." for problem in problems]
    return []


PROGRAMS: Mapping[str, Callable[[str, Collection[str]], list[str]]] = {
    "monitor": monitor,
    "api": api,
    "create-admin": create_admin,
}
