"""Every variable of every role, with several kinds of values: the playbook accepts what the programs accept.

The variables come from the roles' argument specifications, so none can be forgotten. The checks are those in the roles'
preflight.yml, run without a playbook for several hundred cases. The readers are Ansible with its types, the monitor,
which loads its configuration file, and the API, which reads its environment.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader, lookup_loader
from ansible.template import Templar, trust_as_template
from cleaning_service_monitor import config as monitor_config

from app.settings import Settings, SettingsError, load_settings
from settings_check.programs import PROGRAMS, read_env
from settings_check.rules import RULES
from settings_check.variables import complaints

ROOT = Path(__file__).parents[2]
ROLES = ("baseline", "docker", "stack", "backup", "monitor")
HUGE, LONG = 10**10, "x" * 5000
FILE = str(ROOT / "README.md")
SECRET = "s" * 40
SMTP: dict[str, object] = {
    "monitor_alert_smtp_host": "mail.example.org",
    "monitor_alert_smtp_from": "a@example.org",
    "monitor_alert_smtp_to": ["b@example.org"],
}
REPOSITORY: dict[str, object] = {"backup_repository": "s3:https://storage.example.org/bucket"}
MAIL: dict[str, object] = {"stack_smtp_host": "mail.example.org", "stack_mail_from": "a@example.org"}

# A valid value of each variable whose default is empty, and other variables that it requires.
EXAMPLES: dict[str, tuple[object, dict[str, object]]] = {
    "docker_upstream_repository": ("https://packages.example.org/linux", {}),
    "stack_image_archive": (FILE, {"stack_image_source": "archive"}),
    "stack_extra_ca_bundle": (FILE, {}),
    "stack_package_index_url": ("https://packages.example.org/simple", {}),
    "stack_proxy_domain": ("api.example.org", {}),
    "stack_proxy_acme_directory": ("https://acme.example.org/directory", {"stack_proxy_domain": "api.example.org"}),
    "stack_proxy_certificate": (
        FILE,
        {"stack_proxy_domain": "api.example.org", "stack_proxy_certificate_key": FILE},
    ),
    "stack_proxy_certificate_key": (
        FILE,
        {"stack_proxy_domain": "api.example.org", "stack_proxy_certificate": FILE},
    ),
    "stack_proxy_email": ("office@example.org", {}),
    "stack_smtp_host": ("mail.example.org", {"stack_mail_from": "a@example.org"}),
    "stack_smtp_username": ("u", {**MAIL, "stack_smtp_password": "p"}),
    "stack_smtp_password": ("p #$w", {**MAIL, "stack_smtp_username": "u"}),
    "stack_mail_from": ("a@example.org", {}),
    "stack_public_url": ("https://example.org", {}),
    "stack_cors_origins": (["https://example.org"], {}),
    "stack_admin_email": ("office@example.org", {"stack_admin_password": "correct horse battery"}),
    "stack_admin_password": ("correct horse battery", {"stack_admin_email": "office@example.org"}),
    "stack_secret_key": (SECRET, {}),
    "stack_canary_token": (SECRET, {}),
    "stack_proxy_token": (SECRET, {}),
    "stack_redis_password": (SECRET, {}),
    "backup_repository": ("rest:https://backup.example.org/office", {}),
    "backup_repository_user": ("office", {**REPOSITORY, "backup_repository_secret": "p #$w"}),
    "backup_repository_secret": ("p #$w", {**REPOSITORY, "backup_repository_user": "office"}),
    "backup_repository_ca": (FILE, {}),
    "backup_sftp_key": (FILE, {}),
    "backup_sftp_host_key": ("backup.example.org ssh-ed25519 AAAA", {}),
    "backup_key": (SECRET, {}),
    "backup_replica": ("/mnt/second/replica", {}),
    "backup_replica_user": ("user", {}),
    "backup_replica_secret": ("secret", {}),
    "backup_replica_sftp_key": (FILE, {}),
    "backup_replica_sftp_host_key": ("[host.example]:2222 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", {}),
    "backup_replica_ca": (FILE, {}),
    "backup_key_file": ("/home/operator/backup-key.vault.txt", {}),
    "monitor_certificate_name": ("api.example.org", {}),
    "monitor_alert_telegram_token": ("1:a_b-C", {"monitor_alert_telegram_chat_id": "-100"}),
    "monitor_alert_telegram_chat_id": ("-100", {"monitor_alert_telegram_token": "1:a_b-C"}),
    "monitor_alert_smtp_host": ("mail.example.org", SMTP),
    "monitor_alert_smtp_username": ("u", {**SMTP, "monitor_alert_smtp_password": "p"}),
    "monitor_alert_smtp_password": ("p", {**SMTP, "monitor_alert_smtp_username": "u"}),
    "monitor_alert_smtp_from": ("a@example.org", SMTP),
    "monitor_alert_smtp_to": (["b@example.org"], SMTP),
    "monitor_alert_webhooks": ([{"url": "https://hooks.example.org/x", "format": "slack"}], {}),
    "monitor_alert_urls": (["discord://id/token"], {}),
    "monitor_alert_apprise_urls": (["discord://id/token"], {}),
    "monitor_heartbeat_url": ("https://beat.example.org/x", {}),
}
# Variables that may be empty although their default is not.
MAY_BE_EMPTY = {
    "stack_ipv6_subnet",
    "stack_admin_name",
}
# Other variables that a default value requires.
COMPANIONS: dict[str, dict[str, object]] = {
    "stack_admin_name": {"stack_admin_email": "office@example.org", "stack_admin_password": "correct horse battery"}
}

Variables = Mapping[str, Any]


class Controller:
    """The Ansible controller: the roles, the defaults of their variables, and templating."""

    def __init__(self) -> None:
        init_plugin_loader([])
        lookup_loader.add_directory(str(ROOT / "lookup_plugins"))
        self.loader = DataLoader()
        self.options: dict[str, dict[str, dict[str, Any]]] = {}
        self.tasks: dict[str, list[dict[str, Any]]] = {}
        raw: dict[str, Any] = {"inventory_hostname": "host", "ansible_managed": ""}
        for role in ROLES:
            directory = ROOT / "roles" / role
            raw |= self.read(directory / "defaults/main.yml")
            specification = self.read(directory / "meta/argument_specs.yml")
            self.options[role] = specification["argument_specs"]["main"]["options"]
            preflight = self.read(directory / "tasks/preflight.yml")
            self.tasks[role] = [task for task in preflight if "check_settings" in task]
        self.defaults = {name: self.template(value, raw) for name, value in raw.items()}
        self.private = {
            role: {"role_path": str(ROOT / "roles" / role), **self.read(ROOT / "roles" / role / "vars/main.yml")}
            for role in ROLES
            if (ROOT / "roles" / role / "vars/main.yml").exists()
        }

    def read(self, path: Path) -> Any:  # noqa: ANN401 - YAML
        """Load a YAML file whose templates may be evaluated."""
        return self.loader.load_from_file(str(path), trusted_as_template=True)

    def template(self, value: object, variables: Variables) -> Any:  # noqa: ANN401 - anything
        """Evaluate templates in a value."""
        return Templar(self.loader, variables=dict(variables)).template(value)

    def file(self, role: str, name: str, variables: Variables) -> str:
        """Render a role's template with these variables."""
        path = ROOT / "roles" / role / "templates" / name
        return str(self.template(trust_as_template(path.read_text()), {**self.private.get(role, {}), **variables}))

    def refused(self, role: str, changes: Variables) -> list[str]:
        """Return the errors of the role's preflight."""
        variables = {**self.private.get(role, {}), **self.defaults, **changes}
        variables["ansible_search_path"] = [str(ROOT / "roles" / role)]
        for task in self.tasks[role]:
            more = {**variables}
            for name, value in (task.get("vars") or {}).items():
                more[name] = self.template(value, more)
            if not ("when" not in task or Templar(self.loader, variables=more).evaluate_conditional(task["when"])):
                continue
            arguments = task["check_settings"] or {}
            if "program" in arguments:
                errors = PROGRAMS[arguments["program"]](self.template(arguments["reads"], more), self.options[role])
            else:
                own = {name: variables[name] for name in self.options[role]}
                errors = complaints(role, self.options[role], own)
            if errors:
                return errors
        return []


@cache
def controller() -> Controller:
    return Controller()


def cases() -> list[tuple[str, str]]:
    """Return all pairs of role and variable."""
    return [(role, name) for role in ROLES for name in controller().options[role]]


def shapes(role: str, name: str) -> dict[str, tuple[object, dict[str, object]]]:
    """Return the values to try by kind, each with other variables that it requires."""
    option = controller().options[role][name]
    default = controller().defaults[name]
    right, companions = EXAMPLES.get(name, (default, COMPANIONS.get(name, {})))
    assert right not in ("", []), f"{name} has an empty default: give an example of it"
    large: object = HUGE
    newline: object = f"{right}\n"
    if isinstance(right, list):
        large = right * 20
        last = {**right[-1], "url": f"{right[-1]['url']}\n"} if isinstance(right[-1], dict) else f"{right[-1]}\n"
        newline = [*right[:-1], last]
    elif option["type"] != "int":
        large = f"{right}{LONG}"
    text: object = json.dumps(right) if isinstance(right, list | bool) else str(right)
    empty: object = [] if isinstance(right, list) else ""
    return {
        "right": (right, companions),
        "text": (text, companions),
        "empty": (empty, {}),
        "large": (large, companions),
        "newline": (newline, companions),
    }


def accepted_by_ansible(role: str, changes: Variables) -> bool:
    """Whether Ansible's own validation of the argument specification accepts the values."""
    values = {name: {**controller().defaults, **changes}[name] for name in controller().options[role]}
    found = ArgumentSpecValidator(controller().options[role]).validate(values, validate_role_argument_spec=True)
    return not found.error_messages


def accepted_by_the_monitor(directory: Path, changes: Variables) -> bool:
    """Whether the monitor accepts the configuration that the role would write."""
    variables = {**controller().defaults, **changes, "__monitor_canary_token": SECRET}
    path = directory / "monitor.json"
    path.write_text(controller().file("monitor", "monitor.json.j2", variables))
    try:
        monitor_config.load(str(path))
    except monitor_config.ConfigError:
        return False
    return True


def accepted_by_the_api(changes: Variables) -> bool:
    """Whether the API accepts these values in its environment."""
    values = {**controller().defaults, **changes}
    environment = {"SECRET_KEY": SECRET, "CANARY_TOKEN": SECRET}
    for field in Settings.model_fields:
        value = values.get(f"stack_{field}", "")
        if isinstance(value, list):
            value = " ".join(value)
        if value != "":
            environment[field.upper()] = str(value)
    try:
        load_settings(environment)
    except SettingsError:
        return False
    return True


def accepted_by_readers(directory: Path, role: str, name: str, shape: str, changes: Variables) -> bool:
    """Whether all readers of a variable accept its value.

    If no program of this project reads it, line breaks and too large values are invalid. So is an empty value, unless
    the default is empty.
    """
    value, option, default = changes[name], controller().options[role][name], controller().defaults[name]
    if shape == "newline" or not accepted_by_ansible(role, changes):
        return False
    # Ansible itself would split a string at its commas, and would convert more strings to numbers.
    if isinstance(default, list) != isinstance(value, list) or (option["type"] == "int" and not str(value).isdigit()):
        return False
    if role == "monitor" and name not in RULES:
        return accepted_by_the_monitor(directory, changes)
    if role == "stack" and name.removeprefix("stack_") in Settings.model_fields:
        return accepted_by_the_api(changes)
    empty = default == "" or name in MAY_BE_EMPTY
    return isinstance(value, list) or (empty if shape == "empty" else shape != "large")


@pytest.mark.parametrize(("role", "name"), cases())
def test_playbook_accepts_what_the_readers_accept(tmp_path: Path, role: str, name: str) -> None:
    for shape, (value, companions) in shapes(role, name).items():
        changes = {**companions, name: value}
        errors = controller().refused(role, changes)
        expected = accepted_by_readers(tmp_path, role, name, shape, changes)
        assert (not errors) == expected, f"{name} {shape}: {errors or 'accepted'}"
        assert not errors or any(name in sentence for sentence in errors), errors


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"stack_https_port": "80", "stack_proxy_domain": "a.example.org"},
            "stack_https_port must be another port than",
        ),
        ({"stack_https_port": 8099}, "stack_https_port must not be 8099"),
        ({"stack_http_port": 65536}, "stack_http_port must be a whole number from 1 to 65535; it is '65536'."),
        ({"stack_image_source": "archive"}, "stack_image_archive must be a file on this machine"),
        (
            {"stack_proxy_internal_authority": "yes"},
            "stack_proxy_domain must be set with stack_proxy_internal_authority",
        ),
        ({"stack_proxy_certificate": FILE}, "stack_proxy_certificate and stack_proxy_certificate_key must be set both"),
        ({"stack_request_timeout": "10"}, "stack_request_timeout must be larger than stack_database_timeout"),
        ({"stack_email_verification_required": True}, "without stack_smtp_host no user can verify an address"),
        ({"stack_smtp_host": "mail.example.org"}, "stack_mail_from: e-mail needs a sender"),
        ({"stack_mail_from": "Ops <a@example.org>"}, "stack_mail_from: is not an e-mail address"),
        (
            {"stack_admin_email": "a@example.org", "stack_admin_password": "short"},
            "stack_admin_password: String should have at least 8",
        ),
        ({"stack_secret_key": "s" * 31}, "stack_secret_key must be 32 to 128 letters, digits, `-` or `_`, or empty."),
    ],
)
def test_conflicts_are_reported(changes: dict[str, object], sentence: str) -> None:
    errors = controller().refused("stack", changes)
    assert any(sentence in each for each in errors), errors


def test_env_file_preserves_values() -> None:
    """Like `read_env`, Compose takes each character in single quotes literally."""
    given = {
        "stack_smtp_username": 'a"b\\c',
        "stack_smtp_password": "p #$w ${x}",
        "stack_public_url": "https://x.org/#$a",
    }
    variables = {**controller().defaults, **given}
    variables["__stack_secrets"] = dict.fromkeys(
        ("secret_key", "canary_token", "proxy_token", "redis_password"), SECRET
    )
    environment, unreadable = read_env(controller().file("stack", "env.j2", variables))
    assert unreadable == []
    assert {name: environment[name.removeprefix("stack_").upper()] for name in given} == given
    assert environment["SECRET_KEY"] == SECRET
    for value in ("it's", "ends so\\"):
        errors = controller().refused("stack", {**MAIL, "stack_smtp_username": "u", "stack_smtp_password": value})
        assert errors == [
            "stack_smtp_password must not contain a single quote or end with a backslash: .env cannot represent that."
        ]


def templates() -> list[tuple[str, str]]:
    """Return all pairs of role and template."""
    return [(path.parts[-3], path.name) for path in sorted(ROOT.glob("roles/*/templates/*.j2"))]


@pytest.mark.parametrize(("role", "template"), templates())
def test_numbers_as_text_render_the_same_files(role: str, template: str) -> None:
    typed = {
        name: controller().defaults[name]
        for options in controller().options.values()
        for name, option in options.items()
        if option["type"] in ("int", "bool")
    }
    more = {
        **controller().defaults,
        "stack_proxy_domain": "api.example.org",
        "stack_proxy_internal_authority": False,
        "__stack_secrets": dict.fromkeys(("secret_key", "canary_token", "proxy_token", "redis_password"), SECRET),
        "__monitor_canary_token": SECRET,
        "__docker_ipv6_of_kernel": {"stat": {"exists": True}},
        "__stack_ipv6_of_kernel": {"stat": {"exists": True}},
        "_backup_replica_image": "l",
        "_backup_uid": 10001,
        "__backup_replica_files": [],
        **dict.fromkeys(("__stack_redis_config", "__stack_proxy_config"), ""),
        **dict.fromkeys(("__stack_certificate", "__stack_certificate_key"), ""),
    }
    text = {name: str(value) for name, value in typed.items()}
    assert controller().file(role, template, {**more, **text}) == controller().file(role, template, {**more, **typed})


def test_conditions_convert_numbers_and_booleans() -> None:
    """`-e name=0` gives a string, which is neither comparable with a number nor false."""
    for role in ROLES:
        for path in sorted((ROOT / "roles" / role).glob("*/*.yml")):
            for condition in _conditions(controller().read(path)):
                for options in controller().options.values():
                    for name, option in options.items():
                        if option["type"] in ("int", "bool"):
                            plain = re.search(rf"\b{name}\b(?! *\| *{option['type']}\b)", condition)
                            assert not plain, f"{path.relative_to(ROOT)}: {condition}"


def _conditions(tasks: object) -> Iterator[str]:
    """Yield all conditions, at any depth."""
    if isinstance(tasks, list):
        for task in tasks:
            yield from _conditions(task)
    elif isinstance(tasks, dict):
        for key, value in tasks.items():
            if key in ("when", "that", "until", "failed_when", "changed_when"):
                yield from map(str, value if isinstance(value, list) else [value])
            else:
                yield from _conditions(value)
