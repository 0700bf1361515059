"""Bringing the database to the newest schema: `callcard db upgrade`, and the start of `run all`."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

import migrations
from shared.db import database_url

# Two containers that start at once must not migrate at once. Any constant number does; this one is ours.
_LOCK = 0x43414C4C


async def upgrade(url: str) -> tuple[str | None, str | None]:
    """Run the missing migrations; returns the schema's revision before and after. Safe to call from several at once."""
    engine = create_async_engine(database_url(url))
    try:
        async with engine.connect() as connection:
            await connection.execute(text("select pg_advisory_lock(:lock)"), {"lock": _LOCK})
            await connection.commit()
            try:
                return await connection.run_sync(_upgrade)
            finally:
                await connection.execute(text("select pg_advisory_unlock(:lock)"), {"lock": _LOCK})
                await connection.commit()
    finally:
        await engine.dispose()


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection) -> tuple[str | None, str | None]:
    config = _config(connection)
    before = MigrationContext.configure(connection).get_current_revision()
    head = ScriptDirectory.from_config(config).get_current_head()
    connection.commit()
    if before != head:
        command.upgrade(config, "head")
        connection.commit()
    return before, head
