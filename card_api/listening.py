"""Hearing a pub/sub channel for as long as the process lives, whatever becomes of Redis."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

from redis.asyncio import Redis
from redis.exceptions import RedisError

from card_api.backoff import Backoff


async def listen(
    redis: Redis,
    channel: str,
    begun: Callable[[bool], Awaitable[None]],
    heard: Callable[[bytes], Awaitable[None]],
) -> NoReturn:
    """Until it is cancelled. `begun(missed)`: the channel is heard from now on; `missed`: Redis was away before, and
    what was said meanwhile nobody has heard. `heard(payload)`: each message. A RedisError or OSError of either counts
    as Redis being away, which the calls' consumer says."""
    backoff, missed = Backoff(), False
    while True:
        try:
            async with redis.pubsub(ignore_subscribe_messages=True) as subscription:
                await subscription.subscribe(channel)
                await begun(missed)
                missed = False
                backoff.reset()
                async for message in subscription.listen():
                    await heard(message["data"])
        except (RedisError, OSError):
            missed = True
        await asyncio.sleep(backoff.next())
