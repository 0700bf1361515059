"""Call updates into the Redis stream, without ever making the reader of the PBX wait.

An update carries the whole call, so only the newest of each call has to arrive: whatever cannot be written yet
coalesces in memory. A call that has ended gets no newer update to repair a loss, so while Redis is away it waits on
disk.

Of the listeners that follow a PBX one speaks (`lease.py`). The others come this far with every update and drop it here.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ami_listener import memory
from ami_listener.clock import Clock, SystemClock
from ami_listener.lease import Lease
from ami_listener.memory import Recalled
from ami_listener.spool import Spool
from ami_listener.voice import Voice
from shared.cluster_link import link_to
from shared.contracts.call import CallState, CallUpdate, LegState, PbxRoster, PbxStatus
from shared.link import Command
from shared.observability import logger
from shared.script import run_scripts

# Updates of a PBX in one round trip: enough to fill a packet train, little enough to stay below a few ms of encoding.
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
# Ended calls that the disk does not take stay in memory, up to some 50 MB.
_MOST_IN_MEMORY = 10_000


class Publisher:
    """offer(), offer_status() and offer_roster() from the event loop at any time; `run()` does the writing.

    leases: one for each PBX whose updates are offered. on_refused: told when Redis does not take our lease any more.
    sent, lost: updates written, and ended calls that neither Redis nor disk nor memory could take.
    """

    def __init__(
        self,
        redis: Redis,
        spool: Spool,
        leases: Iterable[Lease],
        *,
        on_refused: Callable[[], None] = lambda: None,
        clock: Clock | None = None,
    ) -> None:
        self.away = False
        self.sent = 0
        self.lost = 0
        self._redis = redis
        self._link = link_to(redis)
        self._spool = spool
        self._voices = {lease.pbx: Voice(lease) for lease in leases}
        self._on_refused = on_refused
        self._clock = clock or SystemClock()
        self._log = logger("publisher")
        self._stopping = False
        self._wake = asyncio.Event()
        self._gathering: asyncio.TimerHandle | None = None
        self._delivering = asyncio.Lock()
        if spool.count:
            self._wake.set()

    @property
    def waiting(self) -> int:
        """Calls in memory that Redis has not got yet."""
        return sum(len(voice.updates) for voice in self._voices.values())

    @property
    def spooled(self) -> int:
        """Ended calls that wait on disk."""
        return self._spool.count

    def speaks(self, pbx: str) -> bool:
        """Is what is offered for this PBX written by us?"""
        return self._voices[pbx].speaking

    def offer(self, update: CallUpdate) -> None:
        """Take an update; the newest of each call goes out as soon as Redis takes it, and at once if a phone rings or
        is about to. A standby keeps ends for a minute and forgets the rest."""
        voice = self._voices[update.pbx]
        if not voice.offer(update, self._clock.monotonic()):
            return
        if self.away and update.call.state is CallState.ENDED:
            del voice.updates[update.call_id]
            self._keep(voice, [update])
        elif not _nobody_waits(update):
            self._wake.set()
        elif self._gathering is None:
            loop = asyncio.get_running_loop()
            self._gathering = loop.call_later(_GATHER_SECONDS, self._gathered)

    def _gathered(self) -> None:
        self._gathering = None
        self._wake.set()

    def offer_status(self, status: PbxStatus) -> None:
        """Take what is said about a PBX; only the newest counts, and only a speaker says it."""
        self._voices[status.pbx].status = status
        self._wake.set()

    def offer_roster(self, roster: PbxRoster) -> None:
        """Take which calls go on at a PBX; written after the updates that were offered before. Only the newest
        counts."""
        self._voices[roster.pbx].roster = roster
        self._wake.set()

    def hold(self, pbx: str) -> None:
        """Write nothing of this PBX until `speak`: the lease has just been taken."""
        self._voices[pbx].speaking = False

    async def recall(self, pbx: str) -> Recalled:
        """What has been told of this PBX, what waited on our disk included. Raises RedisError, OSError or
        TimeoutError."""
        async with asyncio.timeout(_WRITE_SECONDS):
            await self._deliver_spool()
            return await memory.recall(self._link, pbx)

    def speak(self, pbx: str, recalled: Recalled, stamp: Callable[[datetime], int]) -> set[str]:
        """This listener holds the lease and knows what was told: from now on it writes. See `Voice.speak`."""
        ended = self._voices[pbx].speak(recalled, stamp)
        self._wake.set()
        return ended

    def hush(self, pbx: str) -> None:
        """Another listener speaks for this PBX now. Ends that we had still to tell go by way of the disk."""
        voice = self._voices[pbx]
        self._keep(voice, voice.hush(self._clock.monotonic()))
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
            pass
        self._rescue_all()

    async def _flush(self) -> None:
        while await self._write_updates():
            pass
        await self._deliver_spool()
        if any(voice.waits_for_lease() for voice in self._voices.values()):
            # Ends that may not be written yet: is Redis there at all, or must the disk take them? PING would be
            # answered by a full Redis, which gives no lease.
            await self._run((memory.probe(),))
        # After the spool: what was really seen of an end goes before what is concluded from a call's absence.
        for voice in self._voices.values():
            roster = voice.roster
            if roster is not None and voice.speaking:
                (taken,) = await self._run((memory.tell_roster(voice.lease, roster),))
                if not taken:
                    self._refused(voice)
                elif voice.roster is roster:
                    voice.roster = None

    async def _write_updates(self) -> bool:
        """Write a batch of each PBX; False if there was nothing to write."""
        now_ms = int(self._clock.now().timestamp() * 1000)
        commands: list[Command] = []
        batches: list[tuple[Voice, list[CallUpdate]]] = []
        statuses: list[tuple[Voice, PbxStatus]] = []
        for voice in self._voices.values():
            updates = voice.take(_BATCH)
            encoded = [(update, raw) for update in updates if (raw := self._encode(update)) is not None]
            if encoded:
                batches.append((voice, updates))
                commands.append(memory.append(voice.lease, encoded))
        for voice in self._voices.values():
            if voice.speaking and voice.status is not None:
                statuses.append((voice, voice.status))
                commands.append(memory.tell_status(voice.lease, voice.status, STATUS_SECONDS, now_ms))
                voice.status = None
        if not commands:
            return False
        try:
            answers = await self._run(commands)
        except BaseException:
            # Written or not, nobody knows: once more does no harm, a version is stored once.
            for voice, updates in batches:
                voice.put_back(updates)
            for voice, status in statuses:
                voice.status = voice.status or status
            raise
        for (voice, updates), taken in zip(batches, answers, strict=False):
            if taken:
                self.sent += len(updates)
                voice.told(updates, self._clock.monotonic())
            else:
                voice.put_back(updates)
                self._refused(voice)
        for (voice, status), taken in zip(statuses, answers[len(batches) :], strict=True):
            if not taken:
                voice.status = voice.status or status
                self._refused(voice)
        return True

    def _refused(self, voice: Voice) -> None:
        if not voice.speaking:
            return
        voice.speaking = False
        voice.lease.refused()
        self._log.warning(
            "Redis took nothing of what was said of the PBX: our lease is over", pbx=voice.lease.pbx
        )
        self._on_refused()

    async def _run(self, commands: Sequence[Command]) -> list[Any]:
        async with asyncio.timeout(_WRITE_SECONDS):
            return await run_scripts(self._link, memory.SCRIPTS, commands)

    async def _deliver_spool(self) -> None:
        async with self._delivering:
            if not self._spool.count:
                return
            delivered = new = 0
            while delivered < self._spool.count:  # calls may be added while these are written
                for lines in self._spool.batches(_BATCH, skip=delivered):
                    ends: dict[str, list[tuple[CallUpdate, bytes]]] = {}
                    for line in lines:
                        if (update := self._read(line)) is not None:
                            ends.setdefault(update.pbx, []).append((update, line))
                    if ends:
                        new += sum(await self._run([memory.append_late(p, e) for p, e in ends.items()]))
                    delivered += len(lines)
            self._spool.clear()
            self.sent += new
            self._log.info("ended calls that waited on disk are delivered", calls=delivered, new=new)

    def _encode(self, update: CallUpdate) -> bytes | None:
        try:
            return update.to_json()
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
        self._rescue_all()

    def _rescue_all(self) -> None:
        for voice in self._voices.values():
            self._keep(voice, voice.ended())

    def _keep(self, voice: Voice, ends: list[CallUpdate]) -> None:
        """Ended calls go to disk. What it does not take stays in memory: it may have room again, or Redis be back,
        before this process ends."""
        for at, update in enumerate(ends):
            raw = self._encode(update)
            if raw is not None and not self._spool.add(raw):
                room = max(0, _MOST_IN_MEMORY - len(voice.updates))
                voice.put_back(ends[at : at + room])
                self._lose(ends[at + room :])
                return

    def _lose(self, ends: list[CallUpdate]) -> None:
        for update in ends:
            self.lost += 1
            self._log.error(
                "an ended call is lost: Redis is away, the spool is full or cannot be written, and memory is full. "
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
                self._rescue_all()
            else:
                self.away = False
                self._log.info("Redis is back")


def _nobody_waits(update: CallUpdate) -> bool:
    """Is it all the same to everybody whether this is known some milliseconds later?"""
    call = update.call
    if call.state not in (CallState.ANSWERED, CallState.HELD, CallState.ENDED):
        return False
    return all(leg.state is not LegState.RINGING for leg in call.legs)
