"""`python -m app seed` creates a complete demo company once, and only in an empty database."""

import shutil
import subprocess
import sys
from pathlib import Path

import httpx
from pysqlite3 import dbapi2

from tests.app.conftest import api_server, new_user

TABLES = ("user_account", "booking", "booking_slot", "review", "cleaning_service", "audit_entry")


def seed(environment: dict[str, str], directory: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app", "seed"]
    return subprocess.run(command, env=environment, cwd=directory, capture_output=True, text=True, check=False)


def rows(database: Path) -> list[int]:
    connection = dbapi2.connect(database)
    found = [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES]  # noqa: S608
    connection.close()
    return found


def test_seed_is_idempotent(environment: dict[str, str], tmp_path: Path, migrated: Path) -> None:
    shutil.copy(migrated, tmp_path / "test.db")
    first = seed(environment, tmp_path)
    assert first.returncode == 0, first.stderr
    assert "created\n" in first.stdout
    assert all(rows(tmp_path / "test.db"))
    before = rows(tmp_path / "test.db")
    again = seed(environment, tmp_path)
    assert (again.returncode, again.stdout.splitlines()[-1]) == (0, "unchanged")
    assert rows(tmp_path / "test.db") == before
    with (
        api_server(tmp_path, environment) as server,
        httpx.Client(base_url=f"{server.url}/api/v1", timeout=20, trust_env=False) as http,
    ):
        credentials = {"email": "office@example.com", "password": "correct horse battery"}
        token = http.post("/auth/login", json=credentials).json()["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        bookings = http.get("/office/bookings?limit=100").json()["items"]
        assert len(bookings) == 30
        assert {"assigned", "completed", "cancelled"} <= {each["state"] for each in bookings}
        assert len(http.get("/services").json()["items"]) == 4
        assert any(each["rating"] for each in http.get("/cleaners").json()["items"])
        page = http.get("/office/figures?from=2026-01-01&to=2026-12-31").json()
        assert page["currency"] == "EUR"


def test_seed_refuses_a_database_with_accounts(environment: dict[str, str], tmp_path: Path, migrated: Path) -> None:
    shutil.copy(migrated, tmp_path / "test.db")
    with api_server(tmp_path, environment) as server:
        assert httpx.post(f"{server.url}/api/v1/auth/register", json=new_user(), trust_env=False).status_code == 201
        before = rows(tmp_path / "test.db")
        refused = seed(environment, tmp_path)
    assert refused.returncode == 1
    assert "already has accounts" in refused.stderr
    assert rows(tmp_path / "test.db") == before
