"""All SQL about scripts. Everything runs in the caller's transaction."""

from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from card_api.scripts.models import scripts
from card_api.scripts.schemas import Script

# A script is chosen from a list in memory for each card; a site with more than this has something else in mind.
MAX_SCRIPTS = 1000


async def read_scripts(connection: AsyncConnection) -> list[Script]:
    """All, by place."""
    place = (scripts.c.did, scripts.c.queue, scripts.c.category, scripts.c.language, scripts.c.id)
    rows = await connection.execute(select(scripts).order_by(*place).limit(MAX_SCRIPTS))
    return [_script(row) for row in rows]


async def read_script(connection: AsyncConnection, script_id: UUID, *, lock: bool = False) -> Script | None:
    """`lock`: nobody else changes it until the transaction ends."""
    statement = select(scripts).where(scripts.c.id == script_id)
    row = (await connection.execute(statement.with_for_update() if lock else statement)).one_or_none()
    return None if row is None else _script(row)


async def count_scripts(connection: AsyncConnection) -> int:
    return await connection.scalar(select(func.count()).select_from(scripts)) or 0


async def insert_script(connection: AsyncConnection, values: dict[str, Any]) -> Script:
    """Raises IntegrityError for a place that has a script, or a category that there is not."""
    return _script((await connection.execute(insert(scripts).values(values).returning(scripts))).one())


async def update_script(
    connection: AsyncConnection, script_id: UUID, values: dict[str, Any]
) -> Script | None:
    """None if there is no such script. Raises what `insert_script` does."""
    statement = update(scripts).where(scripts.c.id == script_id).values(**values, updated_at=func.now())
    row = (await connection.execute(statement.returning(scripts))).one_or_none()
    return None if row is None else _script(row)


async def delete_script(connection: AsyncConnection, script_id: UUID) -> bool:
    """False if there is none."""
    return (await connection.execute(delete(scripts).where(scripts.c.id == script_id))).rowcount > 0


def _script(row: Any) -> Script:
    return Script(
        id=str(row.id),
        did=row.did,
        queue=row.queue,
        category=row.category,
        language=row.language,
        text=row.text,
        updated_at=row.updated_at,
    )
