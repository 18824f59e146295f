"""Add cleaners, working hours and days off."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.create_table(
        "cleaner",
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("is_bookable", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("rating_total", sa.Integer(), nullable=False),
        sa.Column("rating_count", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["user_account.id"], name="fk_cleaner_account_id_user_account"),
        sa.PrimaryKeyConstraint("account_id", name="pk_cleaner"),
    )
    op.create_index("ix_cleaner_created_at_account_id", "cleaner", ["created_at", "account_id"], unique=False)
    op.create_index("ix_cleaner_is_bookable_account_id", "cleaner", ["is_bookable", "account_id"], unique=False)
    op.create_table(
        "working_hours",
        sa.Column("cleaner_id", sa.String(length=36), nullable=False),
        sa.Column("weekday", sa.Integer(), nullable=False),
        sa.Column("starts", sa.Integer(), nullable=False),
        sa.Column("ends", sa.Integer(), nullable=False),
        sa.CheckConstraint("starts >= 0 AND starts < ends AND ends <= 1440", name="ck_working_hours_hours"),
        sa.CheckConstraint("weekday BETWEEN 0 AND 6", name="ck_working_hours_weekday"),
        sa.ForeignKeyConstraint(["cleaner_id"], ["cleaner.account_id"], name="fk_working_hours_cleaner_id_cleaner"),
        sa.PrimaryKeyConstraint("cleaner_id", "weekday", "starts", name="pk_working_hours"),
    )
    op.create_table(
        "day_off",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("cleaner_id", sa.String(length=36), nullable=False),
        sa.Column("first_day", sa.Date(), nullable=False),
        sa.Column("last_day", sa.Date(), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("first_day <= last_day", name="ck_day_off_order"),
        sa.ForeignKeyConstraint(["cleaner_id"], ["cleaner.account_id"], name="fk_day_off_cleaner_id_cleaner"),
        sa.PrimaryKeyConstraint("id", name="pk_day_off"),
    )
    op.create_index(
        "ix_day_off_cleaner_id_last_day_first_day_id",
        "day_off",
        ["cleaner_id", "last_day", "first_day", "id"],
        unique=False,
    )


def downgrade() -> None:
    """Revert the migration."""
    op.drop_table("day_off")
    op.drop_table("working_hours")
    op.drop_table("cleaner")
