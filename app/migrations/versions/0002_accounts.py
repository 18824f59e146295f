"""Add sessions, one-time tokens and search terms of accounts."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    with op.batch_alter_table("user_account") as table:
        table.add_column(sa.Column("language", sa.String(length=2), server_default="en", nullable=False))
        table.add_column(sa.Column("email_verified_at", sa.DateTime(), nullable=True))
        table.add_column(sa.Column("erased_at", sa.DateTime(), nullable=True))
        table.add_column(sa.Column("version", sa.Integer(), server_default="1", nullable=False))
        table.create_check_constraint("ck_user_account_role", "role IN ('client', 'cleaner', 'manager', 'admin')")
        table.create_check_constraint("ck_user_account_language", "language IN ('en', 'ru')")
        table.create_index("ix_user_account_created_at_id", ["created_at", "id"])
        table.create_index("ix_user_account_role_created_at_id", ["role", "created_at", "id"])
        table.create_index("ix_user_account_is_active_created_at_id", ["is_active", "created_at", "id"])
        table.create_index("ix_user_account_role_is_active_created_at_id", ["role", "is_active", "created_at", "id"])
    op.create_table(
        "account_term",
        sa.Column("term", sa.String(length=254), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["user_account.id"], name="fk_account_term_account_id_user_account"),
        sa.PrimaryKeyConstraint("term", "account_id", name="pk_account_term"),
    )
    op.create_index("ix_account_term_account_id", "account_term", ["account_id"], unique=False)
    op.create_table(
        "login_session",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("user_agent", sa.String(length=200), nullable=False),
        sa.Column("address", sa.String(length=45), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("used_at", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.Column("revoked_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["user_account.id"], name="fk_login_session_account_id_user_account"),
        sa.PrimaryKeyConstraint("id", name="pk_login_session"),
    )
    op.create_index(
        "ix_login_session_account_id_created_at", "login_session", ["account_id", "created_at"], unique=False
    )
    op.create_index("ix_login_session_expires_at", "login_session", ["expires_at"], unique=False)
    op.create_table(
        "refresh_token",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("session_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("used_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["session_id"], ["login_session.id"], name="fk_refresh_token_session_id_login_session", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name="pk_refresh_token"),
    )
    op.create_index("ix_refresh_token_session_id", "refresh_token", ["session_id"], unique=False)
    op.create_table(
        "one_time_token",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.Column("used_at", sa.DateTime(), nullable=True),
        sa.CheckConstraint(
            "purpose IN ('verify_email', 'change_email', 'reset_password')", name="ck_one_time_token_purpose"
        ),
        sa.ForeignKeyConstraint(["account_id"], ["user_account.id"], name="fk_one_time_token_account_id_user_account"),
        sa.PrimaryKeyConstraint("token_hash", name="pk_one_time_token"),
    )
    op.create_index("ix_one_time_token_account_id", "one_time_token", ["account_id"], unique=False)
    op.create_index("ix_one_time_token_expires_at", "one_time_token", ["expires_at"], unique=False)
    _add_search_terms()


def _add_search_terms() -> None:
    """Add search terms for the existing accounts: each word of the name, the e-mail address and the phone number."""
    accounts = op.get_bind().execute(sa.text("SELECT id, full_name, email, phone FROM user_account")).all()
    rows = [
        {"term": term[:254], "account_id": account}
        for account, name, email, phone in accounts
        for term in sorted({*name.casefold().split(), email, phone} - {None})
    ]
    if rows:
        table = sa.table("account_term", sa.column("term"), sa.column("account_id"))
        op.bulk_insert(table, rows)


def downgrade() -> None:
    """Revert the migration."""
    op.drop_table("one_time_token")
    op.drop_table("refresh_token")
    op.drop_table("login_session")
    op.drop_table("account_term")
    with op.batch_alter_table("user_account") as table:
        table.drop_index("ix_user_account_role_is_active_created_at_id")
        table.drop_index("ix_user_account_is_active_created_at_id")
        table.drop_index("ix_user_account_role_created_at_id")
        table.drop_index("ix_user_account_created_at_id")
        table.drop_constraint("ck_user_account_language", type_="check")
        table.drop_constraint("ck_user_account_role", type_="check")
        for column in ("version", "erased_at", "email_verified_at", "language"):
            table.drop_column(column)
