"""SQL that takes customers away."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import Uuid, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import text

# Those that were merged into it are customers of their own again, and have changed.
_RELEASE = text(
    """
    update customers set merged_into = null, revision = revision + 1, updated_at = clock_timestamp()
    where merged_into = any(:ids) returning id
    """
).bindparams(bindparam("ids", type_=ARRAY(Uuid)))
_DELETE = text("delete from customers where id = any(:ids)").bindparams(bindparam("ids", type_=ARRAY(Uuid)))


async def delete_customers(connection: AsyncConnection, ids: Collection[UUID]) -> list[UUID]:
    """With all that belongs to them. Returns those that were merged into them."""
    released = (await connection.execute(_RELEASE, {"ids": list(ids)})).scalars().all()
    await connection.execute(_DELETE, {"ids": list(ids)})
    return list(released)
