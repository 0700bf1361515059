"""What the listeners say of their links, as they left it in Redis."""

from collections.abc import Callable
from time import monotonic

from redis.asyncio import Redis

from shared.bus import pbx_status_key
from shared.contracts.call import PbxStatus
from shared.observability import logger

# Every open tab asks every few seconds; Redis is asked once in this time for all of them.
_KEPT_SECONDS = 1.0
_SCAN_COUNT = 1000


class PbxService:
    def __init__(self, redis: Redis, clock: Callable[[], float] = monotonic) -> None:
        self._redis = redis
        self._clock = clock
        self._until = 0.0
        self._kept: list[PbxStatus] = []
        self._log = logger("pbx")

    async def all(self) -> list[PbxStatus]:
        """Every PBX that a listener has spoken of, by name. Raises RedisError when Redis is away."""
        if self._clock() < self._until:
            return self._kept
        keys = sorted([key async for key in self._redis.scan_iter(pbx_status_key("*"), count=_SCAN_COUNT)])
        found = []
        for raw in await self._redis.mget(keys) if keys else []:
            if raw is None:
                continue
            try:
                found.append(PbxStatus.model_validate_json(raw))
            except ValueError:
                self._log.warning("a PBX status cannot be read")
        self._kept, self._until = found, self._clock() + _KEPT_SECONDS
        return found
