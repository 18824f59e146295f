"""Hooks of Schemathesis. Each test case has its own session, so that a logout does not affect other cases."""

import os
import uuid
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from typing import Any

import schemathesis
from hypothesis import strategies as st
from pysqlite3 import dbapi2

from app.kit.tokens import Tokens
from app.settings import Settings

# Values for the formats of the schema, within the limits that the descriptions give.
EARLIEST, LATEST = date(2000, 1, 3), date(2199, 12, 28)
schemathesis.openapi.format("date", st.dates(EARLIEST, LATEST).map(date.isoformat))
schemathesis.openapi.format(
    "date-time",
    st.builds(
        lambda day, slot: f"{day.isoformat()}T{slot // 2:02}:{slot % 2 * 30:02}:00Z",
        st.dates(EARLIEST, LATEST),
        st.integers(0, 47),
    ),
)
schemathesis.openapi.format("email", st.from_regex(r"[a-z]{3,20}@[a-z]{3,20}\.(com|org|ru)", fullmatch=True))


class SessionAuth:
    """Authenticates as ACCOUNT with an inserted session, which is faster than a login."""

    def get(self, _case: schemathesis.Case[Any], _context: schemathesis.AuthContext) -> str:
        """Insert a session, and return its access token."""
        now = datetime.now(UTC).replace(tzinfo=None)
        session = str(uuid.uuid4())
        with closing(dbapi2.connect(os.environ["DATABASE"], timeout=20)) as database, database:
            database.execute(
                "INSERT INTO login_session (id, account_id, user_agent, created_at, used_at, expires_at)"
                " VALUES (?, ?, 'schemathesis', ?, ?, ?)",
                (session, os.environ["ACCOUNT"], str(now), str(now), str(now + timedelta(days=1))),
            )
        tokens = Tokens(Settings(secret_key=os.environ["SECRET_KEY"], canary_token="c" * 32))
        return tokens.issue(os.environ["ACCOUNT"], session)

    def set(self, case: schemathesis.Case[Any], data: str, _context: schemathesis.AuthContext) -> None:
        """Add the access token to the request."""
        case.headers["Authorization"] = f"Bearer {data}"


if "ACCOUNT" in os.environ:
    schemathesis.auth(refresh_interval=None)(SessionAuth)
