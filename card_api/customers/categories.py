"""SQL of the categories that customers are sorted into."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from card_api.customers.models import categories, customers
from card_api.etag import etag_of


@dataclass(frozen=True, slots=True)
class CategoryRecord:
    """`priority`: higher ranks first."""

    code: str
    label: str
    colour: str | None = None
    priority: int = 0

    @property
    def etag(self) -> str:
        return etag_of(repr((self.code, self.label, self.colour, self.priority)).encode())


async def upsert_categories(connection: AsyncConnection, records: Sequence[CategoryRecord]) -> None:
    """Create these categories or make them as given; each code once."""
    if not records:
        return
    statement = insert(categories).values(
        [{"code": r.code, "label": r.label, "colour": r.colour, "priority": r.priority} for r in records]
    )
    changed = {name: statement.excluded[name] for name in ("label", "colour", "priority")}
    await connection.execute(statement.on_conflict_do_update(index_elements=["code"], set_=changed))


async def read_categories(connection: AsyncConnection) -> list[CategoryRecord]:
    """Highest priority first."""
    statement = select(categories).order_by(categories.c.priority.desc(), categories.c.code)
    return [_record(row) for row in await connection.execute(statement)]


async def read_category(
    connection: AsyncConnection, code: str, *, lock: bool = False
) -> CategoryRecord | None:
    """`lock`: nobody else changes it until the transaction ends."""
    statement = select(categories).where(categories.c.code == code)
    row = (await connection.execute(statement.with_for_update() if lock else statement)).one_or_none()
    return None if row is None else _record(row)


async def delete_category(connection: AsyncConnection, code: str) -> bool:
    """False if there is none. Its customers go on without a category."""
    await connection.execute(
        update(customers)
        .where(customers.c.category == code)
        .values(
            category=None,
            said=None,
            revision=customers.c.revision + 1,
            updated_at=func.clock_timestamp(),
        )
    )
    return (await connection.execute(delete(categories).where(categories.c.code == code))).rowcount > 0


def _record(row: Any) -> CategoryRecord:
    return CategoryRecord(row.code, row.label, row.colour, row.priority)
