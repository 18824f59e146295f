"""`python -m app check-database` on real files, sound and damaged."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pysqlite3 import dbapi2

from app.kit.migrations import newest_revision
from tests.app.conftest import ROOT


def check(directory: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command on `test.db` in a directory, or on the file in the arguments."""
    return subprocess.run(
        [sys.executable, "-m", "app", "check-database", *arguments],
        cwd=directory,
        env=os.environ | environment | {"PYTHONPATH": str(ROOT), "DATABASE_URL": "sqlite:///./test.db"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_sound_database(tmp_path: Path, environment: dict[str, str], migrated: Path) -> None:
    (tmp_path / "test.db").write_bytes(migrated.read_bytes())
    done = check(tmp_path, environment)
    assert (done.returncode, done.stdout) == (0, "sound\n")


@pytest.mark.parametrize("page", [0, 3])
def test_damaged_database(tmp_path: Path, environment: dict[str, str], migrated: Path, page: int) -> None:
    content = bytearray(migrated.read_bytes())
    content[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    (tmp_path / "test.db").write_bytes(content)
    done = check(tmp_path, environment)
    assert done.returncode == 1
    assert done.stdout not in {"", "sound\n"}


def test_rows_with_broken_references(tmp_path: Path, environment: dict[str, str], migrated: Path) -> None:
    (tmp_path / "test.db").write_bytes(migrated.read_bytes())
    with dbapi2.connect(tmp_path / "test.db") as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(
            "INSERT INTO login_session (id, account_id, user_agent, created_at, used_at, expires_at)"
            " VALUES ('1', 'nobody', 'test', '2026-01-01', '2026-01-01', '2026-01-01')"
        )
    connection.close()
    done = check(tmp_path, environment)
    assert (done.returncode, done.stdout) == (1, "1 rows point to nothing\n")


def test_json_report(tmp_path: Path, environment: dict[str, str], migrated: Path) -> None:
    (tmp_path / "copy.db").write_bytes(migrated.read_bytes())
    with dbapi2.connect(tmp_path / "copy.db") as connection:
        for number, made in enumerate(["2026-01-01 00:00:00.000000", "2026-01-01 00:00:02.500000"]):
            connection.execute(
                "INSERT INTO login_session (id, account_id, user_agent, created_at, used_at, expires_at)"
                " VALUES (?, 'nobody', 'test', ?, '2026-01-01', '2026-01-01')",
                (str(number), made),
            )
    connection.close()
    asked = ("login_session:2", "booking:0", "nothing:1")
    done = check(tmp_path, environment, "--json", *(part for each in asked for part in ("--row", each)), "copy.db")
    found = json.loads(done.stdout)
    assert done.returncode == 1  # the accounts of the sessions are missing
    assert (found["damage"], found["broken_references"]) == ([], 2)
    assert found["revision"] == found["newest_revision"] == newest_revision()
    assert (found["rows"]["login_session"], found["rows"]["booking"]) == (2, 0)
    assert found["created"] == {
        "login_session": [datetime(2026, 1, 1, 0, 0, 2, 500_000, UTC).timestamp(), None],
        "booking": [None, None],
    }


@pytest.mark.parametrize(
    ("number", "made"), [(0, [None, 3.0]), (1, [3.0, 1.0]), (2, [1.0, 2.0]), (3, [2.0, None]), (4, [None, None])]
)
def test_when_a_row_and_the_next_one_were_made(
    tmp_path: Path, environment: dict[str, str], migrated: Path, number: int, made: list[float | None]
) -> None:
    """In the order in which they were written, which is not that of the moments that they bear."""
    (tmp_path / "copy.db").write_bytes(migrated.read_bytes())
    with dbapi2.connect(tmp_path / "copy.db") as connection:
        for name, second in (("c", 3), ("b", 1), ("a", 2)):
            connection.execute(
                "INSERT INTO user_account (id, email, password_hash, full_name, created_at, updated_at)"
                " VALUES (?, ?, 'x', 'Ann', ?, '2026-01-01')",
                (name, f"{name}@example.com", f"1970-01-01 00:00:0{second}.000000"),
            )
    connection.close()
    done = check(tmp_path, environment, "--json", "--row", f"user_account:{number}", "copy.db")
    assert json.loads(done.stdout)["created"] == {"user_account": made}


def test_missing_database(tmp_path: Path, environment: dict[str, str]) -> None:
    done = check(tmp_path, environment)
    assert done.returncode == 1
    assert "test.db is missing: put it back" in done.stderr
    assert not (tmp_path / "test.db").exists()
