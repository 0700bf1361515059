"""Alembic's entry. The connection is handed in by `services.migrate`; there is no alembic.ini and no global URL."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=None, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
