"""This process' clients in Redis: told once and in batches, prolonged, and told when Redis is back."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from push_gateway import presence
from push_gateway.presence import PresenceKeeper
from services.embedded import EmbeddedValkey
from shared.presence import PRESENT_SECONDS, Moved, Presence, presence_key


@contextlib.asynccontextmanager
async def keeping(keeper: PresenceKeeper) -> AsyncIterator[None]:
    running = asyncio.create_task(keeper.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await keeper.close()


async def becomes(reader: Presence, channel: str, expected: dict[str, str]) -> None:
    async with asyncio.timeout(15):
        while True:
            with contextlib.suppress(RedisConnectionError):  # it is just coming back
                if await reader.present(channel) == expected:
                    return


async def test_many_come_and_go(redis: Redis) -> None:
    keeper, reader = PresenceKeeper(Presence(redis)), Presence(redis)
    many = {f"c{n}": f"{n % 7}" for n in range(3 * presence.CLIENTS_AT_ONCE)}
    async with keeping(keeper):
        for client, login in many.items():
            keeper.enter("line:support", client, login)
        for n in range(2 * presence.CHANNELS_AT_ONCE):
            keeper.enter(f"agent:{n}", "tab", f"{n}")
        await becomes(reader, "line:support", many)
        await becomes(reader, f"agent:{2 * presence.CHANNELS_AT_ONCE - 1}", {"tab": "63"})
        for client in list(many)[1:]:
            keeper.leave("line:support", client)
        keeper.leave("line:support", "a stranger")
        await becomes(reader, "line:support", {"c0": "0"})
        keeper.leave("line:support", "c0")
    assert await reader.present("line:support") == {}


async def test_who_stays_is_prolonged_and_who_is_not_vanishes(redis: Redis) -> None:
    reader = Presence(redis)
    await Presence(redis, seconds=30).tell([Moved("line:a", announce=False, here=[("dead", "102")])])
    async with keeping(keeper := PresenceKeeper(Presence(redis, seconds=60), prolong_seconds=0.1)):
        keeper.enter("line:a", "alive", "101")
        await becomes(reader, "line:a", {"alive": "101", "dead": "102"})
        before = dict(await redis.zrange(presence_key("line:a"), 0, -1, withscores=True))
        async with asyncio.timeout(10):
            while (after := dict(await redis.zrange(presence_key("line:a"), 0, -1, withscores=True)))[
                b"alive 101"
            ] <= before[b"alive 101"]:
                pass
        assert after[b"dead 102"] == before[b"dead 102"]
        # Its time is over: it is not counted any more, and the next prolongation clears it away.
        await redis.zadd(presence_key("line:a"), {"dead 102": 1})
        assert await reader.present("line:a") == {"alive": "101"}
        async with asyncio.timeout(10):
            while await redis.zcard(presence_key("line:a")) != 1:
                pass


async def test_what_happens_while_redis_is_away_is_told_when_it_is_back(
    redis: Redis, valkey: EmbeddedValkey
) -> None:
    keeper = PresenceKeeper(Presence(redis), prolong_seconds=0.2)
    async with keeping(keeper):
        keeper.enter("agent:101", "early", "101")
        keeper.enter("agent:101", "stays", "101")
        await becomes(Presence(redis), "agent:101", {"early": "101", "stays": "101"})
        valkey.kill()
        try:
            keeper.leave("agent:101", "early")
            keeper.enter("agent:101", "late", "101")
        finally:
            valkey.start()
        # This Valkey has forgotten everything: who stays is told again as well.
        await becomes(Presence(redis), "agent:101", {"stays": "101", "late": "101"})


class Counting(Presence):
    """How often each client was told to be there, or to stay; `often(n)`: everybody so often."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)
        self.told = Counter[str]()
        self.most = 0

    async def tell(self, moves: Sequence[Moved]) -> list[Moved]:
        self._count(moves)
        return await super().tell(moves)

    async def prolong(self, stays: Sequence[Moved]) -> list[Moved]:
        self._count(stays)
        return await super().prolong(stays)

    def _count(self, moves: Sequence[Moved]) -> None:
        self.told.update(client for moved in moves for client, _ in moved.here)
        self.most = max(self.most, sum(len(moved.here) for moved in moves))

    async def often(self, times: int, clients: int) -> None:
        async with asyncio.timeout(20):
            while len(self.told) < clients or min(self.told.values()) < times:  # noqa: ASYNC110 - there is none
                await asyncio.sleep(0.005)


async def test_who_joins_a_channel_in_the_middle_of_a_round_holds_up_nobody(redis: Redis) -> None:
    async with keeping(keeper := PresenceKeeper(counting := Counting(redis), prolong_seconds=0.4)):
        for n in range(10):
            keeper.enter(f"agent:{n}", f"early{n}", f"{n}")
        keeper.enter("line:support", "early", "0")
        await counting.often(1, clients=11)
        async with asyncio.timeout(20):  # a round is under way, and has not come to this channel
            while counting.told["early0"] <= counting.told["early"]:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.005)
        for n in range(2000):
            keeper.enter("line:support", f"late{n}", f"{n}")
        # Told once when they came; and everybody in each of the rounds.
        await counting.often(3, clients=2011)


async def test_a_round_goes_in_small_steps(redis: Redis) -> None:
    async with keeping(keeper := PresenceKeeper(counting := Counting(redis), prolong_seconds=0.4)):
        for n in range(300):
            keeper.enter("line:support", f"c{n}", f"{n}")
        await counting.often(3, clients=300)
    assert counting.most <= presence.CLIENTS_AT_ONCE


async def test_a_lonely_tab_is_prolonged_in_every_round(redis: Redis) -> None:
    lonely, crowd = Counting(redis), Counting(redis)
    alone, together = (PresenceKeeper(counting, prolong_seconds=0.5) for counting in (lonely, crowd))
    async with keeping(alone), keeping(together):
        alone.enter("agent:101", "tab", "101")
        for n in range(100):
            together.enter("line:support", f"c{n}", f"{n}")
        await crowd.often(9, clients=100)
    # Beside many, whose rounds last as long as they should; twice as long a round would be half as often.
    assert lonely.told["tab"] >= 7


class Hanging(Counting):
    """As when one node of a cluster does not answer any more: the others have written theirs."""

    hangs = False
    hung = 0

    async def tell(self, moves: Sequence[Moved]) -> list[Moved]:
        return await self._write(super().tell, moves)

    async def prolong(self, stays: Sequence[Moved]) -> list[Moved]:
        return await self._write(super().prolong, stays)

    async def _write(
        self, write: Callable[[Sequence[Moved]], Awaitable[list[Moved]]], moves: Sequence[Moved]
    ) -> list[Moved]:
        there = [moved for moved in moves if not (self.hangs and moved.channel.startswith("agent:odd"))]
        left = await write(there)
        if len(there) < len(moves):
            self.hung += 1
            await asyncio.sleep(30)
        return left


async def test_a_node_that_hangs_does_not_keep_new_tabs_from_being_told(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "TELL_SECONDS", 0.05)
    monkeypatch.setattr(presence, "RETRY_SECONDS", 0.02)
    many = 32 * presence.CHANNELS_AT_ONCE
    async with keeping(keeper := PresenceKeeper(hanging := Hanging(redis), prolong_seconds=0.2)):
        for n in range(many):
            keeper.enter(f"agent:{'odd' if n % 2 else 'even'}{n}", f"tab{n}", f"{n}")
        await hanging.often(1, clients=many)
        hanging.hangs = True
        async with asyncio.timeout(20):
            while not hanging.hung:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.005)
        keeper.enter("line:support", "new", "101")
        await becomes(Presence(redis), "line:support", {"new": "101"})
    assert hanging.hung < 10  # not only when everybody else has been prolonged


async def test_who_stays_costs_no_script_and_who_is_not_as_thought_is_told(redis: Redis) -> None:
    async def scripts_run() -> int:
        return int((await redis.info("commandstats"))["cmdstat_evalsha"]["calls"])

    writer = Presence(redis)
    stays = [
        Moved(f"agent:{n}", announce=True, here=[(f"tab{n}", f"{n}"), (f"other{n}", f"{n}")])
        for n in range(4)
    ]
    assert await writer.prolong(stays) == stays  # Redis' clock is not known yet
    await writer.tell(stays)
    before, so_far = await scripts_run(), await redis.zscore(presence_key("agent:0"), "tab0 0")
    assert await writer.prolong(stays) == []
    assert await redis.zscore(presence_key("agent:0"), "tab0 0") > so_far
    assert await redis.ttl(presence_key("agent:0")) > PRESENT_SECONDS - 5
    # One has vanished, in another channel is somebody whose time is over, the third has been lost altogether.
    await redis.zrem(presence_key("agent:1"), "tab1 1")
    await redis.zadd(presence_key("agent:2"), {"dead 2": 1})
    await redis.delete(presence_key("agent:3"))
    assert await writer.prolong(stays) == stays[1:]
    assert await scripts_run() == before


class PartlyAway(Presence):
    """What is written of some channels does not arrive, as when one node of a cluster is away."""

    away: Sequence[str] = ("agent:0",)

    async def tell(self, moves: Sequence[Moved]) -> list[Moved]:
        there = [moved for moved in moves if moved.channel not in self.away]
        if not there:
            raise RedisConnectionError("all of these are away")
        await super().tell(there)
        return [moved for moved in moves if moved.channel in self.away]


async def test_a_channel_that_is_away_keeps_no_other_waiting(redis: Redis) -> None:
    writer, reader = PartlyAway(redis), Presence(redis)
    async with keeping(keeper := PresenceKeeper(writer, prolong_seconds=0.2)):
        keeper.enter("agent:0", "first", "0")
        keeper.enter("agent:1", "tab", "1")
        await becomes(reader, "agent:1", {"tab": "1"})
        keeper.leave("agent:0", "first")
        keeper.enter("agent:0", "second", "0")
        keeper.enter("agent:2", "tab", "2")
        await becomes(reader, "agent:2", {"tab": "2"})
        assert await reader.present("agent:0") == {}
        writer.away = ()
        await becomes(reader, "agent:0", {"second": "0"})


async def test_the_announcements_are_what_changed(redis: Redis) -> None:
    bus = redis.pubsub(ignore_subscribe_messages=True)
    await bus.subscribe("callcard:push:{agent:101}")
    writer = Presence(redis)
    here = Moved("agent:101", announce=True, here=[("c1", "101")])
    await writer.tell([here])
    await writer.tell([here])
    await writer.tell([Moved("agent:101", announce=True, left=[("c1", "101"), ("never there", "101")])])
    async with asyncio.timeout(5):
        heard = [(await anext(bus.listen()))["data"] for _ in range(2)]
    assert heard == [b"+ c1 101", b"- c1 101"]
    assert await bus.get_message(timeout=0) is None
    await bus.aclose()


async def test_the_last_one_to_leave_is_remembered_with_the_reason(redis: Redis) -> None:
    reader = Presence(redis)
    async with keeping(keeper := PresenceKeeper(Presence(redis))):
        for channel in ("agent:101", "line:support"):
            keeper.enter(channel, "tab", "101")
            await becomes(reader, channel, {"tab": "101"})
            assert await reader.last_left(channel) is None
            keeper.leave(channel, "tab", 3005)
            await becomes(reader, channel, {})
    left = await reader.last_left("agent:101")
    assert left is not None and left.code == 3005
    # Nobody asks why nobody listens to a board.
    assert await reader.last_left("line:support") is None
    # One that vanished, cleared away by the next that comes.
    await redis.zadd(presence_key("agent:101"), {"dead 101": 1})
    await reader.tell([Moved("agent:101", announce=True, here=[("new", "101")])])
    vanished = await reader.last_left("agent:101")
    assert vanished is not None and vanished.code == 0 and vanished.at >= left.at
