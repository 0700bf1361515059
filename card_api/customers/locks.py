"""SQL that takes customers' rows for a change, and takes them away."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import text


@dataclass(frozen=True, slots=True)
class Head:
    """What a change of a record looks at first."""

    id: UUID
    source: str
    external_id: str
    merged_into: UUID | None
    revision: int


_LOCK = "select id, source, external_id, merged_into, revision from customers where {} order by id for update"
_BY_IDS = text(_LOCK.format("id = any(:ids)")).bindparams(bindparam("ids", type_=ARRAY(Uuid)))
_BY_KEY = text(_LOCK.format("source = :source and external_id = :external_id"))
_GROUP = text(_LOCK.format("id = :id or merged_into = :id")).bindparams(bindparam("id", type_=Uuid))

_EXISTS = text("select exists (select from customers where id = :id)").bindparams(bindparam("id", type_=Uuid))


async def lock(connection: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, Head]:
    """Those of these records that are there, kept from other changes until the transaction ends."""
    return {row.id: _head(row) for row in await connection.execute(_BY_IDS, {"ids": list(ids)})}


async def lock_by_key(connection: AsyncConnection, source: str, external_id: str) -> Head | None:
    row = (await connection.execute(_BY_KEY, {"source": source, "external_id": external_id})).one_or_none()
    return None if row is None else _head(row)


async def lock_group(connection: AsyncConnection, survivor: UUID) -> list[Head]:
    """The record and all that are merged into it."""
    return [_head(row) for row in await connection.execute(_GROUP, {"id": survivor})]


def _head(row: Any) -> Head:
    return Head(row.id, row.source, row.external_id, row.merged_into, row.revision)


async def exists(connection: AsyncConnection, id_: UUID) -> bool:
    return bool(await connection.scalar(_EXISTS, {"id": id_}))
