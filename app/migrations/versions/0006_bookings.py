"""Add bookings, their slots and their history."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

MONEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply the migration."""
    op.create_table(
        "booking",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("reference", sa.String(length=10), nullable=False),
        sa.Column("client_id", sa.String(length=36), nullable=False),
        sa.Column("cleaner_id", sa.String(length=36), nullable=True),
        sa.Column("service_id", sa.String(length=36), nullable=False),
        sa.Column("service_name", sa.String(length=100), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("starts_at", sa.DateTime(), nullable=False),
        sa.Column("ends_at", sa.DateTime(), nullable=False),
        sa.Column("address", sa.String(length=300), nullable=False),
        sa.Column("notes", sa.String(length=1000), nullable=False),
        sa.Column("price", MONEY, nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("quote", sa.JSON(), nullable=False),
        sa.Column("cancellation_fee", MONEY, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint(
            "state IN ('requested', 'confirmed', 'assigned', 'in_progress', 'completed', 'cancelled', 'no_show')",
            name="ck_booking_state",
        ),
        sa.CheckConstraint(
            "state IN ('requested', 'confirmed', 'cancelled') OR cleaner_id IS NOT NULL", name="ck_booking_cleaner"
        ),
        sa.CheckConstraint("price >= 0 AND cancellation_fee >= 0", name="ck_booking_money"),
        sa.CheckConstraint("starts_at < ends_at", name="ck_booking_times"),
        sa.ForeignKeyConstraint(["cleaner_id"], ["cleaner.account_id"], name="fk_booking_cleaner_id_cleaner"),
        sa.ForeignKeyConstraint(["client_id"], ["user_account.id"], name="fk_booking_client_id_user_account"),
        sa.ForeignKeyConstraint(["service_id"], ["cleaning_service.id"], name="fk_booking_service_id_cleaning_service"),
        sa.PrimaryKeyConstraint("id", name="pk_booking"),
        sa.UniqueConstraint("reference", name="uq_booking_reference"),
    )
    op.create_index("ix_booking_cleaner_id_starts_at_id", "booking", ["cleaner_id", "starts_at", "id"], unique=False)
    op.create_index("ix_booking_client_id_starts_at_id", "booking", ["client_id", "starts_at", "id"], unique=False)
    op.create_index("ix_booking_starts_at_id", "booking", ["starts_at", "id"], unique=False)
    op.create_index("ix_booking_state_starts_at_id", "booking", ["state", "starts_at", "id"], unique=False)
    op.create_table(
        "booking_slot",
        sa.Column("cleaner_id", sa.String(length=36), nullable=False),
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("booking_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["booking_id"], ["booking.id"], name="fk_booking_slot_booking_id_booking"),
        sa.ForeignKeyConstraint(["cleaner_id"], ["cleaner.account_id"], name="fk_booking_slot_cleaner_id_cleaner"),
        sa.PrimaryKeyConstraint("cleaner_id", "slot", name="pk_booking_slot"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "booking_event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("booking_id", sa.String(length=36), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("actor_id", sa.String(length=36), nullable=True),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["booking_id"], ["booking.id"], name="fk_booking_event_booking_id_booking"),
        sa.PrimaryKeyConstraint("id", name="pk_booking_event"),
    )
    op.create_index("ix_booking_event_booking_id_id", "booking_event", ["booking_id", "id"], unique=False)


def downgrade() -> None:
    """Revert the migration."""
    op.drop_table("booking_event")
    op.drop_table("booking_slot")
    op.drop_table("booking")
