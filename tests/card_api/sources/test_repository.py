"""Keys of other systems' customers and the records of ours that they name."""

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.sources.merge import Ours
from card_api.sources.repository import KeyRepository

_PUT = text(
    "insert into customers (source, external_id, name) values (:s, :e, 'x') returning cast(id as text)"
)
_MERGE = text("update customers set merged_into = cast(:into as uuid) where cast(id as text) = :id")


async def test_a_key_names_its_record_or_the_one_it_was_merged_into(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        alone = await connection.scalar(_PUT, {"s": "crm", "e": "1"})
        survivor = await connection.scalar(_PUT, {"s": "billing", "e": "77"})
        merged = await connection.scalar(_PUT, {"s": "crm", "e": "2"})
        await connection.execute(_MERGE, {"into": survivor, "id": merged})
    repository = KeyRepository(engine)
    assert await repository.ours([("crm", "1"), ("crm", "2"), ("crm", "3"), ("billing", "1")]) == {
        ("crm", "1"): Ours(alone, "crm", "1"),
        ("crm", "2"): Ours(survivor, "billing", "77"),
    }
    assert await repository.ours([]) == {}
