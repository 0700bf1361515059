"""The worker on a real PostgreSQL: PgQueuer's jobs, real requests, and what happens when somebody dies."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.events.outbox import Event, EventType
from card_api.webhooks.book import HookBook
from card_api.webhooks.hooks import HookRepository
from card_api.webhooks.models import webhook_deliveries
from card_api.webhooks.outbox import HookOutbox
from services.worker import worker
from shared.settings import Settings
from tests.card_api.webhooks.receiver import Receiver, Request, receiving

SECRET = "a secret of the tests, long enough"
# Short, so that a killed worker's job is taken over while the test waits.
BEAT = timedelta(seconds=1)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as it:
        yield it


class Site:
    """Who says events here."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.book = HookBook(engine)

    async def hook(self, url: str) -> UUID:
        row = await HookRepository(self.engine).add("CRM", url, "callcard", [str(t) for t in EventType])
        await self.book.refresh()
        found: UUID = row.id
        return found

    async def say(self, *call_ids: str) -> None:
        at = datetime.now(UTC)
        events = [Event(EventType.CALL_STARTED, at, {"call_id": call_id}) for call_id in call_ids]
        async with self.engine.begin() as connection:
            await HookOutbox(self.book).add(connection, events)

    async def until(self, done: Callable[[list[Any]], bool]) -> None:
        """Until the table of deliveries is so."""
        async with asyncio.timeout(20):
            while True:
                async with self.engine.connect() as connection:
                    rows = list(await connection.execute(select(webhook_deliveries)))
                if done(rows):
                    return
                await asyncio.sleep(0.02)

    async def jobs(self) -> int:
        async with self.engine.connect() as connection:
            return int(await connection.scalar(text("select count(*) from pgqueuer")) or 0)


@pytest.fixture
def site(engine: AsyncEngine) -> Site:
    return Site(engine)


@asynccontextmanager
async def working(database_url: str, heartbeat: timedelta = BEAT) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        worker(Settings(), database_url=database_url, auth_secret=SECRET, heartbeat=heartbeat) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://worker") as client,
    ):
        yield client


def delivered(count: int) -> Callable[[list[Any]], bool]:
    return lambda rows: sum(row.state == "delivered" for row in rows) == count


async def test_what_is_said_before_and_while_it_runs_arrives(
    site: Site, receiver: Receiver, database_url: str
) -> None:
    await site.hook(receiver.url)
    await site.say("a", "b")
    async with working(database_url) as client:
        await receiver.came(2)
        await site.say("c")
        await receiver.came(3)
        await site.until(delivered(3))
        assert (await client.get("/readyz")).status_code == 200
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert 'callcard_webhook_tries_total{outcome="delivered"} 3.0' in (await client.get("/metrics")).text
    assert {r.json["data"]["call_id"] for r in receiver.got} == {"a", "b", "c"}
    assert await site.jobs() == 0


async def test_a_hook_that_hangs_holds_up_nobody(site: Site, receiver: Receiver, database_url: str) -> None:
    hung = asyncio.Event()

    async def hang(_: Request) -> int:
        await hung.wait()
        return 200

    async with receiving() as slow:
        slow.answer = hang
        await site.hook(slow.url)
        await site.say(*(f"slow-{n}" for n in range(30)))
        await site.hook(receiver.url)
        async with working(database_url):
            await slow.came(4)
            await site.say("quick")
            await receiver.came(1)
            assert len(slow.got) == 4, "so many at a time and no more"
            hung.set()
            await slow.came(31)
            await site.until(delivered(32))


async def test_a_failed_one_comes_again_by_itself(
    site: Site, receiver: Receiver, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("card_api.webhooks.retry._FIRST_SECONDS", 0.1)
    answers = iter([500, 503, 204])

    async def ill_at_first(_: Request) -> int:
        return next(answers)

    receiver.answer = ill_at_first
    await site.hook(receiver.url)
    async with working(database_url):
        await site.say("a")
        await site.until(delivered(1))
    assert len({r.headers["webhook-id"] for r in receiver.got}) == 1
    assert len(receiver.got) == 3


async def test_what_is_on_its_way_when_it_is_asked_to_stop_is_handed_back(
    site: Site, receiver: Receiver, database_url: str
) -> None:
    hung = asyncio.Event()

    async def hang(_: Request) -> int:
        await hung.wait()
        return 200

    receiver.answer = hang
    await site.hook(receiver.url)
    await site.say("a")
    async with working(database_url):
        await receiver.came(1)
    async with site.engine.connect() as connection:
        jobs = (await connection.execute(text("select status::text from pgqueuer"))).scalars().all()
    assert jobs == ["queued"], "another worker takes it at once"
    hung.set()
    async with working(database_url):
        await receiver.came(2)
        await site.until(delivered(1))


_VICTIM = """
import asyncio, sys
from datetime import timedelta
from services.worker import worker
from shared.settings import Settings

async def main():
    async with worker(Settings(), database_url=sys.argv[1], auth_secret=sys.argv[2],
                      heartbeat=timedelta(seconds=1)):
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_what_a_killed_worker_had_is_delivered_by_the_next(
    site: Site, receiver: Receiver, database_url: str
) -> None:
    hung = asyncio.Event()

    async def hang(_: Request) -> int:
        await hung.wait()
        return 200

    receiver.answer = hang
    await site.hook(receiver.url)
    await site.say("a")
    victim = await asyncio.create_subprocess_exec(sys.executable, "-c", _VICTIM, database_url, SECRET)
    try:
        await receiver.came(1, seconds=40)
    finally:
        victim.send_signal(signal.SIGKILL)
        await victim.wait()
    hung.set()
    assert await site.jobs() == 1
    async with working(database_url):
        await receiver.came(2)
        await site.until(delivered(1))
    first, second = receiver.got
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert await site.jobs() == 0


async def test_postgresql_that_goes_away_is_waited_for(
    site: Site, receiver: Receiver, database_url: str
) -> None:
    await site.hook(receiver.url)
    async with working(database_url) as client:
        await site.say("a")
        await receiver.came(1)
        await site.until(delivered(1))
        async with site.engine.connect() as connection:
            await connection.execute(
                text(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where datname = current_database() and pid <> pg_backend_pid()"
                )
            )
        await site.engine.dispose()
        await site.say("b")
        await receiver.came(2)
        await site.until(delivered(2))
        assert (await client.get("/readyz")).status_code == 200
