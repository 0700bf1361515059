"""A batch into the tables: one transaction, by the same rule as a single PUT (card_api.customers.records)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.customers.document import read_customers
from card_api.customers.records import Upserted, upsert_customers
from card_api.customers.rows import CustomerRows
from card_api.database import refuses_value, sentence
from card_api.events.outbox import Event, EventType, Outbox

# A batch takes a second; what takes longer than this waits for somebody's lock.
_STATEMENT_MS = 60_000
# Two loads of the same customers, or a merge meanwhile, may stand in each other's way; one begins its batch anew.
_ATTEMPTS = 5
_IN_EACH_OTHERS_WAY = ("40001", "40P01")


class Status(StrEnum):
    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Stored:
    status: Status
    id: UUID | None = None
    error: str | None = None


class Store:
    """`dry_run`: everything is done and taken back. `outbox` hears of each record that was made or changed."""

    def __init__(self, engine: AsyncEngine, outbox: Outbox, *, dry_run: bool = False) -> None:
        self._engine = engine
        self._outbox = outbox
        self._dry_run = dry_run

    async def store(self, rows: Sequence[CustomerRows]) -> list[Stored]:
        """What became of each; each key may come once. A value that PostgreSQL refuses fails its own row only. Raises
        one of `DATABASE_ERRORS` when PostgreSQL is away: then nothing of this batch is there."""
        if not rows:
            return []
        for attempt in range(_ATTEMPTS):
            try:
                return await self._write(rows)
            except DBAPIError as error:
                if _in_each_others_way(error) and attempt < _ATTEMPTS - 1:
                    continue
                if not refuses_value(error):
                    raise
                return await self._halves(rows, error)
        raise AssertionError("the last attempt returns or raises")

    async def _halves(self, rows: Sequence[CustomerRows], error: DBAPIError) -> list[Stored]:
        """Find the row that PostgreSQL does not take; the others are stored."""
        if len(rows) == 1:
            return [Stored(Status.FAILED, error=f"the database refuses it: {sentence(error)}")]
        middle = len(rows) // 2
        return [*await self.store(rows[:middle]), *await self.store(rows[middle:])]

    async def _write(self, rows: Sequence[CustomerRows]) -> list[Stored]:
        async with self._engine.connect() as connection, connection.begin() as transaction:
            await connection.execute(
                text("select set_config('statement_timeout', :ms, true)"), {"ms": str(_STATEMENT_MS)}
            )
            done = await upsert_customers(connection, rows)
            if self._dry_run:
                await transaction.rollback()
            else:
                await self._tell(connection, done)
        return [Stored(_status(one), one.id) for one in done]

    async def _tell(self, connection: AsyncConnection, done: Sequence[Upserted]) -> None:
        if not await self._outbox.wanted(EventType.CUSTOMER_CREATED, EventType.CUSTOMER_CHANGED):
            return
        made = {str(one.id) for one in done if one.created}
        changed = [one.id for one in done if one.changed]
        if changed:
            at = datetime.now(UTC)
            await self._outbox.add(
                connection,
                [
                    Event(
                        EventType.CUSTOMER_CREATED if customer.id in made else EventType.CUSTOMER_CHANGED,
                        at,
                        customer.to_dict(),
                    )
                    for customer in await read_customers(connection, changed)
                ],
            )


def _status(one: Upserted) -> Status:
    if one.created:
        return Status.CREATED
    return Status.UPDATED if one.changed else Status.UNCHANGED


def _in_each_others_way(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) in _IN_EACH_OTHERS_WAY
