"""Alembic environment: runs migrations on the caller's connection, in the caller's transaction."""

from alembic import context
from sqlmodel import SQLModel

import app.tables  # noqa: F401  # registers all tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
)
context.run_migrations()
