"""Which customers of ours other systems' keys name."""

from collections.abc import Collection

from sqlalchemy import Text, bindparam, column, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.customers.models import customers
from card_api.sources.merge import Key, Ours


class KeyRepository:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def ours(self, keys: Collection[Key]) -> dict[Key, Ours]:
        """Those of `keys` that our tables have, each with the record that stands for it. Raises one of
        `DATABASE_ERRORS`."""
        if not keys:
            return {}
        async with self._engine.connect() as connection:
            rows = await connection.execute(
                _OURS, {"sources": [key[0] for key in keys], "external_ids": [key[1] for key in keys]}
            )
            return {(row[0], row[1]): Ours(str(row[2]), row[3], row[4]) for row in rows}


_asked = func.unnest(
    bindparam("sources", type_=ARRAY(Text)), bindparam("external_ids", type_=ARRAY(Text))
).table_valued(column("source", Text), column("external_id", Text), name="asked")
_first = customers.alias("first")
_survivor = customers.alias("survivor")
_OURS = (
    select(
        _first.c.source,
        _first.c.external_id,
        _survivor.c.id,
        _survivor.c.source,
        _survivor.c.external_id,
    )
    .select_from(_asked)
    .join(_first, (_first.c.source == _asked.c.source) & (_first.c.external_id == _asked.c.external_id))
    .join(_survivor, _survivor.c.id == func.coalesce(_first.c.merged_into, _first.c.id))
)
