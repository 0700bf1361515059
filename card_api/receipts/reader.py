"""Reading receipts from the gateways' stream: each is kept until it is stored, and only then acknowledged."""

import asyncio
import os
import secrets
import socket
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from card_api.background import end
from card_api.backoff import Backoff
from shared.cluster_link import link_to
from shared.contracts.push import Receipt
from shared.observability import logger
from shared.push import RECEIPTS_STREAM, decode_receipt

GROUP = "card_api"
# A bite of the stream; 300 bytes an entry.
_READ_COUNT = 200
_BLOCK_MS = 1000
# Redis answers a blocking read in time or is gone without saying so.
_READ_DEADLINE_SECONDS = 5.0
# Receipts read ahead of PostgreSQL, 3 MB; the rest waits in the stream.
ROOM = 5_000
# What a process holds for longer has lost it, or PostgreSQL is away; twice is harmless.
CLAIM_IDLE_MS = 30_000
_ACKNOWLEDGE_SECONDS = 5.0


class ReceiptReader:
    """Run `run` as a task. `waiting`: receipts that are not stored yet, by entry, oldest first."""

    def __init__(
        self,
        redis: Redis,
        malformed: Counter,
        now: Callable[[], datetime],
        claim_idle_ms: int = CLAIM_IDLE_MS,
    ) -> None:
        self._redis = redis
        self._now = now
        self._malformed = malformed
        self._claim_idle_ms = claim_idle_ms
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._reading, self._acknowledging = link_to(redis), link_to(redis)
        self._room = asyncio.Event()
        self._room.set()
        self._log = logger("receipts")
        self.waiting: dict[bytes, Receipt] = {}
        self._came: dict[bytes, datetime] = {}

    async def run(self) -> None:
        """Until cancelled, whatever is away."""
        claiming = asyncio.create_task(self._claim_forever())
        backoff = Backoff()
        try:
            while True:
                try:
                    await self._join()
                    backoff.reset()
                    while True:
                        await self._read()
                except (RedisError, OSError, TimeoutError):
                    pass  # the consumer of calls says that Redis is away
                except Exception as error:
                    self._log.error("reading receipts failed", exc_info=error)
                await asyncio.sleep(backoff.next())
        finally:
            await end([claiming])

    def came_before(self, moment: datetime) -> set[bytes]:
        """Those that wait since then or longer, by our own clock."""
        return {id_ for id_, came in self._came.items() if came < moment}

    async def done(self, ids: Iterable[bytes]) -> None:
        """These are stored. Redis away: they come again, and find that nothing is new."""
        finished = list(ids)
        if not finished:
            return
        try:
            async with asyncio.timeout(_ACKNOWLEDGE_SECONDS):
                await self._acknowledging.call_all(
                    [("XACK", RECEIPTS_STREAM, GROUP, *finished), ("XDEL", RECEIPTS_STREAM, *finished)]
                )
        except (RedisError, OSError, TimeoutError):
            pass
        for id_ in finished:
            self.waiting.pop(id_, None)
            self._came.pop(id_, None)
        if len(self.waiting) < ROOM:
            self._room.set()

    async def _join(self) -> None:
        try:
            # From 0: what was said before the group existed is for us as well.
            await self._redis.xgroup_create(RECEIPTS_STREAM, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def _read(self) -> None:
        await self._room.wait()
        async with asyncio.timeout(_READ_DEADLINE_SECONDS):
            streams = await self._reading.call(
                *("XREADGROUP", "GROUP", GROUP, self._name, "COUNT", _READ_COUNT, "BLOCK", _BLOCK_MS),
                *("STREAMS", RECEIPTS_STREAM, ">"),
            )
        if streams:
            entries = [(id_, dict(zip(flat[::2], flat[1::2], strict=True))) for id_, flat in streams[0][1]]
            await self._take(entries)

    async def _take(self, entries: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> None:
        bad: list[bytes] = []
        now = self._now()
        for id_, fields in entries:
            try:
                self.waiting[id_] = decode_receipt(fields)
                self._came.setdefault(id_, now)
            except ValueError:
                bad.append(id_)
        if bad:
            self._malformed.inc(len(bad))
            self._log.warning("receipts that cannot be read were dropped", count=len(bad))
            await self.done(bad)
        if len(self.waiting) >= ROOM:
            self._room.clear()

    async def _claim_forever(self) -> None:
        """Take over receipts of processes that are no more."""
        while True:
            await asyncio.sleep(self._claim_idle_ms / 3000)
            try:
                await self._room.wait()
                claimed: Any = await self._redis.xautoclaim(
                    *(RECEIPTS_STREAM, GROUP, self._name),
                    min_idle_time=self._claim_idle_ms,
                    count=_READ_COUNT,
                )
                await self._take([(id_, fields) for id_, fields in claimed[1] if fields])
                await self._forget_consumers()
            except (RedisError, OSError):
                pass
            except Exception as error:
                self._log.error("taking over receipts failed", exc_info=error)

    async def _forget_consumers(self) -> None:
        """Processes that are long gone and hold nothing."""
        for consumer in await self._redis.xinfo_consumers(RECEIPTS_STREAM, GROUP):
            if consumer["pending"] == 0 and consumer["idle"] > 3_600_000:
                await self._redis.xgroup_delconsumer(RECEIPTS_STREAM, GROUP, consumer["name"])
