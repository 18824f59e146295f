"""The audit log: who did what, when, from where. Append-only: triggers of the schema refuse anything else."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, ClassVar

import structlog
from sqlalchemy import JSON, Index, String
from sqlmodel import Field, Session, SQLModel, col, select

from app.kit.models import BIG, UtcDateTime, now
from app.kit.pagination import Paging


class AuditEntry(SQLModel, table=True):
    """One thing that somebody did. Holds ids, never names: an erased account leaves nothing personal here."""

    __tablename__: ClassVar[str] = "audit_entry"
    __table_args__ = (
        Index(None, "subject_id", "id"),
        Index(None, "actor_id", "id"),
        Index(None, "action", "id"),
    )

    id: int | None = Field(default=None, sa_type=BIG, primary_key=True)
    at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    action: str = Field(sa_type=String(50))
    """`login.succeeded`, `role.changed`, `booking.cancelled`, …"""
    actor_id: str | None = Field(default=None, sa_type=String(36))
    subject_id: str | None = Field(default=None, sa_type=String(36))
    """What it was done to: an account, a booking."""
    address: str | None = Field(default=None, sa_type=String(45))
    """The client's network address."""
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
