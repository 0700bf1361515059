"""From the stream of receipts to the table, on a real Valkey and a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.background import end
from card_api.database import DATABASE_ERRORS
from card_api.metrics import Metrics
from card_api.receipts.keeper import KEPT, RingKeeper
from card_api.receipts.models import rings
from card_api.receipts.reader import GROUP, ReceiptReader
from card_api.receipts.repository import RingRepository
from card_api.receipts.tabs import tabs_of_gateway
from shared.bus import connect_redis
from shared.db import create_engine
from shared.presence import Moved, Presence
from shared.push import RECEIPTS_STREAM, add_receipt
from tests.card_api.conftest import until
from tests.card_api.makers import at
from tests.card_api.receipts.makers import card, receipt

AWAY = "postgresql://nobody@127.0.0.1:9/none"


class Clock:
    """Seconds of the makers' calls."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> datetime:
        return at(self.seconds)


class Process:
    """A card API's part in it, ticking when the test says so."""

    def __init__(self, engine: AsyncEngine, redis: Redis, clock: Clock) -> None:
        self.metrics = Metrics()
        self.reader = ReceiptReader(redis, self.metrics.receipts_malformed, clock, claim_idle_ms=300)
        self.repository = RingRepository(engine)
        self.clock = clock
        self.keeper = RingKeeper(self.repository, self.reader, tabs_of_gateway(redis), self.metrics, clock)

    def pushed(self, seconds: float, **of: Any) -> None:
        self.keeper.book.pushed(card(**of), at(seconds))

    async def read(self, count: int) -> None:
        """Wait for so many receipts to have come."""

        async def came() -> bool:
            return len(self.reader.waiting) >= count

        await until(came)

    async def tick(self, seconds: float) -> None:
        self.clock.seconds = seconds
        await self.keeper.tick()

    def counted(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


@asynccontextmanager
async def process(engine: AsyncEngine, redis: Redis, clock: Clock | None = None) -> AsyncIterator[Process]:
    one = Process(engine, redis, clock or Clock())
    reading = asyncio.create_task(one.reader.run())
    try:
        yield one
    finally:
        await end([reading])


async def table(engine: AsyncEngine) -> list[Any]:
    async with engine.connect() as connection:
        rows: list[Any] = list(
            (
                await connection.execute(select(rings).order_by(rings.c.call_id, rings.c.agent, rings.c.rang))
            ).all()
        )
        return rows


async def left(redis: Redis) -> int:
    return int(await redis.xlen(RECEIPTS_STREAM))


async def test_a_ring_that_is_shown_is_one_row_with_all_its_times(engine: AsyncEngine, redis: Redis) -> None:
    async with process(engine, redis) as one:
        one.pushed(1.1, looked_up=at(0.5))
        await add_receipt(redis, receipt(1.25))
        await add_receipt(redis, receipt(1.2, client="another tab"))
        await one.read(2)
        await one.tick(1.5)
        (row,) = await table(engine)
        assert (row.call_id, row.agent, row.arrived, row.looked_up) == ("main-1.1", "101", at(0), at(0.5))
        assert (row.rang, row.pushed, row.shown, row.opened) == (at(1), at(1.1), at(1.2), None)
        assert await left(redis) == 0
        # A click later, and again what is known already: the row changes once.
        await add_receipt(redis, receipt(7, "card.opened"))
        await add_receipt(redis, receipt(8))
        await one.read(2)
        await one.tick(8)
        (row,) = await table(engine)
        assert (row.shown, row.opened, row.unseen) == (at(1.2), at(7), None)
        assert await left(redis) == 0 and not one.reader.waiting
        for stage, seconds in (
            ("rang_to_shown", 0.2),
            ("pushed_to_shown", 0.1),
            ("arrived_to_looked_up", 0.5),
        ):
            assert one.counted("callcard_ring_seconds_sum", stage=stage) == pytest.approx(seconds)
            assert one.counted("callcard_ring_seconds_count", stage=stage) == 1
        assert one.counted("callcard_rings_total") == 1


async def test_a_ring_nobody_shows_gets_its_reason_once(engine: AsyncEngine, redis: Redis) -> None:
    presence = Presence(redis)
    await presence.tell([Moved("agent:102", announce=True, here=[("tab", "102")])])
    await presence.tell([Moved("agent:104", announce=True, here=[("tab", "104")])])
    await presence.tell([Moved("agent:104", announce=True, left=[("tab", "104")], code=3005)])
    async with process(engine, redis) as one:
        for login in ("101", "102", "104"):
            one.pushed(1.1, login=login)
        await one.tick(1.5)
        await one.tick(3.2)
        assert [row.unseen for row in await table(engine)] == [None] * 3
        await one.tick(5)
        await one.tick(6)
        assert {row.agent: row.unseen for row in await table(engine)} == {
            "101": "no_tab",
            "102": "slow",
            "104": "token_expired",
        }
        assert one.counted("callcard_rings_unseen_total", reason="no_tab") == 1
        # Better late than never, and late it stays.
        await add_receipt(redis, receipt(20, login="102"))
        await one.read(1)
        await one.tick(21)
        (late,) = [row for row in await table(engine) if row.agent == "102"]
        assert (late.shown, late.unseen) == (at(20), "slow")


async def test_a_receipt_read_by_another_process_finds_its_ring(engine: AsyncEngine, redis: Redis) -> None:
    clock = Clock()
    async with process(engine, redis, clock) as reading:
        pushing = Process(engine, redis, clock)
        pushing.pushed(1.1)
        pushing.pushed(1.2, login="102")
        await add_receipt(redis, receipt(1.3))
        await add_receipt(redis, receipt(2.9, login="102"))
        await reading.read(2)
        clock.seconds = 1.5
        # Its clock is the makers': these are about no ring yet, and not old.
        await reading.keeper.tick()
        assert await left(redis) == 2
        await pushing.tick(1.6)
        # Before its receipt is stored the other process has given a reason: the receipt takes it back.
        await pushing.tick(3.3)
        await pushing.tick(5)
        assert [row.unseen for row in await table(engine)] == ["no_tab", "no_tab"]
        await reading.tick(5.1)
        assert [(row.shown, row.unseen) for row in await table(engine)] == [(at(1.3), None), (at(2.9), None)]
        assert await left(redis) == 0
        assert reading.counted("callcard_ring_seconds_count", stage="pushed_to_shown") == 2


async def test_each_ring_of_a_call_has_its_own_receipt_and_then_no_reason(
    engine: AsyncEngine, redis: Redis
) -> None:
    """Read by a process that has not pushed them; the one that has learns of it from the table alone."""
    clock = Clock()
    async with process(engine, redis, clock) as reading:
        pushing = Process(engine, redis, clock)
        pushing.pushed(29.1, version=1)
        pushing.pushed(29.5, version=2, state="closed")
        pushing.pushed(30.1, version=3, ringing=30)
        await pushing.tick(30.2)
        for said in (receipt(29.3, version=2), receipt(30.3, version=3), receipt(30.4, version=4)):
            await add_receipt(redis, said)
        await reading.read(3)
        await reading.tick(30.5)
        for seconds in (31.2, 32.2, 34):
            await pushing.tick(seconds)
        assert [(row.rang, row.shown, row.unseen) for row in await table(engine)] == [
            (at(1), at(29.3), None),
            (at(30), at(30.3), None),
        ]
        assert pushing.counted("callcard_rings_unseen_total", reason="no_tab") is None


async def test_nothing_is_acknowledged_before_it_is_stored(engine: AsyncEngine, redis: Redis) -> None:
    clock = Clock()
    dead = create_engine(AWAY)
    async with process(dead, redis, clock) as killed:
        killed.pushed(1.1)
        await add_receipt(redis, receipt(1.2))
        await add_receipt(redis, receipt(1.2, login="999"))
        await redis.xadd(RECEIPTS_STREAM, {"r": "no receipt"})
        await killed.read(2)
        with pytest.raises(DATABASE_ERRORS):
            await killed.tick(1.5)

        async def unreadable_one_is_dropped() -> bool:
            return await left(redis) == 2

        await until(unreadable_one_is_dropped)
        assert killed.counted("callcard_receipts_malformed_total") == 1
        # The database is back: the ring and its receipt are written.
        killed.keeper._repository = RingRepository(engine)
        await RingRepository(engine).add(killed.keeper.book.take_unsaved(9))
    await dead.dispose()
    # Killed here. Another process takes over what it held.
    async with process(engine, redis, clock) as heir:
        await heir.read(2)
        await heir.tick(3)
        (row,) = await table(engine)
        assert row.shown == at(1.2)
        assert [r.agent for r in heir.reader.waiting.values()] == ["999"]
        await heir.tick(20)
        assert await left(redis) == 0
        assert heir.counted("callcard_receipts_of_no_ring_total") == 1
        assert (await redis.xpending(RECEIPTS_STREAM, GROUP))["pending"] == 0


async def test_a_bad_receipt_costs_the_others_nothing(engine: AsyncEngine, redis: Redis) -> None:
    async with process(engine, redis) as one:
        one.pushed(1.1)
        await one.tick(1.2)
        beyond = receipt(1.25, login="102").model_copy(update={"rev": 2**63})
        await add_receipt(redis, beyond)  # of a gateway that does not look: no receipt
        await add_receipt(redis, receipt(1.3))
        await one.read(1)
        one.reader.waiting[b"0-1"] = beyond  # what only PostgreSQL knows to be wrong
        await one.tick(1.5)
        (row,) = await table(engine)
        assert row.shown == at(1.3)
        assert one.counted("callcard_receipts_malformed_total") == 2
        assert await left(redis) == 0 and not one.reader.waiting


async def test_a_redis_that_lost_everything_is_read_again(engine: AsyncEngine, redis: Redis) -> None:
    async with process(engine, redis) as one:
        await add_receipt(redis, receipt(1.2))
        await one.read(1)
        await redis.flushall()
        await add_receipt(redis, receipt(1.3, login="102"))
        await one.read(2)


async def test_without_redis_rings_are_stored_and_the_reason_is_unknown(engine: AsyncEngine) -> None:
    away = connect_redis("redis://127.0.0.1:9/0")
    one = Process(engine, away, Clock())
    one.pushed(1.1)
    await one.tick(1.5)
    await one.tick(3.5)
    await one.tick(5)
    assert [row.unseen for row in await table(engine)] == ["unknown"]


async def test_what_a_killed_process_left_is_settled_and_what_is_old_goes(engine: AsyncEngine) -> None:
    one = Process(engine, connect_redis("redis://127.0.0.1:9/0"), Clock())
    one.pushed(1.1)
    one.pushed(1.1, login="102", ringing=500)
    await one.repository.add(one.keeper.book.take_unsaved(9))
    assert await one.repository.settle(at(0), at(100)) == 1
    assert await one.repository.settle(at(0), at(100)) == 0
    assert [row.unseen for row in await table(engine)] == ["unknown", None]
    assert await one.repository.forget(at(100) + KEPT - KEPT, 10) == 1
    assert [row.agent for row in await table(engine)] == ["102"]
    assert timedelta(days=30) < KEPT


async def test_the_task_stores_until_it_is_ended_and_then_the_rest(engine: AsyncEngine, redis: Redis) -> None:
    one = Process(engine, redis, Clock())
    task = asyncio.create_task(one.keeper.run())
    one.pushed(1.1)
    await add_receipt(redis, receipt(1.2))

    async def stored() -> bool:
        return [row.shown for row in await table(engine)] == [at(1.2)]

    await until(stored)
    one.pushed(1.1, login="102")
    await end([task], 5)
    assert len(await table(engine)) == 2
