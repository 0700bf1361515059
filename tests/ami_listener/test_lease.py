"""Who speaks for a PBX, on a real Valkey."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from ami_listener.lease import LEASE_SECONDS, Lease, LeaseKeeper, Standing
from shared import bus
from shared.bus import connect_redis
from tests.ami_listener.conftest import Logs
from tests.ami_listener.stub import TestClock


class Keeping:
    """A keeper of one lease, on a clock that the test moves; Redis' own clock goes on."""

    def __init__(self, redis: Redis, *, seeing: bool) -> None:
        self.clock = TestClock()
        self.lease = Lease("main", clock=self.clock)
        self.lease.seeing = seeing
        self.heard: list[str] = []
        self.keeper = LeaseKeeper(
            redis,
            [self.lease],
            on_taken=lambda lease: self.heard.append(f"taken {lease.pbx}"),
            on_denied=lambda lease: self.heard.append(f"denied {lease.pbx}"),
            clock=self.clock,
        )
        self.task: asyncio.Task[None] | None = None

    async def asked(self) -> None:
        """Ask once more."""
        await self.clock.advance(1)
        await self.clock.sleeping()


Start = Callable[..., object]


@pytest.fixture
def start(redis: Redis) -> Start:
    @asynccontextmanager
    async def begin(*, seeing: bool = True) -> AsyncIterator[Keeping]:
        k = Keeping(redis, seeing=seeing)
        task = asyncio.create_task(k.keeper.run())
        try:
            await k.clock.sleeping()
            yield k
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return begin


async def test_a_free_lease_is_taken_at_once_and_kept(start, redis: Redis) -> None:
    async with start() as k:
        assert (k.lease.standing, k.lease.held, k.heard) == (Standing.SPEAKER, True, ["taken main"])
        fence = k.lease.fence
        assert await redis.hget(bus.lease_key("main"), "token") == k.lease.token.encode()
        assert 0 < await redis.pttl(bus.lease_key("main")) <= LEASE_SECONDS * 1000
        await k.asked()
        assert (k.lease.fence, k.heard) == (fence, ["taken main"])


async def test_the_second_stands_by_until_it_is_given_back(start, redis: Redis) -> None:
    async with start() as one, start() as two:
        assert (two.lease.standing, two.lease.held, two.heard) == (Standing.STANDBY, False, ["denied main"])
        await two.asked()
        assert two.heard == ["denied main"]
        first = one.lease.fence
        await one.keeper.release(1)
        assert not one.lease.held
        await two.asked()
        assert two.heard == ["denied main", "taken main"]
        assert two.lease.fence > first
        await one.asked()
        assert one.heard == ["taken main", "denied main"]


async def test_giving_back_takes_nothing_from_another(start, redis: Redis) -> None:
    async with start() as one:
        await redis.delete(bus.lease_key("main"))  # as if it had run out
        async with start() as two:
            await one.keeper.release(1)
            await two.asked()
            assert two.heard == ["taken main"]


async def test_fences_grow_also_over_a_redis_that_forgot_them(start, redis: Redis) -> None:
    fences = []
    for forget in (lambda: redis.delete(bus.lease_key("main")), redis.flushall):
        async with start() as k:
            fences.append(k.lease.fence)
        await forget()
    async with start() as k:
        fences.append(k.lease.fence)
    assert fences == sorted(set(fences))


async def test_a_lease_that_ran_out_is_a_new_one_when_it_is_taken_again(start, redis: Redis) -> None:
    async with start() as k:
        fence = k.lease.fence
        await redis.delete(bus.lease_key("main"))
        await k.asked()
        assert k.lease.fence > fence
        assert k.heard == ["taken main", "taken main"]


async def test_who_does_not_see_the_pbx_makes_way_for_who_does(start) -> None:
    async with start(seeing=False) as blind:
        async with start(seeing=False) as other:
            assert other.heard == ["denied main"]
        async with start(seeing=True) as seeing:
            assert seeing.heard == ["taken main"]
            await blind.asked()
            assert blind.heard == ["taken main", "denied main"]
            blind.lease.seeing = True
            await blind.asked()
            assert blind.lease.standing is Standing.STANDBY  # a pair that sees does not take turns


async def test_it_is_held_no_longer_than_redis_has_confirmed(start, redis: Redis) -> None:
    async with start() as k:
        k.clock.seconds += LEASE_SECONDS - 0.001
        assert k.lease.held
        k.clock.seconds += 0.002  # a paused process wakes up
        assert not k.lease.held
        await k.asked()
        assert k.lease.held


async def test_a_redis_that_is_away_is_waited_for(logs: Logs) -> None:
    redis = connect_redis("redis://127.0.0.1:1")
    k = Keeping(redis, seeing=True)
    task = asyncio.create_task(k.keeper.run())
    await k.clock.sleeping()
    await k.asked()
    assert (k.lease.standing, k.heard) == (Standing.UNKNOWN, [])
    assert [e["event"] for e in logs] == ["Redis does not say who speaks for a PBX"]
    await k.keeper.release(1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await redis.aclose()


async def test_all_keys_of_a_script_are_in_one_slot(redis: Redis) -> None:
    keys = [
        bus.CALLS_STREAM,
        *(
            name(pbx)
            for pbx in ("main", "north")
            for name in (
                bus.lease_key,
                bus.fence_key,
                bus.open_calls_key,
                bus.ended_calls_key,
                bus.pbx_status_key,
            )
        ),
    ]
    assert len({key[key.index("{") : key.index("}")] for key in keys}) == 1
