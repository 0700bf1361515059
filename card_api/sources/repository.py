"""Which customers of ours other systems' keys name."""

from collections.abc import Collection

from sqlalchemy import Text, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.sources.merge import Key, Ours

_OURS = text(
    """
    select c.source, c.external_id, s.id, s.source, s.external_id
    from unnest(:sources, :external_ids) as asked (source, external_id)
    join customers c on c.source = asked.source and c.external_id = asked.external_id
    join customers s on s.id = coalesce(c.merged_into, c.id)
    """
).bindparams(bindparam("sources", type_=ARRAY(Text)), bindparam("external_ids", type_=ARRAY(Text)))


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
