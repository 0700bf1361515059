"""Finding a caller, measured, and once more when a dead connection was to blame."""

import asyncio
from time import perf_counter

import asyncpg

from card_api.backoff import Backoff
from card_api.database import DATABASE_ERRORS
from card_api.lookup.repository import LookupRepository
from card_api.lookup.schemas import Found, Question
from card_api.metrics import Metrics

SOURCE = "customers"
"""Name of our own tables among a card's sources."""

_NOBODY = Question(None)

# By the number of customers; the last one when nobody can say.
_OUTCOMES = ("none", "one", "several", "failed")


class LookupService:
    def __init__(self, repository: LookupRepository, metrics: Metrics) -> None:
        self._repository = repository
        # labels() looks its child up anew each time, which costs more than to count.
        self._seconds = {outcome: metrics.lookup_seconds.labels(outcome) for outcome in _OUTCOMES}

    async def find(self, question: Question) -> Found:
        """Everybody behind a number, an account, or what was said in a call. Raises one of `DATABASE_ERRORS` when
        PostgreSQL cannot say."""
        began = perf_counter()
        outcome = "failed"
        try:
            found = await self._find(question)
            outcome = _OUTCOMES[min(len(found.customers), 2)]
            return found
        finally:
            self._seconds[outcome].observe(perf_counter() - began)

    async def warm_up(self, connections: int) -> None:
        """Open the pool's connections and have the statement planned on each, so that the first caller does not wait
        for it. Returns when that is done, however long PostgreSQL is away."""
        backoff = Backoff()
        while True:
            try:
                await asyncio.gather(*(self._repository.find(_NOBODY) for _ in range(connections)))
            except DATABASE_ERRORS:
                await asyncio.sleep(backoff.next())  # others say that it is away
            else:
                return

    async def _find(self, question: Question) -> Found:
        try:
            return await self._repository.find(question)
        except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.AdminShutdownError, OSError):
            # PostgreSQL was restarted since this connection was opened; the pool opens a new one now.
            return await self._repository.find(question)
