"""The floor into a real Valkey, while it is there, away, and back without its memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from ami_listener.floor.floor import Floor
from ami_listener.floor.snapshot import FloorSnapshot
from ami_listener.floor_publisher import FloorPublisher
from ami_listener.message import AmiMessage
from services.embedded import EmbeddedValkey
from shared.bus import connect_redis
from shared.contracts.floor import PhoneState, QueueUpdate, read_floor_message
from shared.floor import (
    floor_channel,
    floor_phones_key,
    floor_queues_key,
    read_phones,
    read_queue,
    read_queues,
)
from tests.ami_listener.conftest import Logs
from tests.ami_listener.floor.floors import START, feed, listed, new_floor
from tests.ami_listener.stub import TestClock


class Publishing:
    def __init__(self, publisher: FloorPublisher, clock: TestClock) -> None:
        self.publisher = publisher
        self.clock = clock

    async def write(self, floor: Floor) -> None:
        """Offer, and wait until it was tried."""
        self.publisher.offer(floor)
        await self.clock.sleeping()
        await self.clock.advance(1)
        # It sleeps again only if Redis did not take it; else it waits for the next offer.
        self.publisher.offer(floor)
        await self.clock.sleeping()


@asynccontextmanager
async def publishing(url: str) -> AsyncIterator[Publishing]:
    clock = TestClock()
    redis = connect_redis(url)
    publisher = FloorPublisher(redis, clock=clock)
    task = asyncio.create_task(publisher.run())
    try:
        yield Publishing(publisher, clock)
        assert not task.done()
    finally:
        publisher.stop()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await redis.aclose()


@pytest.fixture
def floor() -> Floor:
    """A PBX of four queues, as it was found."""
    floor = new_floor()
    floor.settle(listed("live_state_snapshot"), START)
    return floor


def ringing(device: str) -> AmiMessage:
    return AmiMessage(Event="DeviceStateChange", Device=device, State="RINGING")


async def test_the_newest_state_is_kept_and_every_change_is_told(
    redis: Redis, redis_url: str, floor: Floor
) -> None:
    async with publishing(redis_url) as p, redis.pubsub() as listening:
        await listening.subscribe(floor_channel("pbx"))
        await listening.get_message(timeout=5)
        await p.write(floor)
        queues, phones = await read_queues(redis, "pbx"), await read_phones(redis, "pbx")
        assert [q.queue.name for q in queues] == ["billing", "load", "sales", "support"]
        assert phones[0].phone.device == "PJSIP/agent101"
        found = [await listening.get_message(timeout=5) for _ in range(len(queues) + len(phones) + 1)]
        told = [read_floor_message(message["data"]) for message in found if message is not None]
        assert [m for m in told if isinstance(m, QueueUpdate)] == sorted(queues, key=lambda q: q.version)
        assert told[-1].kind == "roster"
        assert p.publisher.written == len(told)

        feed(floor, [(START, ringing("PJSIP/agent103"))])
        await p.write(floor)
        message = await listening.get_message(timeout=5)
        assert message is not None
        [now] = [u for u in await read_phones(redis, "pbx") if u.phone.device == "PJSIP/agent103"]
        assert read_floor_message(message["data"]) == now
        assert now.phone.state is PhoneState.RINGING
        assert (await read_queue(redis, "pbx", "support")) == queues[-1]


async def test_it_expires_with_its_listener_and_a_heartbeat_keeps_it(
    redis: Redis, redis_url: str, floor: Floor
) -> None:
    async with publishing(redis_url) as p:
        await p.write(floor)
        for key in (floor_queues_key("pbx"), floor_phones_key("pbx")):
            await redis.expire(key, 5)
        before = p.publisher.written
        await p.write(floor)
        assert p.publisher.written == before, "nothing new, nothing said"
        for key in (floor_queues_key("pbx"), floor_phones_key("pbx")):
            assert 5 < await redis.ttl(key) <= 35


async def test_what_a_listener_before_us_left_is_removed(redis: Redis, redis_url: str, floor: Floor) -> None:
    await redis.hset(floor_queues_key("pbx"), "old", b"{}")
    await redis.hset(floor_phones_key("pbx"), "PJSIP/old", b"{}")
    async with publishing(redis_url) as p:
        await p.write(floor)
        assert b"old" not in await redis.hkeys(floor_queues_key("pbx"))
        assert b"PJSIP/old" not in await redis.hkeys(floor_phones_key("pbx"))
        floor.settle(FloorSnapshot((), ()), START)
        await p.write(floor)
        assert await redis.keys("*floor*") == []


async def test_redis_without_its_memory_is_told_everything(
    redis: Redis, redis_url: str, floor: Floor
) -> None:
    async with publishing(redis_url) as p:
        await p.write(floor)
        everything = len(await read_queues(redis, "pbx"))
        await redis.flushall()
        await p.write(floor)
        assert len(await read_queues(redis, "pbx")) == everything


async def test_what_a_full_redis_refused_is_written_when_there_is_room(
    redis: Redis, redis_url: str, floor: Floor
) -> None:
    async with publishing(redis_url) as p:
        await p.write(floor)
        await redis.config_set("maxmemory", 1)
        try:
            feed(floor, [(START, ringing("PJSIP/agent103"))])
            await p.write(floor)
        finally:
            await redis.config_set("maxmemory", 0)
        await p.clock.advance(1)
        await p.write(floor)
        states = {u.phone.device: u.phone.state for u in await read_phones(redis, "pbx")}
        assert states["PJSIP/agent103"] is PhoneState.RINGING


async def test_while_redis_is_away_nothing_piles_up_and_nothing_is_lost(
    own_valkey: EmbeddedValkey, floor: Floor, logs: Logs
) -> None:
    async with publishing(own_valkey.url) as p:
        await p.write(floor)
        own_valkey.kill()
        for device in ("PJSIP/agent103", "PJSIP/agent104"):
            feed(floor, [(START, ringing(device))])
            await p.write(floor)
        await asyncio.to_thread(own_valkey.start)
        await p.clock.advance(1)
        p.publisher.offer(floor)
        await p.clock.sleeping()
        redis = connect_redis(own_valkey.url)
        states = {u.phone.device: u.phone.state for u in await read_phones(redis, "pbx")}
        assert states["PJSIP/agent103"] is states["PJSIP/agent104"] is PhoneState.RINGING
        assert len(await read_queues(redis, "pbx")) == 4
        await redis.aclose()
        warnings = [entry for entry in logs if entry["log_level"] == "warning"]
        assert len(warnings) == 1, "said once, not at each try"


@pytest.fixture
async def own_valkey(
    server_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[EmbeddedValkey]:
    """One that a test may kill; it forgets everything, like a Redis without a disk."""
    folder = server_folder / tmp_path_factory.mktemp("killed").name
    folder.mkdir(mode=0o755)
    server = EmbeddedValkey(folder, durable=False)
    await asyncio.to_thread(server.start)
    yield server
    await asyncio.to_thread(server.stop)
