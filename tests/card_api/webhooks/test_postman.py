"""PgQueuer as the worker runs it, on a real PostgreSQL."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
from pgqueuer.adapters.drivers.asyncpg import AsyncpgPoolDriver
from pgqueuer.domain.models import HealthCheckEvent

from card_api.background import end
from card_api.webhooks.postman import _Manager, _Queries


class SlowToListen(AsyncpgPoolDriver):
    """As on a busy machine."""

    async def add_listener(self, *args: Any, **more: Any) -> None:
        await asyncio.sleep(0.3)
        await super().add_listener(*args, **more)


async def test_the_first_question_whether_it_hears_is_heard(database_url: str) -> None:
    heard = asyncio.Event()

    class Manager(_Manager):
        async def listener_healthy(self, *args: Any, **more: Any) -> HealthCheckEvent:
            answer = await super().listener_healthy(*args, **more)
            heard.set()
            return answer

    async with asyncpg.create_pool(database_url, min_size=2, max_size=4) as pool:
        queue = Manager(_Queries(SlowToListen(pool)))
        taking = asyncio.create_task(queue.run(log_aggregation_interval=timedelta(0)))
        try:
            await asyncio.wait_for(heard.wait(), 5)
        finally:
            queue.shutdown.set()
            await asyncio.wait({taking}, timeout=5)
            await end([taking])
