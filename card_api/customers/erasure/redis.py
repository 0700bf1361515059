"""What Redis still says of a person after their rows are gone: what was told of their calls, kept for events that come
late; the last cards of each agent, kept for tabs that were away for a moment."""

import asyncio
from collections.abc import Sequence

from redis.asyncio import Redis
from redis.exceptions import RedisError

from card_api.ingest.store import ToldCalls
from shared.observability import logger
from shared.push import agent_channel, log_key

# In our network Redis answers in a millisecond; who erases does not wait for one that is away.
_SECONDS = 3.0
# Of a person with a hundred thousand calls, no command of megabytes.
_AT_ONCE = 1000


class RedisTraces:
    """`clear` forgets what was told of these calls, and the histories of all agents' channels: a tab that comes back
    then gets its desk as it is, and nothing that is over. Open cards are not touched; there are none of a person who is
    being erased."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._told = ToldCalls(redis)
        self._log = logger("erasure")

    async def clear(self, call_ids: Sequence[str]) -> None:
        try:
            async with asyncio.timeout(_SECONDS):
                for begin in range(0, len(call_ids), _AT_ONCE):
                    await self._told.forget(call_ids[begin : begin + _AT_ONCE])
                pattern = log_key(agent_channel("*"))
                keys = [key async for key in self._redis.scan_iter(pattern, count=1000)]
                for key in keys:  # each in a slot of its own of a cluster
                    await self._redis.unlink(key)
        except (RedisError, OSError, TimeoutError):
            self._log.warning(
                "redis is away: what it keeps of the last hour's calls stays until it expires by itself"
            )
