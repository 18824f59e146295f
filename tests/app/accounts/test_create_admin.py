"""`python -m app create-admin`, while the API runs."""

import subprocess
import sys
import unicodedata

import httpx

from tests.app.accounts.test_registration import ACCENTED_PASSWORD, log_in
from tests.app.conftest import ROOT, Server, new_user


def run(environment: dict[str, str], email: str, password: str) -> tuple[int, str]:
    """Exit code and output."""
    command = [sys.executable, "-m", "app", "create-admin", email]
    done = subprocess.run(
        command, env=environment, cwd=ROOT, input=password, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout.strip()


def test_create_admin_normalises_the_password(
    environment: dict[str, str], server: Server, client: httpx.Client
) -> None:
    user, decomposed = new_user() | {"password": ACCENTED_PASSWORD}, unicodedata.normalize("NFD", ACCENTED_PASSWORD)
    assert run(environment, user["email"], f"{decomposed}\n") == (0, "created")
    assert log_in(client, user).status_code == 200
    assert server.rows() == 1


def test_create_admin_is_idempotent(environment: dict[str, str], server: Server, client: httpx.Client) -> None:
    user = new_user()
    assert run(environment, user["email"], "") == (64, "")
    assert run(environment, user["email"], "short\n") == (64, "")
    assert run(environment, "no address", user["password"]) == (64, "")
    assert server.rows() == 0
    assert run(environment, user["email"], f"{user['password']}\n") == (0, "created")
    assert run(environment, user["email"], "") == (0, "unchanged")
    assert log_in(client, user).status_code == 200
    other = new_user()
    client.post("/api/v1/auth/register", json=other)
    assert run(environment, other["email"], "") == (0, "promoted")
    assert server.rows() == 2
