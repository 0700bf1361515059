"""Finding a caller, measured, and once more when a dead connection was to blame."""

from time import perf_counter

from sqlalchemy.exc import DBAPIError

from card_api.lookup.repository import LookupRepository
from card_api.lookup.schemas import Found
from card_api.metrics import Metrics

SOURCE = "customers"
"""Name of our own tables among a card's sources."""


class LookupService:
    def __init__(self, repository: LookupRepository, metrics: Metrics) -> None:
        self._repository = repository
        self._seconds = metrics.lookup_seconds

    async def find(self, number: str) -> Found:
        """Everybody behind an E.164 number. Raises one of `DATABASE_ERRORS` when PostgreSQL cannot say."""
        began = perf_counter()
        outcome = "failed"
        try:
            found = await self._find(number)
            outcome = ("none", "one")[len(found.customers)] if len(found.customers) < 2 else "several"
            return found
        finally:
            self._seconds.labels(outcome).observe(perf_counter() - began)

    async def _find(self, number: str) -> Found:
        try:
            return await self._repository.find(number)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            # PostgreSQL was restarted since this connection was opened; the pool opens a new one now.
            return await self._repository.find(number)
