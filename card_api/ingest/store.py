"""Calls told by events, between events: in Redis, so that any API process can take the next one; all its commands.

One script changes a call's state and tells the update, if nobody else has changed it meanwhile and if no listener
speaks for the PBX. So two processes never tell different stories of one call, and a PBX has one voice.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from enum import IntEnum
from typing import Any, NamedTuple

from redis.asyncio import Redis

from card_api.ingest.known import Known
from shared.bus import CALLS_STREAM, lease_key
from shared.contracts.call import CallUpdate

TOLD = "callcard:{calls}:told"
"""Hash call_id -> `Known` as JSON."""

TOLD_DUE = "callcard:{calls}:told:due"
"""Sorted set of the same call_ids, by the milliseconds since 1970 at which somebody must look after them."""

# KEYS: stream, lease, told, due. ARGV: call_id, what is there ('' if nothing), what shall be there ('' if nothing),
# due, update ('' if there is none). Returns 1; 0: somebody was faster; -1: a listener speaks for this PBX.
_PUT = """
if redis.call('EXISTS', KEYS[2]) == 1 then return -1 end
if (redis.call('HGET', KEYS[3], ARGV[1]) or '') ~= ARGV[2] then return 0 end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[3], ARGV[1])
  redis.call('ZREM', KEYS[4], ARGV[1])
else
  redis.call('HSET', KEYS[3], ARGV[1], ARGV[3])
  redis.call('ZADD', KEYS[4], ARGV[4], ARGV[1])
end
if ARGV[5] ~= '' then redis.call('XADD', KEYS[1], '*', 'u', ARGV[5]) end
return 1
"""


class PutAnswer(IntEnum):
    DONE = 1
    CHANGED = 0
    LISTENER_SPEAKS = -1


class Put(NamedTuple):
    """known: what shall be remembered, None: nothing more. was: what was there, as `load` gave it."""

    call_id: str
    pbx: str
    was: bytes
    known: Known | None
    due: datetime | None
    update: CallUpdate | None


class ToldCalls:
    """Every method raises RedisError, OSError or TimeoutError when Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def load(self, call_ids: Sequence[str]) -> list[bytes]:
        """What is there of each call, b'' if nothing."""
        if not call_ids:
            return []
        found: list[Any] = await self._redis.hmget(TOLD, list(call_ids))
        return [raw or b"" for raw in found]

    async def put(self, puts: Sequence[Put]) -> list[PutAnswer]:
        """In one round trip; each for itself."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for put in puts:
                pipeline.eval(
                    _PUT,
                    4,
                    CALLS_STREAM,
                    lease_key(put.pbx),
                    TOLD,
                    TOLD_DUE,
                    put.call_id,
                    put.was,
                    put.known.to_json() if put.known else b"",
                    str(int(put.due.timestamp() * 1000)) if put.due else "0",
                    put.update.to_json() if put.update else b"",
                )
            return [PutAnswer(answer) for answer in await pipeline.execute()]

    async def due(self, now: datetime, most: int) -> list[str]:
        """Calls that somebody must look after."""
        until = int(now.timestamp() * 1000)
        found: Any = await self._redis.zrangebyscore(TOLD_DUE, "-inf", until, start=0, num=most)
        return [call_id.decode() for call_id in found]

    async def drop(self, call_ids: Collection[str]) -> None:
        """Nothing is there of these calls: forget when to look after them."""
        if call_ids:
            await self._redis.zrem(TOLD_DUE, *call_ids)

    async def forget(self, call_ids: Collection[str]) -> None:
        """Everything of these calls: who tells more of one hears from the record that it is over. A process that takes
        an event of one just now finds it changed, and asks the record as well."""
        if call_ids:
            await self._redis.hdel(TOLD, *call_ids)
            await self._redis.zrem(TOLD_DUE, *call_ids)
