"""One transaction for one request, with PostgreSQL's errors as problems."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from card_api.database import DATABASE_ERRORS, refuses_value, sentence
from shared.errors import Unavailable, Unprocessable


@asynccontextmanager
async def within(connection: AsyncConnection | None, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """`connection`, for what belongs to the caller's transaction; without one a transaction of its own."""
    if connection is not None:
        yield connection
        return
    async with engine.begin() as own:
        yield own


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Commits when the block is left without an error. Raises `Unavailable` when PostgreSQL is away, `Unprocessable`
    for a value it will never take."""
    try:
        async with engine.begin() as connection:
            yield connection
    except DATABASE_ERRORS as error:
        if refuses_value(error):
            raise Unprocessable(f"The database refuses a value: {sentence(error)}.") from None
        raise Unavailable(
            "This cannot be done now: PostgreSQL is away or busy.", {"Retry-After": "2"}
        ) from None
