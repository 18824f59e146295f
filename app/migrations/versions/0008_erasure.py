"""Support erasure: remove addresses from the audit log, and link messages and stored responses to third persons.

Also normalise search terms.
"""

import re
import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

REFERENCE = re.compile(r"\b[2-9A-HJKMNP-Z]{8}\b")
"""A booking reference in the subject of a message."""

# The audit log allows one change: an address is removed when the entry is 90 days old, or when its owner's account has
# been erased. The owner is the actor; without an actor it is the subject, or the client of the subject booking.
SQLITE_UPDATE = """
CREATE TRIGGER audit_entry_no_update BEFORE UPDATE ON audit_entry
WHEN NOT (
  NEW.address IS NULL AND NEW.id IS OLD.id AND NEW.at IS OLD.at AND NEW.action IS OLD.action
  AND NEW.actor_id IS OLD.actor_id AND NEW.subject_id IS OLD.subject_id AND NEW.request_id IS OLD.request_id
  AND NEW.details IS OLD.details
  AND (
    OLD.at < datetime('now', '-90 days')
    OR EXISTS (
      SELECT 1 FROM user_account
      WHERE id = coalesce(OLD.actor_id, OLD.subject_id) AND erased_at IS NOT NULL
    )
    OR (OLD.actor_id IS NULL AND EXISTS (
      SELECT 1 FROM booking JOIN user_account ON user_account.id = booking.client_id
      WHERE booking.id = OLD.subject_id AND erased_at IS NOT NULL
    ))
  )
)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
"""
POSTGRESQL_FUNCTION = """
CREATE OR REPLACE FUNCTION audit_entry_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
  IF TG_OP = 'UPDATE' AND NEW.address IS NULL
    AND (NEW.id, NEW.at, NEW.action, NEW.actor_id, NEW.subject_id, NEW.request_id, NEW.details::text)
      IS NOT DISTINCT FROM
      (OLD.id, OLD.at, OLD.action, OLD.actor_id, OLD.subject_id, OLD.request_id, OLD.details::text)
    AND (
      OLD.at < (now() AT TIME ZONE 'UTC') - interval '90 days'
      OR EXISTS (
        SELECT 1 FROM user_account
        WHERE id = coalesce(OLD.actor_id, OLD.subject_id) AND erased_at IS NOT NULL
      )
      OR (OLD.actor_id IS NULL AND EXISTS (
        SELECT 1 FROM booking JOIN user_account ON user_account.id = booking.client_id
        WHERE booking.id = OLD.subject_id AND erased_at IS NOT NULL
      ))
    )
  THEN RETURN NEW; END IF;
  RAISE EXCEPTION 'the audit log is append-only';
END $$
"""
SQLITE_NO_UPDATE = """
CREATE TRIGGER audit_entry_no_update BEFORE UPDATE ON audit_entry
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
"""
POSTGRESQL_NO_UPDATE = """
CREATE OR REPLACE FUNCTION audit_entry_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$
"""
REMOVE_ADDRESSES_OF_ERASED = """
UPDATE audit_entry SET address = NULL WHERE address IS NOT NULL AND (
  actor_id IN (SELECT id FROM user_account WHERE erased_at IS NOT NULL)
  OR (actor_id IS NULL AND subject_id IN (SELECT id FROM user_account WHERE erased_at IS NOT NULL))
  OR (actor_id IS NULL AND subject_id IN (
    SELECT booking.id FROM booking JOIN user_account ON user_account.id = booking.client_id WHERE erased_at IS NOT NULL
  ))
)
"""


def upgrade() -> None:
    """Apply the migration."""
    for table in ("outbox_message", "idempotency_record"):
        op.add_column(table, sa.Column("about_id", sa.String(length=36), nullable=True))
        op.create_index(f"ix_{table}_about_id", table, ["about_id"], unique=False)
    op.create_index(
        "ix_audit_entry_at",
        "audit_entry",
        ["at"],
        unique=False,
        sqlite_where=sa.text("address IS NOT NULL"),
        postgresql_where=sa.text("address IS NOT NULL"),
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER audit_entry_no_update")
        op.execute(SQLITE_UPDATE)
    else:
        op.execute(POSTGRESQL_FUNCTION)
    op.execute(REMOVE_ADDRESSES_OF_ERASED)
    _link_messages_to_clients()
    _normalise_search_terms()


def _link_messages_to_clients() -> None:
    """Link pending and dead messages to cleaners, which hold the client's name and address, to the client."""
    connection = op.get_bind()
    query = "SELECT id, subject FROM outbox_message WHERE template LIKE 'visit_%' AND state <> 'sent'"
    for message, subject in connection.execute(sa.text(query)).all():
        for reference in REFERENCE.findall(subject):
            connection.execute(
                sa.text(
                    "UPDATE outbox_message SET about_id = (SELECT client_id FROM booking WHERE reference = :reference)"
                    " WHERE id = :message"
                ),
                {"reference": reference, "message": message},
            )


def _normalise_search_terms() -> None:
    """Rewrite stored search terms in the normal form that searches now use."""
    connection = op.get_bind()
    terms = connection.execute(sa.text("SELECT term, account_id FROM account_term")).all()
    changes = [
        {"old": term, "new": new, "account": account} for term, account in terms if (new := _normalised(term)) != term
    ]
    existing = {(term, account) for term, account in terms}
    for change in changes:
        if (change["new"], change["account"]) in existing:
            statement = "DELETE FROM account_term WHERE term = :old AND account_id = :account"
        else:
            statement = "UPDATE account_term SET term = :new WHERE term = :old AND account_id = :account"
            existing.add((change["new"], change["account"]))
        connection.execute(sa.text(statement), change)


def _normalised(term: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", term).casefold())[:254]


def downgrade() -> None:
    """Revert the migration."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER audit_entry_no_update")
        op.execute(SQLITE_NO_UPDATE)
    else:
        op.execute(POSTGRESQL_NO_UPDATE)
    op.drop_index("ix_audit_entry_at", "audit_entry")
    for table in ("outbox_message", "idempotency_record"):
        op.drop_index(f"ix_{table}_about_id", table)
        op.drop_column(table, "about_id")
