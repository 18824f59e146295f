"""Add services and extras."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.create_table(
        "cleaning_service",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("description", sa.String(length=1000), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("base_price", sa.Integer(), nullable=False),
        sa.Column("price_per_square_metre", sa.Integer(), nullable=False),
        sa.Column("price_per_room", sa.Integer(), nullable=False),
        sa.Column("price_per_hour", sa.Integer(), nullable=False),
        sa.Column("base_minutes", sa.Integer(), nullable=False),
        sa.Column("seconds_per_square_metre", sa.Integer(), nullable=False),
        sa.Column("minutes_per_room", sa.Integer(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint(
            "base_price >= 0 AND price_per_square_metre >= 0 AND price_per_room >= 0 AND price_per_hour >= 0",
            name="ck_cleaning_service_prices",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_cleaning_service"),
    )
    op.create_index(
        "ix_cleaning_service_is_active_position_id", "cleaning_service", ["is_active", "position", "id"], unique=False
    )
    op.create_index("ix_cleaning_service_position_id", "cleaning_service", ["position", "id"], unique=False)
    op.create_table(
        "service_extra",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("service_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("price", sa.Integer(), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column("maximum_quantity", sa.Integer(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("price >= 0 AND minutes >= 0 AND maximum_quantity >= 1", name="ck_service_extra_amounts"),
        sa.ForeignKeyConstraint(
            ["service_id"], ["cleaning_service.id"], name="fk_service_extra_service_id_cleaning_service"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_service_extra"),
    )
    op.create_index(
        "ix_service_extra_service_id_position_id", "service_extra", ["service_id", "position", "id"], unique=False
    )


def downgrade() -> None:
    """Revert the migration."""
    op.drop_table("service_extra")
    op.drop_table("cleaning_service")
