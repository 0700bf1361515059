"""Writing the floor to Redis, as often as people can look.

Nothing is queued here: a `Floor` remembers itself what was not said yet, so however long Redis is away, each queue and
phone is written once when it is back.
"""

import asyncio

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ami_listener.clock import Clock, SystemClock
from ami_listener.floor.floor import Floor
from shared.contracts.floor import FloorMessage, FloorRoster, QueueUpdate
from shared.floor import floor_channel, floor_phones_key, floor_queues_key
from shared.observability import logger

# A call changes a phone four times, and each change comes once for every queue of the agent. Nobody reads a board
# faster than this, and a queue of sixty members is written four times a second at most.
_GATHER_SECONDS = 0.25
# Outlives two missed heartbeats of ten seconds, as the PBX's status does: older than that nobody follows the PBX.
_KEPT_SECONDS = 35
# As at the publisher of calls.
_WRITE_SECONDS = 5.0
_RETRY_SECONDS = 0.5


class FloorPublisher:
    """`offer()` from the event loop at any time; `run()` does the writing. `written`: messages that Redis took."""

    def __init__(self, redis: Redis, *, clock: Clock | None = None) -> None:
        self.written = 0
        self._redis = redis
        self._clock = clock or SystemClock()
        self._log = logger("floor")
        self._due: dict[str, Floor] = {}
        self._wake = asyncio.Event()
        self._stopping = False
        self._away = False

    def offer(self, floor: Floor) -> None:
        """Have what is new of a PBX written soon, and what was written kept: it expires a little after the last offer,
        so a heartbeat offers, too. Only who speaks for the PBX offers; who takes over calls `floor.resend()` before."""
        self._due[floor.pbx] = floor
        self._wake.set()

    def stop(self) -> None:
        """Have `run()` return; cancel its task as well."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Write until stopped. Errors of Redis are waited out here and reach nobody."""
        while not self._stopping:
            await self._wake.wait()
            await self._clock.sleep(_RETRY_SECONDS if self._away else _GATHER_SECONDS)
            self._wake.clear()
            due, self._due = self._due, {}
            for floor in due.values():
                await self._attempt(floor)

    async def _attempt(self, floor: Floor) -> None:
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                await self._write(floor)
        except (RedisError, OSError, TimeoutError) as error:
            if not self._away:
                self._log.warning(
                    "Redis cannot be written to; phones and queues are told when it can",
                    reason=str(error) or type(error).__name__,
                )
            self._away = True
            floor.resend()  # written or not, nobody knows
            self.offer(floor)
        else:
            if self._away:
                self._log.info("Redis is back; phones and queues are told")
            self._away = False

    async def _write(self, floor: Floor) -> None:
        if not await self._send(floor, floor.take(self._clock.now())):
            # Redis lost what it had: everything once more.
            floor.resend()
            await self._send(floor, floor.take(self._clock.now()))

    async def _send(self, floor: Floor, messages: list[FloorMessage]) -> bool:
        """Does Redis hold what it should now?"""
        queues, phones = floor_queues_key(floor.pbx), floor_phones_key(floor.pbx)
        channel = floor_channel(floor.pbx)
        stale = await self._stale(floor.pbx, messages)
        # A transaction, so that who reads the hashes never sees half of a resync.
        async with self._redis.pipeline(transaction=True) as pipeline:
            for key, fields in stale:
                pipeline.hdel(key, *fields)
            for message in messages:
                raw = self._encode(message)
                if raw is None:
                    continue
                if isinstance(message, QueueUpdate):
                    pipeline.hset(queues, message.queue.name, raw)
                elif not isinstance(message, FloorRoster):
                    pipeline.hset(phones, message.phone.device, raw)
                pipeline.publish(channel, raw)
            pipeline.expire(queues, _KEPT_SECONDS)
            pipeline.expire(phones, _KEPT_SECONDS)
            answers = await pipeline.execute()
        self.written += len(messages)
        kept_queues, kept_phones = answers[-2:]
        size = floor.size()
        return bool((kept_queues or not size["queues"]) and (kept_phones or not size["phones"]))

    def _encode(self, message: FloorMessage) -> bytes | None:
        try:
            return message.to_json()
        except ValueError:  # pydantic's own is one; one like that must not stop all others
            self._log.exception("a message of the floor cannot be written as JSON", kind=message.kind)
            return None

    async def _stale(self, pbx: str, messages: list[FloorMessage]) -> list[tuple[str, list[bytes | str]]]:
        """What the newest roster does not name any more, also if a listener before us wrote it."""
        roster = next((m for m in reversed(messages) if isinstance(m, FloorRoster)), None)
        if roster is None:
            return []
        found: list[tuple[str, list[bytes | str]]] = []
        for key, names in (
            (floor_queues_key(pbx), roster.queues),
            (floor_phones_key(pbx), roster.phones),
        ):
            there = {name.encode() for name in names}
            gone = [field for field in await self._redis.hkeys(key) if field not in there]
            if gone:
                found.append((key, gone))
        return found
