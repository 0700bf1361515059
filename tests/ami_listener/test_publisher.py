"""Updates into a real Valkey, while it is there, away, full, and back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis.asyncio import Redis

from ami_listener.lease import Lease, LeaseKeeper
from ami_listener.memory import Recalled, recall
from ami_listener.publisher import STATUS_SECONDS, Publisher
from ami_listener.spool import Spool
from services.embedded import EmbeddedValkey
from shared import bus
from shared.bus import connect_redis
from shared.contracts.call import (
    Call,
    Caller,
    CallState,
    CallUpdate,
    Direction,
    Leg,
    PbxLink,
    PbxRoster,
    PbxStatus,
)
from shared.link import RedisLink
from tests.ami_listener.conftest import Logs
from tests.ami_listener.stub import TestClock, until

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def update(call_id: str, version: int, state: CallState = CallState.RINGING) -> CallUpdate:
    call = Call(
        call_id=call_id,
        pbx="test",
        direction=Direction.INBOUND,
        state=state,
        caller=Caller(number="+79001112233", name="Пётр"),
        started_at=NOW,
    )
    return CallUpdate(pbx="test", call_id=call_id, version=version, change=state.value, at=NOW, call=call)


def ended(call_id: str, version: int) -> CallUpdate:
    return update(call_id, version, CallState.ENDED)


async def stream(redis: Redis) -> list[tuple[str, int]]:
    entries = await redis.xrange(bus.CALLS_STREAM)
    return [(u.call_id, u.version) for u in (bus.decode_update(fields) for _, fields in entries)]


async def arrived(redis: Redis, count: int) -> list[tuple[str, int]]:
    """The stream when it holds so many entries, by waiting for each."""
    last, seen = "0", 0
    while seen < count:
        for _, entries in await redis.xread({bus.CALLS_STREAM: last}, block=5000) or []:
            last, seen = entries[-1][0], seen + len(entries)
    return await stream(redis)


class Publishing:
    """A publisher that runs on a clock which stands still, and whose lease is kept in real time.

    speaking: set while it may write. recalled: what it learned when it took the lease last.
    """

    def __init__(self, url: str, spool: Spool) -> None:
        self.clock = TestClock()
        self.spool = spool
        self.redis = connect_redis(url)
        self.lease = Lease("test")
        self.speaking = asyncio.Event()
        self.denied = asyncio.Event()
        self.recalled = Recalled()
        self.ended: set[str] = set()
        self.publisher = Publisher(
            self.redis, spool, [self.lease], on_refused=lambda: self.keeper.look(), clock=self.clock
        )
        self.keeper = LeaseKeeper(self.redis, [self.lease], on_taken=self._taken, on_denied=self._denied)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks += [asyncio.create_task(self.publisher.run()), asyncio.create_task(self.keeper.run())]

    async def close(self) -> None:
        self.publisher.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.keeper.release(1)
        await self.redis.aclose()

    def _taken(self, _: Lease) -> None:
        self.publisher.hold("test")
        self.speaking.clear()
        self._tasks.append(asyncio.create_task(self._take_over()))

    def _denied(self, _: Lease) -> None:
        self.publisher.hush("test")
        self.speaking.clear()
        self.denied.set()

    async def _take_over(self) -> None:
        self.recalled = await self.publisher.recall("test")
        self.ended = self.publisher.speak("test", self.recalled, lambda at: 10**6)
        self.speaking.set()

    async def away(self) -> None:
        """Until the publisher has noticed: it then waits for its next try."""
        await self.clock.sleeping()
        assert self.publisher.away


@pytest.fixture
def publishing(tmp_path: Path) -> Callable[[str], object]:
    @asynccontextmanager
    async def run(url: str) -> AsyncIterator[Publishing]:
        p = Publishing(url, Spool(tmp_path / "spool.jsonl"))
        p.start()
        try:
            await p.speaking.wait()
            yield p
            assert not p._tasks[0].done()
        finally:
            await p.close()

    return run


async def back(p: Publishing) -> None:
    """Redis is there again: until the publisher has found it and its lease is taken anew."""
    p.speaking.clear()
    await p.clock.advance(1)
    await p.speaking.wait()


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


async def test_an_update_arrives_whole(redis: Redis, redis_url: str, publishing) -> None:
    async with publishing(redis_url) as p:
        sent = update("c1", 7)
        p.publisher.offer(sent)
        await arrived(redis, 1)
        ((_, fields),) = await redis.xrange(bus.CALLS_STREAM)
        assert bus.decode_update(fields) == sent
        assert p.publisher.sent == 1


async def test_the_newest_of_each_call_wins_while_a_write_is_under_way(
    redis: Redis, redis_url: str, publishing
) -> None:
    async with publishing(redis_url) as p:
        for version in range(1, 101):
            p.publisher.offer(update("c1", version))
        p.publisher.offer(update("c2", 1))
        assert await arrived(redis, 2) == [("c1", 100), ("c2", 1)]


async def test_where_no_phone_rings_updates_gather_until_one_does(
    redis: Redis, redis_url: str, publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ami_listener.publisher._GATHER_SECONDS", 60.0)
    async with publishing(redis_url) as p:
        for quiet in (update("c1", 1, CallState.ANSWERED), ended("c1", 2)):
            p.publisher.offer(quiet)
            await p.publisher.reachable(5)  # a whole round trip: time enough for a write
        assert await stream(redis) == []
        p.publisher.offer(update("c2", 3))
        assert sorted(await arrived(redis, 2)) == [("c1", 2), ("c2", 3)]


async def test_a_phone_that_rings_during_a_conversation_does_not_wait(
    redis: Redis, redis_url: str, publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ami_listener.publisher._GATHER_SECONDS", 60.0)
    async with publishing(redis_url) as p:
        transfer = update("c1", 1, CallState.ANSWERED)
        transfer.call.legs.append(Leg(endpoint="PJSIP/102", channel="PJSIP/102-1"))
        p.publisher.offer(transfer)
        assert await arrived(redis, 1) == [("c1", 1)]


async def test_what_has_gathered_goes_out_by_itself(redis: Redis, redis_url: str, publishing) -> None:
    async with publishing(redis_url) as p:
        for version in (1, 2):
            p.publisher.offer(ended("c1", version))
            assert (await arrived(redis, version))[-1] == ("c1", version)


async def test_the_status_of_a_pbx_is_there_for_a_while(redis: Redis, redis_url: str, publishing) -> None:
    async with publishing(redis_url) as p:
        p.publisher.offer_status(PbxStatus(pbx="test", link=PbxLink.CONNECTING, since=NOW))
        p.publisher.offer_status(PbxStatus(pbx="test", link=PbxLink.UP, since=NOW))
        p.publisher.offer(update("c1", 1))
        await arrived(redis, 1)
        raw = await redis.get(bus.pbx_status_key("test"))
        assert PbxStatus.model_validate_json(raw).link is PbxLink.UP
        assert 0 < await redis.ttl(bus.pbx_status_key("test")) <= STATUS_SECONDS


async def test_a_roster_comes_after_the_updates_it_is_about(
    redis: Redis, redis_url: str, publishing, tmp_path
) -> None:
    Spool(tmp_path / "spool.jsonl").add(ended("e1", 1).to_json())
    async with publishing(redis_url) as p:
        p.publisher.offer_roster(PbxRoster(pbx="test", version=1, at=NOW, open=[]))
        p.publisher.offer(update("c1", 2))
        p.publisher.offer_roster(PbxRoster(pbx="test", version=3, at=NOW, open=["c1"]))
        entries: list[dict[bytes, bytes]] = []
        last = "0"
        while len(entries) < 3:
            for _, new in await redis.xread({bus.CALLS_STREAM: last}, block=5000) or []:
                last, entries = new[-1][0], entries + [fields for _, fields in new]
        roster = bus.decode_roster(entries[-1])
        assert roster is not None
        assert roster.version == 3
        assert {bus.decode_update(fields).call_id for fields in entries[:2]} == {"c1", "e1"}


class TestRedisAway:
    async def test_open_calls_coalesce_and_ended_ones_wait_on_disk(
        self, own_valkey: EmbeddedValkey, publishing, logs: Logs
    ) -> None:
        async with publishing(own_valkey.url) as p:
            own_valkey.kill()
            p.publisher.offer(ended("e0", 1))  # was in the write that failed
            p.publisher.offer(update("c1", 1))
            await p.away()
            for n in range(1, 6):
                p.publisher.offer(update("c1", 1 + n))
                p.publisher.offer(ended(f"e{n}", 1))
            p.publisher.offer(update("c2", 1))
            p.publisher.offer(ended("c2", 2))
            assert (p.publisher.waiting, p.publisher.spooled) == (1, 7)
            await asyncio.to_thread(own_valkey.start)
            await back(p)
            redis = connect_redis(own_valkey.url)
            # What goes on is told anew by who knows it (the follower), after the lease is taken again.
            assert sorted(await stream(redis)) == [("c2", 2), *((f"e{n}", 1) for n in range(6))]
            await redis.aclose()
            assert not p.publisher.away
            assert (p.publisher.waiting, p.publisher.spooled, p.publisher.lost) == (0, 0, 0)
        said = [e["event"] for e in logs]
        assert said.count("Redis cannot be written to; calls are kept here until it can") == 1
        assert said.count("Redis is back") == 1

    async def test_it_is_tried_until_it_is_back(self, own_valkey: EmbeddedValkey, publishing) -> None:
        async with publishing(own_valkey.url) as p:
            own_valkey.kill()
            p.publisher.offer(update("c1", 1))
            for _ in range(5):
                await p.away()
                await p.clock.advance(1)
            assert not await p.publisher.reachable(1)
            await p.away()
            await asyncio.to_thread(own_valkey.start)
            await back(p)
            assert await p.publisher.reachable(1)

    async def test_a_redis_that_answers_but_takes_nothing_is_away_too(
        self, redis: Redis, redis_url: str, publishing, logs: Logs
    ) -> None:
        try:
            async with publishing(redis_url) as p:
                await redis.config_set("maxmemory", "1")
                p.publisher.offer(ended("e1", 1))
                await p.away()
                await p.clock.advance(1)
                await p.away()  # PING is answered, the write is not taken
                assert p.publisher.spooled == 1
                await redis.config_set("maxmemory", "0")
                await p.clock.advance(1)
                assert await arrived(redis, 1) == [("e1", 1)]
        finally:
            await redis.config_set("maxmemory", "0")
        assert [e["event"] for e in logs].count("Redis is back") == 1

    async def test_what_a_full_disk_does_not_take_stays_in_memory(
        self, own_valkey: EmbeddedValkey, publishing
    ) -> None:
        async with publishing(own_valkey.url) as p:
            p.spool._max_calls = 1
            own_valkey.kill()
            p.publisher.offer(update("c1", 1))
            await p.away()
            for n in range(3):
                p.publisher.offer(ended(f"e{n}", 1))
            assert (p.publisher.spooled, p.publisher.waiting, p.publisher.lost) == (1, 3, 0)
            await asyncio.to_thread(own_valkey.start)
            await back(p)
            redis = connect_redis(own_valkey.url)
            assert sorted(await arrived(redis, 3)) == [("e0", 1), ("e1", 1), ("e2", 1)]
            await redis.aclose()

    async def test_what_neither_disk_nor_memory_takes_is_said_and_counted(
        self, own_valkey: EmbeddedValkey, publishing, logs: Logs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ami_listener.publisher._MOST_IN_MEMORY", 2)
        async with publishing(own_valkey.url) as p:
            p.spool._max_calls = 1
            own_valkey.kill()
            p.publisher.offer(update("c1", 1))
            await p.away()
            for n in range(3):
                p.publisher.offer(ended(f"e{n}", 1))
            assert p.publisher.lost == 1
        assert [e["call_id"] for e in logs if e["log_level"] == "error"] == ["e2"]


class TestRestartOfThisProcess:
    async def test_what_was_left_on_disk_is_delivered_and_bad_lines_are_skipped(
        self, redis: Redis, redis_url: str, publishing, tmp_path: Path
    ) -> None:
        spool = Spool(tmp_path / "spool.jsonl")
        for n in range(450):  # more than a batch
            spool.add(ended(f"e{n}", n).to_json())
        spool.add(b'{"torn')
        async with publishing(redis_url) as p:
            assert sorted(await arrived(redis, 450)) == sorted((f"e{n}", n) for n in range(450))
            p.publisher.offer(update("c1", 1))
            await arrived(redis, 451)
            assert p.publisher.spooled == 0
        assert not (tmp_path / "spool.jsonl").exists()

    async def test_stop_ends_it_even_if_the_cancellation_is_swallowed(
        self, redis: Redis, tmp_path: Path
    ) -> None:
        for turns in range(40):  # at every point of a write
            publisher = await speaker(redis, Spool(tmp_path / "s"))
            task = asyncio.create_task(publisher.run())
            publisher.offer(update("c1", turns))
            for _ in range(turns):
                await asyncio.sleep(0)
            publisher.stop()
            task.cancel()
            await asyncio.wait([task])

    async def test_finish_writes_what_is_left(self, redis: Redis, tmp_path: Path) -> None:
        publisher = await speaker(redis, Spool(tmp_path / "s"))
        publisher.offer(ended("e1", 1))
        await publisher.finish(1)
        assert await stream(redis) == [("e1", 1)]

    async def test_finish_without_redis_keeps_ended_calls(
        self, tmp_path: Path, own_valkey: EmbeddedValkey
    ) -> None:
        own_valkey.kill()
        redis = connect_redis(own_valkey.url)
        publisher = Publisher(redis, Spool(tmp_path / "s"), [Lease("test")])
        publisher.offer(ended("e1", 1))
        publisher.offer(update("c1", 1))
        await publisher.finish(1)
        assert Spool(tmp_path / "s").count == 1
        await redis.aclose()


class TestWhoSpeaks:
    async def test_while_nobody_knows_who_speaks_ends_go_to_disk(
        self, redis: Redis, redis_url: str, tmp_path: Path
    ) -> None:
        """Redis answers, but gives no lease: it is full since before our start."""
        await redis.config_set("maxmemory", "1")
        try:
            async with listening(redis_url, tmp_path) as p:
                p.publisher.offer(ended("e1", 1))
                await until(lambda: p.publisher.spooled == 1)
                await redis.config_set("maxmemory", "0")
                await p.clock.sleeping()
                await p.clock.advance(1)
                assert await arrived(redis, 1) == [("e1", 1)]
                await p.speaking.wait()
        finally:
            await redis.config_set("maxmemory", "0")

    async def test_a_standby_writes_nothing_and_forgets_what_goes_on(
        self, redis: Redis, redis_url: str, publishing, tmp_path: Path
    ) -> None:
        async with publishing(redis_url) as p, standby(redis_url, tmp_path) as other:
            other.publisher.offer(update("c1", 1))
            other.publisher.offer(ended("e1", 2))
            other.publisher.offer_status(PbxStatus(pbx="test", link=PbxLink.LOST, since=NOW))
            p.publisher.offer(update("c1", 3))
            assert await arrived(redis, 1) == [("c1", 3)]
            assert other.publisher.waiting == 0
            assert not other.publisher.speaks("test")
            assert await redis.get(bus.pbx_status_key("test")) is None

    async def test_open_calls_are_remembered_and_told_ends_too(
        self, redis: Redis, redis_url: str, publishing, tmp_path: Path
    ) -> None:
        async with publishing(redis_url) as p:
            p.publisher.offer(update("c1", 1))
            p.publisher.offer(update("c2", 1))
            await arrived(redis, 2)
            p.publisher.offer(ended("c2", 2))
            p.publisher.offer(update("c1", 3))
            await arrived(redis, 4)
        recalled = await remembered(redis)
        assert [(u.call_id, u.version) for u in recalled.open] == [("c1", 3)]
        assert recalled.ended == {"c2"}

    @pytest.mark.parametrize("lost", [True, False])
    async def test_an_end_that_redis_lost_before_anybody_read_it_is_told_again(
        self, redis: Redis, redis_url: str, publishing, lost: bool
    ) -> None:
        async with publishing(redis_url) as p:
            p.publisher.offer(ended("a", 1))
            assert await arrived(redis, 1) == [("a", 1)]
            await (redis.flushall() if lost else redis.delete(bus.lease_key("test")))
            p.speaking.clear()
            p.keeper.look()
            await p.speaking.wait()  # for a new lease: the old one is gone
            p.publisher.offer(update("b", 2))
            assert await arrived(redis, 2) == [("a", 1), ("b", 2)]
            assert p.ended == ({"a"} if lost else set())

    async def test_an_end_the_speaker_did_not_live_to_tell_is_told_by_the_standby(
        self, redis: Redis, redis_url: str, publishing, tmp_path: Path
    ) -> None:
        async with publishing(redis_url) as p, standby(redis_url, tmp_path) as other:
            for call_id in ("c1", "c2"):
                p.publisher.offer(update(call_id, 50))
            await arrived(redis, 2)
            p.publisher.offer(ended("c1", 51))
            await arrived(redis, 3)
            other.publisher.offer(ended("c1", 40))  # the standby saw the same, its clock is behind
            other.publisher.offer(ended("c2", 41))
            other.publisher.offer(ended("c3", 42))  # began and ended while the speaker was dying
            await p.keeper.release(1)
            other.keeper.look()
            await other.speaking.wait()
            assert other.ended == {"c2", "c3"}
            told = await arrived(redis, 5)
            assert sorted(told[3:]) == [("c2", 10**6), ("c3", 42)]  # c2 above what was told of it
            assert (await remembered(redis)).open == ()

    async def test_who_lost_the_lease_writes_nothing_more_and_its_ends_are_not_lost(
        self, redis: Redis, redis_url: str, publishing, tmp_path: Path, logs: Logs
    ) -> None:
        async with publishing(redis_url) as p:
            p._tasks[1].cancel()  # its keeper stands still, as a paused process does
            await redis.delete(bus.lease_key("test"))
            async with listening(redis_url, tmp_path / "other") as other:
                await other.speaking.wait()
                other.publisher.offer(update("c1", 2))
                assert await arrived(redis, 1) == [("c1", 2)]
                p.publisher.offer(update("c1", 1))
                p.publisher.offer(ended("e1", 1))
                await until(lambda: not p.publisher.speaks("test"))
                assert await stream(redis) == [("c1", 2)]
                assert any("our lease is over" in e["event"] for e in logs)
                p._tasks.append(asyncio.create_task(p.keeper.run()))  # it goes on
                await p.denied.wait()
                assert await arrived(redis, 2) == [("c1", 2), ("e1", 1)]  # by way of its disk

    async def test_an_end_on_disk_that_another_has_told_is_not_told_again(
        self, redis: Redis, redis_url: str, publishing, tmp_path: Path
    ) -> None:
        async with publishing(redis_url) as p:
            p.publisher.offer(ended("e1", 1))
            await arrived(redis, 1)
        spool = Spool(tmp_path / "spool.jsonl")
        spool.add(ended("e1", 2).to_json())
        spool.add(ended("e2", 2).to_json())
        async with publishing(redis_url) as p:
            assert await arrived(redis, 2) == [("e1", 1), ("e2", 2)]
            assert p.publisher.spooled == 0

    async def test_what_waited_on_disk_is_known_before_open_calls_are_judged(
        self, redis: Redis, redis_url: str, publishing, tmp_path: Path
    ) -> None:
        """Killed while Redis was away: the true end is on disk, the call is still open in Redis."""
        async with publishing(redis_url) as p:
            p.publisher.offer(update("c1", 1))
            await arrived(redis, 1)
        assert [u.call_id for u in (await remembered(redis)).open] == ["c1"]
        Spool(tmp_path / "spool.jsonl").add(ended("c1", 2).to_json())
        async with publishing(redis_url) as p:
            assert p.recalled == Recalled((), frozenset({"c1"}))


async def speaker(redis: Redis, spool: Spool) -> Publisher:
    """A publisher that may write; nobody renews its lease."""
    lease = Lease("test")
    publisher = Publisher(redis, spool, [lease])
    keeper = LeaseKeeper(redis, [lease], on_taken=lambda _: None, on_denied=lambda _: None)
    await redis.delete(bus.lease_key("test"))
    await keeper._ask()
    publisher.speak("test", Recalled(), lambda at: 1)
    return publisher


async def remembered(redis: Redis) -> Recalled:
    return await recall(RedisLink(redis), "test")


@asynccontextmanager
async def listening(url: str, folder: Path) -> AsyncIterator[Publishing]:
    """One more, that may or may not become the speaker."""
    other = Publishing(url, Spool(folder / "spool.jsonl"))
    other.start()
    try:
        yield other
    finally:
        await other.close()


@asynccontextmanager
async def standby(url: str, folder: Path) -> AsyncIterator[Publishing]:
    async with listening(url, folder / "standby") as other:
        await other.denied.wait()
        yield other
