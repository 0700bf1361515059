"""One connection for command after command: an answer always belongs to its command."""

import asyncio

import pytest
import uvloop
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from services.embedded import EmbeddedValkey
from shared.bus import connect_redis
from shared.link import RedisLink, Wire


async def test_answers_are_as_redis_gives_them(redis: Redis) -> None:
    link = RedisLink(redis)
    assert await link.call("SET", "a", "привет") == b"OK"
    assert await link.call("GET", "a") == "привет".encode()
    assert await link.call("INCRBY", b"n", 7) == 7
    assert await link.call("GET", "nothing") is None
    entry = await link.call("XADD", "s", "*", b"f", b"\r\n\x00", b"g", b"")
    assert await link.call("XRANGE", "s", "-", "+") == [[entry, [b"f", b"\r\n\x00", b"g", b""]]]


async def test_an_error_is_raised_or_stands_in_its_place_and_the_connection_stays(redis: Redis) -> None:
    link = RedisLink(redis)
    me = await link.call("CLIENT", "ID")
    with pytest.raises(ResponseError):
        await link.call("INCR")
    first, second, third = await link.call_all([("SET", "a", 1), ("LPUSH", "a", 1), ("GET", "a")])
    assert (first, third) == (b"OK", b"1")
    assert isinstance(second, ResponseError)
    assert await link.call("CLIENT", "ID") == me


async def test_a_connection_that_redis_has_ended_is_replaced_without_a_failure(redis: Redis) -> None:
    link = RedisLink(redis)
    me = await link.call("CLIENT", "ID")
    await redis.client_kill_filter(_id=str(me))
    assert link._wire is not None
    await asyncio.wait_for(asyncio.shield(link._wire.lost), 5)
    assert await link.call("PING") == b"PONG"
    assert await link.call("CLIENT", "ID") != me


async def test_redis_that_ends_the_connection_during_a_command_is_a_failure_and_the_next_works(
    redis: Redis,
) -> None:
    link = RedisLink(redis)
    me = await link.call("CLIENT", "ID")
    waiting = asyncio.create_task(link.call("BLPOP", "nothing", 30))
    async with asyncio.timeout(5):
        while not (await redis.info("clients"))["blocked_clients"]:  # noqa: ASYNC110 - nor has Redis
            await asyncio.sleep(0)
    await redis.client_kill_filter(_id=str(me))
    with pytest.raises(RedisError):
        await waiting
    assert await link.call("PING") == b"PONG"


@pytest.mark.parametrize("turns", range(12))
async def test_a_cancelled_caller_does_not_leave_its_answer_to_the_next(redis: Redis, turns: int) -> None:
    link = RedisLink(redis)
    await link.call("SET", "a", "mine")
    cancelled = asyncio.create_task(link.call_all([("ECHO", "not yours"), ("ECHO", "nor this")]))
    for _ in range(turns):  # at every point of the way
        await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait([cancelled])
    assert await link.call("GET", "a") == b"mine"


async def test_a_deadline_costs_the_connection_only(redis: Redis) -> None:
    link = RedisLink(redis)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await link.call("BLPOP", "nothing", 30)
    assert await link.call("PING") == b"PONG"


async def test_callers_take_turns(redis: Redis) -> None:
    link = RedisLink(redis)
    answers = await asyncio.gather(*(link.call("ECHO", str(n)) for n in range(100)))
    assert answers == [str(n).encode() for n in range(100)]


async def test_without_redis_it_fails_at_once() -> None:
    redis = connect_redis("redis://127.0.0.1:1/0")
    with pytest.raises(RedisError):
        await RedisLink(redis).call("PING")
    await redis.aclose()


def test_what_is_sent_after_the_end_of_a_connection_is_dropped(valkey: EmbeddedValkey) -> None:
    """In the loop the product runs in: writing there after the end is an error, asyncio's own says nothing."""

    async def work() -> None:
        redis = connect_redis(valkey.url)
        wire = await Wire.open(redis, lambda _: None)
        wire.send([("QUIT",)])
        await asyncio.wait_for(asyncio.shield(wire.lost), 5)
        await asyncio.sleep(0)  # uvloop closes the handle a turn later
        wire.send([("PING",)])
        await wire.close()
        await redis.aclose()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work())
