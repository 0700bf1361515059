"""SQL of what is said about a number, whoever has it: not to be called, on the black list."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Table, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from card_api.customers.models import black_list, do_not_call

DO_NOT_CALL = do_not_call
BLACK_LIST = black_list


async def read_numbers(
    connection: AsyncConnection,
    table: Table,
    after: str | None,
    limit: int,
    where: Sequence[ColumnElement[bool]] = (),
) -> list[dict[str, Any]]:
    """Rows by number."""
    statement = select(table).where(*where).order_by(table.c.e164).limit(limit)
    if after is not None:
        statement = statement.where(table.c.e164 > after)
    return [dict(row) for row in (await connection.execute(statement)).mappings()]


async def read_number(connection: AsyncConnection, table: Table, e164: str) -> dict[str, Any] | None:
    row = (await connection.execute(select(table).where(table.c.e164 == e164))).mappings().one_or_none()
    return None if row is None else dict(row)


async def put_number(
    connection: AsyncConnection, table: Table, e164: str, values: Mapping[str, Any]
) -> dict[str, Any]:
    """The row as it is then."""
    said = {**values, "at": func.now()}
    statement = insert(table).values(e164=e164, **said)
    upsert = statement.on_conflict_do_update(index_elements=["e164"], set_=said)
    return dict((await connection.execute(upsert.returning(*table.c))).mappings().one())


async def delete_number(connection: AsyncConnection, table: Table, e164: str) -> bool:
    """False if it was not there."""
    return (await connection.execute(delete(table).where(table.c.e164 == e164))).rowcount > 0
