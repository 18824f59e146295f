"""Users of the tests. They are registered through the API, and get their role in the database."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
from pysqlite3 import dbapi2


@dataclass
class Person:
    """A signed-in user. `http` sends the user's access token."""

    http: httpx.Client
    id: str
    email: str
    password: str
    role: str


def sign_in(http: httpx.Client, database: Path, user: dict[str, str], role: str) -> Person:
    """Register a user, set the role, and log in."""
    registered = http.post("/api/v1/auth/register", json=user)
    assert registered.status_code == 201, registered.text
    identifier = str(registered.json()["id"])
    if role != "client":
        connection = dbapi2.connect(database, timeout=20)
        with connection:
            connection.execute("UPDATE user_account SET role = ? WHERE id = ?", (role, identifier))
            if role == "cleaner":
                now = datetime.now(UTC).replace(tzinfo=None).isoformat(sep=" ")
                connection.execute(
                    "INSERT INTO cleaner (account_id, is_bookable, rating_total, rating_count, version, created_at)"
                    " VALUES (?, 1, 0, 0, 1, ?)",
                    (identifier, now),
                )
        connection.close()
    credentials = {"email": user["email"], "password": user["password"]}
    token = http.post("/api/v1/auth/login", json=credentials).json()["access_token"]
    http.headers["Authorization"] = f"Bearer {token}"
    return Person(http, identifier, user["email"], user["password"], role)
