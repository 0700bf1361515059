"""Bulk loads of the API: whose turn it is, the worker they share, and connections of their own."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.customers.bulk.load import Report, load
from card_api.customers.bulk.reading import Rows
from card_api.customers.bulk.rows import Checked, How
from card_api.customers.bulk.store import Store
from card_api.customers.bulk.text import RawRow
from card_api.customers.bulk.worker import Worker
from card_api.database import DATABASE_ERRORS
from card_api.events.outbox import Outbox
from shared.errors import Conflict, TooManyRequests

# Each keeps PostgreSQL busy; a third would only make all of them slower, and rings too.
_LOADS = 2
CONNECTIONS = 2 * _LOADS + 1
"""Of a load: one that holds its turn, one that writes. One for exports. Never those that rings need."""
# Smaller than a file's from the command line: what comes back from the worker is unpacked in this process, and a ring
# waits for that (1 ms).
_BATCH = 250
# Half of an advisory lock's key: which kind of turn. Any number no one else uses.
_TURN = 0x42554C4B


class BulkLoads:
    def __init__(self, engine: AsyncEngine, outbox: Outbox) -> None:
        """`engine`: with CONNECTIONS of its own; closed with us."""
        self.engine = engine
        self._outbox = outbox
        self._worker = Worker()
        self._running = 0

    async def close(self) -> None:
        await self._worker.close()
        await self.engine.dispose()

    @asynccontextmanager
    async def turn(self, key: UUID) -> AsyncIterator[None]:
        """This API key's turn, in all processes. Raises Conflict if it has one already, TooManyRequests if there are
        enough here."""
        if self._running >= _LOADS:
            raise TooManyRequests(
                f"{_LOADS} bulk loads are running here. Try again when one is done.", {"Retry-After": "30"}
            )
        self._running += 1
        try:
            autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")
            async with autocommit.connect() as connection:
                wanted = {"turn": _TURN, "key": key.int & 0x7FFFFFFF}
                if not await connection.scalar(text("select pg_try_advisory_lock(:turn, :key)"), wanted):
                    raise Conflict("This API key is loading customers already. Wait until that load is done.")
                try:
                    yield
                finally:
                    with suppress(*DATABASE_ERRORS):  # a connection that is gone has no locks
                        await connection.execute(text("select pg_advisory_unlock(:turn, :key)"), wanted)
        finally:
            self._running -= 1

    def load(self, rows: Rows, how: How, *, dry_run: bool) -> AsyncGenerator[list[Report], None]:
        async def check(batch: Sequence[RawRow]) -> list[Checked]:
            return await self._worker.check(batch, how)

        return load(rows, check, Store(self.engine, self._outbox, dry_run=dry_run), _BATCH)
