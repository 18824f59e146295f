"""The audit log: who did what, when, from where. Append-only: triggers of the schema refuse anything else.

One thing leaves it: the network address, after ADDRESSES_KEPT or when the person is erased. The triggers allow exactly
that.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, ClassVar

import structlog
from sqlalchemy import JSON, Index, String, func, text, update
from sqlmodel import Field, Session, SQLModel, col, select

from app.kit.models import BIG, UtcDateTime, now
from app.kit.pagination import Paging

ADDRESSES_KEPT = timedelta(days=90)
"""The triggers have the same figure."""
CLOCKS = timedelta(minutes=10)
"""That the database's clock may be behind this one."""
PRUNE = 500
"""Addresses that one round of pruning removes at most, so that no write waits long for it."""
WITH_ADDRESS = text("address IS NOT NULL")


class AuditEntry(SQLModel, table=True):
    """One thing that somebody did. Holds ids, never names: an erased account leaves nothing personal here."""

    __tablename__: ClassVar[str] = "audit_entry"
    __table_args__ = (
        Index(None, "subject_id", "id"),
        Index(None, "actor_id", "id"),
        Index(None, "action", "id"),
        Index(None, "at", sqlite_where=WITH_ADDRESS, postgresql_where=WITH_ADDRESS),
    )

    id: int | None = Field(default=None, sa_type=BIG, primary_key=True)
    at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    action: str = Field(sa_type=String(50))
    """`login.succeeded`, `role.changed`, `booking.cancelled`, …"""
    actor_id: str | None = Field(default=None, sa_type=String(36))
    subject_id: str | None = Field(default=None, sa_type=String(36))
    """What it was done to: an account, a booking."""
    address: str | None = Field(default=None, sa_type=String(45))
    """The client's network address; None after ADDRESSES_KEPT."""
    request_id: str | None = Field(default=None, sa_type=String(64))
    details: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)


def record(
    session: Session, action: str, *, actor_id: str | None, subject_id: str | None = None, **details: object
) -> None:
    """Write an entry in the caller's transaction; address and request id come from the request's context."""
    context = structlog.contextvars.get_contextvars()
    session.add(
        AuditEntry(
            action=action,
            actor_id=actor_id,
            subject_id=subject_id,
            address=context.get("client"),
            request_id=context.get("request_id"),
            details=details,
        )
    )


def prune(session: Session) -> int:
    """Remove addresses older than ADDRESSES_KEPT, PRUNE at most; returns how many."""
    old = select(AuditEntry.id).where(col(AuditEntry.at) < now() - ADDRESSES_KEPT - CLOCKS, WITH_ADDRESS)
    ids = session.exec(old.order_by(col(AuditEntry.at)).limit(PRUNE)).all()
    if ids:
        session.execute(update(AuditEntry).where(col(AuditEntry.id).in_(ids)).values(address=None))
    return len(ids)


def forget_addresses(session: Session, account_id: str, subject_ids: Collection[str] = ()) -> None:
    """Remove the addresses of a person whose account is being erased.

    Those of what they did, and of what nobody signed in did to their account, like failed logins, or to `subject_ids`.

    Args:
        session: to write with; the account's `erased_at` must be set, or the triggers refuse it.
        account_id: whose.
        subject_ids: the person's bookings.
    """
    session.flush()
    about = col(AuditEntry.subject_id)
    for belongs in (
        col(AuditEntry.actor_id) == account_id,
        # Hides the index by actor: there are many entries without one.
        (func.coalesce(col(AuditEntry.actor_id), "") == "") & about.in_([account_id, *subject_ids]),
    ):
        session.execute(update(AuditEntry).where(belongs, WITH_ADDRESS).values(address=None))


def of_person(session: Session, account_id: str, limit: int) -> list[AuditEntry]:
    """The newest entries of what a person did and of what was done to their account, the newest first."""
    query = select(AuditEntry).order_by(col(AuditEntry.id).desc()).limit(limit)
    found = {
        entry.id: entry
        for column in (col(AuditEntry.actor_id), col(AuditEntry.subject_id))
        for entry in session.exec(query.where(column == account_id))
    }
    return [found[key] for key in sorted(found, key=lambda key: key or 0, reverse=True)][:limit]


def listing(
    session: Session,
    paging: Paging,
    *,
    actor_id: str | None = None,
    subject_id: str | None = None,
    actions: Collection[str] = (),
) -> tuple[list[AuditEntry], str | None]:
    """Entries, the newest first, and the cursor of the next page; None, or no action, is no condition."""
    columns: list[Any] = [col(AuditEntry.id)]
    query = select(AuditEntry)
    for column, value in ((col(AuditEntry.actor_id), actor_id), (col(AuditEntry.subject_id), subject_id)):
        if value is not None:
            query = query.where(column == value)
    queries = [query.where(AuditEntry.action == each) for each in dict.fromkeys(actions)] or query
    return paging.page(session, queries, columns, lambda entry: (entry.id or 0,), descending=True)
