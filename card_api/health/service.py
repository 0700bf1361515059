"""Is this process fit to serve? Each part says so with a reason."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import time
from typing import cast

from pydantic import BaseModel
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.database import DATABASE_ERRORS, sentence
from shared.bus import CALLS_STREAM

# A probe that waits longer than this is a no; orchestrators give up after about a second more.
_DEADLINE_SECONDS = 2.0
# A call update that waits longer than this is not being handled: cards would come when the call is over.
_LAG_SECONDS = 10.0


class Check(BaseModel):
    ok: bool
    detail: str


class Readiness(BaseModel):
    """`ready` is true when every check is ok."""

    ready: bool
    checks: dict[str, Check]


class HealthService:
    """`expected_revision`: of the schema this code was written for. `more`: of parts not always there."""

    def __init__(
        self,
        engine: AsyncEngine,
        redis: Redis,
        expected_revision: str | None,
        more: Mapping[str, Callable[[], Awaitable[Check]]] | None = None,
    ) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._redis = redis
        self._expected = expected_revision
        self._more = more or {}

    async def readiness(self) -> Readiness:
        looks = {
            "postgresql": self._postgresql,
            "redis": self._redis_answers,
            "calls": self._calls,
            **self._more,
        }
        results = await asyncio.gather(*(_guarded(look) for look in looks.values()))
        checks = dict(zip(looks, results, strict=True))
        return Readiness(ready=all(check.ok for check in results), checks=checks)

    async def backlog(self) -> int | None:
        """Stream entries that are not stored yet; None when Redis is away."""
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                return int(await self._redis.xlen(CALLS_STREAM))
        except (RedisError, OSError, TimeoutError):
            return None

    async def _postgresql(self) -> Check:
        async with self._engine.connect() as connection:
            known = await connection.scalar(text("select to_regclass('alembic_version') is not null"))
            revision = (
                await connection.scalar(text("select version_num from alembic_version")) if known else None
            )
        if revision != self._expected:
            return Check(
                ok=False,
                detail=f"the schema is at {revision or 'nothing'}, this version needs {self._expected}: "
                "run callcard db upgrade",
            )
        return Check(ok=True, detail=f"schema {revision}")

    async def _redis_answers(self) -> Check:
        await self._redis.ping()
        return Check(ok=True, detail="answers")

    async def _calls(self) -> Check:
        oldest = await self._redis.xrange(CALLS_STREAM, count=1)
        if not oldest:
            return Check(ok=True, detail="nothing waits")
        milliseconds = int(cast("bytes", oldest[0][0]).split(b"-")[0])
        waits = time() - milliseconds / 1000
        detail = f"{await self._redis.xlen(CALLS_STREAM)} updates wait, the oldest for {max(waits, 0):.1f} s"
        return Check(ok=waits < _LAG_SECONDS, detail=detail)


async def _guarded(check: Callable[[], Awaitable[Check]]) -> Check:
    try:
        async with asyncio.timeout(_DEADLINE_SECONDS):
            return await check()
    except ResponseError as error:
        return Check(ok=False, detail=str(error))
    except (*DATABASE_ERRORS, RedisError) as error:
        return Check(ok=False, detail=f"is away: {sentence(error)}")
