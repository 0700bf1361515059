"""Bringing the database to the newest schema: `callcard db upgrade`, and the start of `run all`."""

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

import migrations
from shared.db import database_url

# Two containers that start at once must not migrate at once. Any constant number does; this one is ours.
_LOCK = 0x43414C4C


async def upgrade(url: str) -> tuple[str | None, str]:
    """Run the missing migrations; returns the schema's revision before and after. Safe to call from several at once."""
    engine = create_async_engine(database_url(url))
    newest = migrations.newest()
    try:
        async with engine.connect() as connection:
            before = await _revision(connection)
            if before == newest:
                return before, newest
            await connection.execute(text("select pg_advisory_lock(:lock)"), {"lock": _LOCK})
            await connection.commit()
            try:
                before = await _revision(connection)
                if before != newest:  # somebody else may have been first
                    await connection.run_sync(_upgrade)
                return before, newest
            finally:
                await connection.execute(text("select pg_advisory_unlock(:lock)"), {"lock": _LOCK})
                await connection.commit()
    finally:
        await engine.dispose()


async def _revision(connection: AsyncConnection) -> str | None:
    """What Alembic has written down; None in an empty database."""
    known = await connection.scalar(text("select to_regclass('alembic_version')"))
    found: str | None = (
        await connection.scalar(text("select version_num from alembic_version")) if known else None
    )
    await connection.commit()
    return found


def _upgrade(connection: Connection) -> None:
    # Here, because it takes a second to import and only the first start of a version needs it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations.FOLDER))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    connection.commit()
