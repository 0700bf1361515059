"""Call updates into the Redis stream, without ever making the reader of the PBX wait.

An update carries the whole call, so only the newest of each call has to arrive: whatever cannot be written yet
coalesces in memory. A call that has ended gets no newer update to repair a loss, so while Redis is away it waits on
disk.
"""

import asyncio
from collections.abc import Callable, Iterable

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ami_listener.clock import Clock, SystemClock
from ami_listener.spool import Spool
from shared import bus
from shared.contracts.call import CallState, CallUpdate, LegState, PbxRoster, PbxStatus
from shared.link import Command, RedisLink, xadd
from shared.observability import logger

# Updates in one round trip: enough to fill a packet train, little enough to stay below a few ms of encoding.
_BATCH = 200
# An end is several events, one a channel, a millisecond apart. Where no phone rings, waiting this long makes one update
# of them, and one packet of those of several calls, so that a busy PBX's rings find Redis and us idle; nobody sees a
# card change 20 ms later.
_GATHER_SECONDS = 0.02
# Redis on the same network answers in under a millisecond; after this long it does not answer at all.
_WRITE_SECONDS = 5.0
# A restarted Redis is back within a second or two; asking it twice a second costs nothing.
_RETRY_SECONDS = 0.5
# A status outlives two missed heartbeats: older than that nobody follows the PBX.
STATUS_SECONDS = 35


class Publisher:
    """offer() and offer_status() from the event loop at any time; `run()` does the writing.

    on_return: called when Redis is back after it was away; it offers every open call again, for a Redis that lost
    its memory. sent, lost: updates written, and ended calls that neither Redis nor the spool could take.
    """

    def __init__(
        self,
        redis: Redis,
        spool: Spool,
        *,
        on_return: Callable[[], None] = lambda: None,
        clock: Clock | None = None,
    ) -> None:
        self.away = False
        self.sent = 0
        self.lost = 0
        self._redis = redis
        self._link = RedisLink(redis)
        self._spool = spool
        self._on_return = on_return
        self._clock = clock or SystemClock()
        self._log = logger("publisher")
        self._updates: dict[str, CallUpdate] = {}
        self._statuses: dict[str, PbxStatus] = {}
        self._rosters: dict[str, PbxRoster] = {}
        self._stopping = False
        self._wake = asyncio.Event()
        self._gathering: asyncio.TimerHandle | None = None
        if spool.count:
            self._wake.set()

    @property
    def waiting(self) -> int:
        """Calls in memory that Redis has not got yet."""
        return len(self._updates)

    @property
    def spooled(self) -> int:
        """Ended calls that wait on disk."""
        return self._spool.count

    def offer(self, update: CallUpdate) -> None:
        """Take an update; the newest of each call goes out as soon as Redis takes it, and at once if a phone rings or
        is about to."""
        if self.away and update.call.state is CallState.ENDED:
            self._updates.pop(update.call_id, None)
            self._keep_on_disk(update)
            return
        self._updates[update.call_id] = update
        if _nobody_waits(update):
            if self._gathering is None:
                loop = asyncio.get_running_loop()
                self._gathering = loop.call_later(_GATHER_SECONDS, self._gathered)
        else:
            self._wake.set()

    def _gathered(self) -> None:
        self._gathering = None
        self._wake.set()

    def offer_status(self, status: PbxStatus) -> None:
        """Take what is said about a PBX; only the newest counts."""
        self._statuses[status.pbx] = status
        self._wake.set()

    def offer_roster(self, roster: PbxRoster) -> None:
        """Take which calls go on at a PBX; written after the updates that were offered before. Only the newest
        counts."""
        self._rosters[roster.pbx] = roster
        self._wake.set()

    async def reachable(self, seconds: float) -> bool:
        """Does Redis answer within that time?"""
        try:
            async with asyncio.timeout(seconds):
                await self._redis.ping()
        except (RedisError, OSError, TimeoutError):
            return False
        return not self.away

    def stop(self) -> None:
        """Have `run()` return. Cancel its task as well; that alone is not enough, because on Python 3.11
        `asyncio.wait_for`, which the Redis client uses, can swallow a cancellation that meets its result."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Write until stopped. Errors of Redis are waited out here and reach nobody."""
        while not self._stopping:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._flush()
            except (RedisError, OSError, TimeoutError) as error:
                self._gone(error)
                await self._until_back()

    async def finish(self, seconds: float) -> None:
        """Before the end of the process: a last try, then ended calls go to disk."""
        try:
            async with asyncio.timeout(seconds):
                await self._flush()
        except (RedisError, OSError, TimeoutError):
            self._rescue()

    async def _flush(self) -> None:
        while self._updates or self._statuses:
            batch = [self._updates.pop(call_id) for call_id in list(self._updates)[:_BATCH]]
            statuses, self._statuses = self._statuses, {}
            try:
                await self._write(batch, statuses.values())
            except BaseException:
                # Written or not, nobody knows: once more does no harm, a version is stored once.
                for update in batch:
                    self._updates.setdefault(update.call_id, update)
                self._statuses = statuses | self._statuses
                raise
        if self._spool.count:
            await self._deliver_spool()
        while self._rosters:
            # After the spool: what was really seen of an end goes before what is concluded from a call's absence.
            pbx, roster = next(iter(self._rosters.items()))
            async with asyncio.timeout(_WRITE_SECONDS):
                await self._redis.xadd(bus.CALLS_STREAM, bus.encode_roster(roster))
            if self._rosters.get(pbx) is roster:
                del self._rosters[pbx]

    async def _write(self, updates: Iterable[CallUpdate], statuses: Iterable[PbxStatus]) -> None:
        commands = [command for update in updates if (command := self._encode(update)) is not None]
        count = len(commands)
        commands += [
            ("SET", bus.pbx_status_key(status.pbx), status.to_json(), "EX", STATUS_SECONDS)
            for status in statuses
        ]
        if not commands:
            return
        async with asyncio.timeout(_WRITE_SECONDS):
            # Not a transaction: entries are independent, and MULTI would cost a round of parsing.
            answers = await self._link.call_all(commands)
        for answer in answers:
            if isinstance(answer, RedisError):
                raise answer
        self.sent += count

    async def _deliver_spool(self) -> None:
        delivered = 0
        while delivered < self._spool.count:  # calls may be added while these are written
            for lines in self._spool.batches(_BATCH, skip=delivered):
                await self._write([u for line in lines if (u := self._read(line)) is not None], ())
                delivered += len(lines)
        self._spool.clear()
        self._log.info("ended calls that waited on disk are delivered", calls=delivered)

    def _encode(self, update: CallUpdate) -> Command | None:
        try:
            return xadd(bus.CALLS_STREAM, bus.encode_update(update))
        except ValueError:  # pydantic's own is one; a call like that would stop all others
            self.lost += 1
            self._log.exception("an update cannot be written as JSON and is lost", call_id=update.call_id)
            return None

    def _read(self, line: bytes) -> CallUpdate | None:
        if not line:
            return None
        try:
            return CallUpdate.model_validate_json(line)
        except ValueError:
            self._log.error("a line of the spool is no call update and was skipped", length=len(line))
            return None

    def _gone(self, error: BaseException) -> None:
        self.away = True
        self._log.warning(
            "Redis cannot be written to; calls are kept here until it can",
            reason=str(error) or type(error).__name__,
            waiting=self.waiting,
        )
        self._rescue()

    def _rescue(self) -> None:
        for call_id, update in list(self._updates.items()):
            if update.call.state is CallState.ENDED:
                del self._updates[call_id]
                self._keep_on_disk(update)

    def _keep_on_disk(self, update: CallUpdate) -> None:
        if not self._spool.add(update.to_json()):
            self.lost += 1
            self._log.error(
                "an ended call is lost: Redis is away and the spool is full or cannot be written. "
                "Bring Redis back, or make room in the data folder.",
                call_id=update.call_id,
                lost=self.lost,
            )

    async def _until_back(self) -> None:
        while self.away and not self._stopping:
            await self._clock.sleep(_RETRY_SECONDS)
            try:
                # An answer to PING is not enough: a full or read-only Redis answers it too.
                async with asyncio.timeout(_WRITE_SECONDS):
                    await self._redis.ping()
                await self._flush()
            except (RedisError, OSError, TimeoutError):
                self._rescue()
            else:
                self.away = False
                self._log.info("Redis is back")
                self._on_return()


def _nobody_waits(update: CallUpdate) -> bool:
    """Is it all the same to everybody whether this is known some milliseconds later?"""
    call = update.call
    if call.state not in (CallState.ANSWERED, CallState.HELD, CallState.ENDED):
        return False
    return all(leg.state is not LegState.RINGING for leg in call.legs)
