"""Alembic's entry: runs the revisions on the connection, and in the transaction, of the caller."""

from alembic import context
from sqlmodel import SQLModel

import app.tables  # noqa: F401  # registers all tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
)
context.run_migrations()
