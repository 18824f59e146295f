"""The action `backup_key`, carried out by Ansible as the role does it."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible.constants import DEFAULT_VAULT_ID_MATCH
from ansible.parsing.vault import VaultLib, VaultSecret

ROOT = Path(__file__).parents[2]
PASSWORD = "vault-password-of-the-tests"
GIVEN = "key-that-somebody-gives-0123456789"
KNOWN = "key-that-the-host-has-0123456789"


class Controller:
    """A machine that runs the playbook; the vault's password is optional."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "backup-key.vault"
        self.password = directory / "password"
        self.said = ""

    def run(
        self, *cases: dict[str, Any], hosts: tuple[str, ...] = ("one",), vault: bool = True, check: bool = False
    ) -> list[dict[str, Any]]:
        """Run the action with some arguments each, for some hosts; returns the results, host by host."""
        tasks = [
            {
                "backup_key": {"file": str(self.file), **arguments},
                "register": f"found{number}",
                "ignore_errors": True,
            }
            for number, arguments in enumerate(cases)
        ]
        found = ", ".join(f"found{number}" for number in range(len(cases)))
        written = {
            "content": f"{{{{ [{found}] | to_json }}}}",
            "mode": "0600",
            "dest": f"{self.directory}/{{{{ inventory_hostname }}}}.json",
        }
        tasks.append({"ansible.builtin.copy": written, "check_mode": False})
        play = [{"hosts": "all", "connection": "local", "gather_facts": False, "tasks": tasks}]
        path = self.directory / "play.json"
        path.write_text(json.dumps(play))
        self.password.write_text(PASSWORD)
        options = [*(["--vault-password-file", str(self.password)] if vault else []), *(["--check"] if check else [])]
        done = subprocess.run(
            ["ansible-playbook", *options, "--inventory", ",".join([*hosts, ""]), str(path)],
            env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
            capture_output=True,
            text=True,
            check=False,
        )
        self.said = done.stdout + done.stderr
        assert done.returncode == 0, self.said
        return [each for host in hosts for each in json.loads((self.directory / f"{host}.json").read_text())]

    def decrypted(self, file: Path) -> str:
        """Return what a file holds for who has the vault's password."""
        vault = VaultLib([(DEFAULT_VAULT_ID_MATCH, VaultSecret(PASSWORD.encode()))])
        return str(vault.decrypt(file.read_bytes()).decode().strip())


@pytest.fixture
def controller(tmp_path: Path) -> Controller:
    return Controller(tmp_path)


def test_a_key_is_made_once_and_kept_encrypted(controller: Controller) -> None:
    plain, other = controller.directory / "plain", controller.directory / "other.vault"
    plain.write_text("in-plain-text-0123456789")
    first, second, given, lasting, refused = controller.run(
        {"remote": True},
        {"remote": True, "known": KNOWN},
        {"remote": True, "key": GIVEN},
        {"remote": False, "known": KNOWN, "file": str(other)},
        {"remote": True, "file": str(plain)},
    )
    assert (first["changed"], first["where"], first["failed"]) == (True, "file", False)
    assert len(first["key"]) >= 40
    assert controller.file.read_text().startswith("$ANSIBLE_VAULT;")
    assert first["key"] not in controller.file.read_text()
    assert controller.file.stat().st_mode & 0o777 == 0o600
    assert controller.decrypted(controller.file) == first["key"]
    assert (second["changed"], second["key"]) == (False, first["key"]), "the file counts, not what the host has"
    assert (given["key"], given["where"]) == (GIVEN, "variable")
    assert (lasting["changed"], lasting["key"], controller.decrypted(other)) == (True, KNOWN, KNOWN)
    assert "is not encrypted: run `ansible-vault encrypt" in refused["msg"]
    assert "in-plain-text" not in controller.said
    assert not list(controller.directory.glob(".*"))


def test_hosts_that_come_at_the_same_moment_agree(controller: Controller) -> None:
    results = controller.run({"remote": True}, hosts=("one", "two", "three", "four"))
    assert {result["key"] for result in results} == {controller.decrypted(controller.file)}
    assert sum(result["changed"] for result in results) == 1


def test_without_a_vaults_password_no_key_of_a_repository_elsewhere_is_lost(controller: Controller) -> None:
    closed_file = controller.directory / "closed.vault"
    closed_file.write_text("$ANSIBLE_VAULT;1.1;AES256\n3132\n")
    refused, kept, closed = controller.run(
        {"remote": True},
        {"remote": False, "known": KNOWN},
        {"remote": True, "known": KNOWN, "file": str(closed_file)},
        vault=False,
    )
    assert refused["failed"]
    assert "all backups would be lost" in refused["msg"]
    assert f"stored in {controller.file}" in refused["msg"]
    assert not controller.file.exists()
    assert (kept["changed"], kept["key"], kept["where"]) == (False, KNOWN, "host")
    assert closed["failed"]
    assert "cannot be decrypted: give the vault password with --ask-vault-pass" in closed["msg"]


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(controller: Controller) -> None:
    foretold, checked = controller.run({"remote": True}, {"remote": True, "only_check": True}, check=True)
    assert (foretold["changed"], foretold["where"]) == (True, "file")
    assert not checked["changed"]
    assert not controller.file.exists()
