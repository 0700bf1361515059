"""Who listens: a small copy in memory, so that what happens for nobody costs nothing."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.database import DATABASE_ERRORS, sentence
from card_api.events.outbox import EventType
from card_api.webhooks.models import webhooks
from shared.observability import logger

# A hook that another process has made is heard of so soon; the process that makes it knows it at once.
_REFRESH_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Listener:
    """An active web hook. format: callcard | zammad; events: the types it wants."""

    id: UUID
    format: str
    events: frozenset[str]


class HookBook:
    """`run()` keeps it fresh; while PostgreSQL is away the last copy holds."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._listeners: Sequence[Listener] | None = None
        self._log = logger("webhooks")

    async def listeners(self) -> Sequence[Listener]:
        """Every active web hook. Asks PostgreSQL only if it was never asked: raises one of `DATABASE_ERRORS` then."""
        if self._listeners is None:
            return await self.refresh()
        return self._listeners

    async def wanted(self, *types: EventType) -> bool:
        """Does any hook want one of these?"""
        wanted = set(types)
        return any(not wanted.isdisjoint(hook.events) for hook in await self.listeners())

    async def refresh(self) -> Sequence[Listener]:
        """Read it anew."""
        columns = (webhooks.c.id, webhooks.c.format, webhooks.c.events)
        statement = select(*columns).where(webhooks.c.active).order_by(webhooks.c.created_at, webhooks.c.id)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(statement)).all()
        self._listeners = tuple(Listener(row.id, row.format, frozenset(row.events)) for row in rows)
        return self._listeners

    async def run(self) -> None:
        """Until cancelled."""
        told = False
        while True:
            try:
                await self.refresh()
                told = False
            except DATABASE_ERRORS as error:
                if not told:
                    self._log.warning(
                        "the web hooks cannot be read; those known stay", reason=sentence(error)
                    )
                told = True
            await asyncio.sleep(_REFRESH_SECONDS)
