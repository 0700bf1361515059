"""Which records are one customer: one of them stands for the others, never in a chain."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Uuid, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import text

from card_api.customers.locks import lock
from shared.errors import Conflict, NotFound

_IDS = bindparam("ids", type_=ARRAY(Uuid))
_SURVIVOR = bindparam("survivor", type_=Uuid)
# Also those that stood behind a duplicate stand behind the survivor now.
_MERGE = text(
    """
    update customers set merged_into = :survivor, revision = revision + 1, updated_at = clock_timestamp()
    where id = any(:ids) or merged_into = any(:ids) returning id
    """
).bindparams(_IDS, _SURVIVOR)
_UNMERGE = text(
    "update customers set merged_into = null, revision = revision + 1, updated_at = clock_timestamp() where id = :id"
).bindparams(bindparam("id", type_=Uuid))
_TOUCH = text(
    "update customers set revision = revision + 1, updated_at = clock_timestamp() where id = :id"
).bindparams(bindparam("id", type_=Uuid))


async def merge(connection: AsyncConnection, survivor: UUID, duplicates: Sequence[UUID]) -> list[UUID]:
    """All records that have changed, the survivor first; [] if they were one already. Raises `NotFound`, `Conflict`."""
    heads = await lock(connection, [survivor, *duplicates])
    for wanted in (survivor, *duplicates):
        if wanted not in heads:
            raise NotFound(f"No customer {wanted} is known.")
    if survivor in duplicates:
        raise Conflict("A customer cannot be merged into itself: leave it out of the duplicates.")
    above = heads[survivor].merged_into
    if above is not None:
        raise Conflict(
            f"The customer {survivor} is merged into {above}: merge into that one, or unmerge it first."
        )
    for duplicate in duplicates:
        elsewhere = heads[duplicate].merged_into
        if elsewhere not in (None, survivor):
            raise Conflict(f"The customer {duplicate} is merged into {elsewhere}: unmerge it first.")
    new = [duplicate for duplicate in duplicates if heads[duplicate].merged_into is None]
    if not new:
        return []
    changed = [row.id for row in await connection.execute(_MERGE, {"survivor": survivor, "ids": new})]
    await connection.execute(_TOUCH, {"id": survivor})
    return [survivor, *changed]


async def unmerge(connection: AsyncConnection, id_: UUID) -> UUID:
    """Who stood for it. Raises `NotFound`, `Conflict` if nobody did."""
    head = (await lock(connection, [id_])).get(id_)
    if head is None:
        raise NotFound(f"No customer {id_} is known.")
    if head.merged_into is None:
        raise Conflict(
            f"The customer {id_} is merged into nobody. Unmerge one of those in its `merged`, by their ids."
        )
    await connection.execute(_UNMERGE, {"id": id_})
    await connection.execute(_TOUCH, {"id": head.merged_into})
    return head.merged_into


async def touch(connection: AsyncConnection, id_: UUID) -> None:
    """Something that belongs to the record has changed."""
    await connection.execute(_TOUCH, {"id": id_})
