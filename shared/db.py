"""PostgreSQL through SQLAlchemy Core on asyncpg."""

import asyncpg
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

# A statement that runs longer than this is not a look-up any more; better an error than a queue behind it.
STATEMENT_TIMEOUT_MS = 10_000
# A server in the same network answers in milliseconds or not at all.
CONNECT_SECONDS = 5


def database_url(url: str) -> URL:
    """`postgresql://…` as people write it, with our driver. Raises ValueError for another database."""
    parsed = make_url(url)
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise ValueError(f"CALLCARD_DATABASE__URL must begin with postgresql://, not {parsed.drivername}://")
    return parsed.set(drivername="postgresql+asyncpg")


def server_settings() -> dict[str, str]:
    """What every connection of ours says to PostgreSQL."""
    return {
        "application_name": "callcard",
        "statement_timeout": str(STATEMENT_TIMEOUT_MS),
        "jit": "off",  # compiling costs more than any of our statements
        # Our statements find rows by key, whatever the value; planning the look-up anew for a value costs 5 ms,
        # running it 0.3.
        "plan_cache_mode": "force_generic_plan",
    }


async def create_ring_pool(engine: AsyncEngine, size: int) -> "asyncpg.Pool[asyncpg.Record]":
    """asyncpg's own pool to the engine's database, for single statements that leave nothing behind on a connection:
    nothing is reset when one is given back. Connects when it is used."""

    async def leave_as_it_is(_: object) -> None: ...

    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    return await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        # A line that is quiet at night still answers the first caller of the morning at once.
        max_inactive_connection_lifetime=0,
        # Nor is a statement forgotten: to plan the look-up anew costs that caller ten times the look-up.
        max_cached_statement_lifetime=0,
        timeout=CONNECT_SECONDS,
        reset=leave_as_it_is,
        server_settings=server_settings(),
    )


def create_engine(url: str, pool_size: int = 5) -> AsyncEngine:
    """An engine; connects at first use, so it may be made while PostgreSQL is away."""
    return create_async_engine(
        database_url(url),
        pool_size=pool_size,
        # None beyond the pool: opening a connection costs more than waiting for one, most of all in a burst.
        max_overflow=0,
        pool_timeout=5,
        # A server that was restarted must not cost a request: a dead connection is found when it is taken.
        pool_pre_ping=False,
        connect_args={
            "timeout": CONNECT_SECONDS,
            "server_settings": server_settings(),
        },
    )
