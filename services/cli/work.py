"""Where commands work: on the configured database, on the embedded one of a running Callcard, or on an embedded one
that is started for the moment."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.agents.service import AgentError
from card_api.api_keys.service import ApiKeyError
from card_api.database import DATABASE_ERRORS, sentence
from services.cli.output import fail
from services.cli.which import settings_of
from services.embedded import EmbeddedPostgres
from services.embedded.running import running
from services.migrate import upgrade
from shared.bus import connect_redis
from shared.db import create_engine
from shared.settings import Settings

Answer = TypeVar("Answer")


@contextlib.contextmanager
def database(settings: Settings) -> Iterator[tuple[str, str]]:
    """(database URL, Redis URL or '') that the settings mean."""
    redis = settings.redis.url.get_secret_value() if settings.redis.url else ""
    if settings.database.url is not None:
        yield settings.database.url.get_secret_value(), redis
        return
    found = running(settings.data_dir)
    if found is not None:
        yield found[0], redis or found[1]
        return
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    postgres = EmbeddedPostgres(Path(settings.data_dir)).start()
    try:
        yield postgres.url, redis
    finally:
        postgres.stop()


def with_database(demo: bool, work: Callable[[AsyncEngine, Redis], Awaitable[Answer]]) -> Answer:
    """What `work` gives on the newest schema. Foreseen errors end the command with a sentence."""
    with database(settings_of(demo)) as (url, redis_url):

        async def run() -> Answer:
            await upgrade(url)
            engine = create_engine(url, pool_size=1)
            # Port 9 (discard) refuses at once: without a Redis nobody is running who had to be told.
            redis = connect_redis(redis_url or "redis://127.0.0.1:9/0")
            try:
                return await work(engine, redis)
            finally:
                await redis.aclose()
                await engine.dispose()

        return run_it(run)


def run_it(work: Callable[[], Awaitable[Answer]]) -> Answer:
    """What `work` gives. Foreseen errors end the command with a sentence."""

    async def run() -> Answer:
        return await work()

    try:
        return asyncio.run(run())
    except (AgentError, ApiKeyError) as error:
        fail(str(error))
    except DATABASE_ERRORS as error:
        fail(f"The database cannot be used: {sentence(error)}", 1)
