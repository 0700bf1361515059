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


async def connect(engine: AsyncEngine) -> "asyncpg.Connection[asyncpg.Record]":
    """A connection of asyncpg's own to the engine's database, for one statement again and again."""
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    return await asyncpg.connect(
        url,
        # To plan the look-up anew costs the first caller of the morning ten times the look-up.
        max_cached_statement_lifetime=0,
        timeout=CONNECT_SECONDS,
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
