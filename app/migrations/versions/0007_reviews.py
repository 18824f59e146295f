"""Add reviews of bookings."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.create_table(
        "review",
        sa.Column("booking_id", sa.String(length=36), nullable=False),
        sa.Column("client_id", sa.String(length=36), nullable=False),
        sa.Column("cleaner_id", sa.String(length=36), nullable=False),
        sa.Column("stars", sa.Integer(), nullable=False),
        sa.Column("comment", sa.String(length=2000), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("stars BETWEEN 1 AND 5", name="ck_review_stars"),
        sa.ForeignKeyConstraint(["booking_id"], ["booking.id"], name="fk_review_booking_id_booking"),
        sa.ForeignKeyConstraint(["cleaner_id"], ["cleaner.account_id"], name="fk_review_cleaner_id_cleaner"),
        sa.ForeignKeyConstraint(["client_id"], ["user_account.id"], name="fk_review_client_id_user_account"),
        sa.PrimaryKeyConstraint("booking_id", name="pk_review"),
    )
    op.create_index(
        "ix_review_cleaner_id_created_at_booking_id", "review", ["cleaner_id", "created_at", "booking_id"], unique=False
    )
    op.create_index("ix_review_client_id", "review", ["client_id"], unique=False)


def downgrade() -> None:
    """Revert the migration."""
    op.drop_table("review")
