"""From the stream of call updates to cards and to the record.

Two loops share a buffer. The reader shows cards first, from memory, because a phone is ringing; the storer writes what
was read in batches and only then acknowledges it. So a crash at any point means that an entry is read again, by the
next process, and that is harmless: the record takes higher versions only, and a card that is known is not published
twice.
"""

import asyncio
import os
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from card_api.agents.directory import Directory
from card_api.background import end
from card_api.backoff import Backoff
from card_api.calls.buffer import Batch, Buffer, Entry
from card_api.calls.facts import CountryOf, somebody_rings
from card_api.calls.repository import CallRepository
from card_api.calls.row import call_row
from card_api.calls.unseen import ended_unseen
from card_api.cards.service import CardService
from card_api.database import DATABASE_ERRORS, refuses_value, sentence
from card_api.metrics import Metrics
from shared.bus import CALLS_GROUP, CALLS_STREAM, decode_roster, decode_update
from shared.cluster_link import link_to
from shared.contracts.call import PbxRoster
from shared.observability import logger

DEAD_STREAM = "callcard:{calls}:dead"
"""Entries that nobody could read or store: fields of the entry, `reason`, `id`. For a person to look at."""

# As many as anyone would look at.
_DEAD_LENGTH = 1000
# A burst is read in bites small enough that the first card of it does not wait for the last.
_READ_COUNT = 100
_BLOCK_MS = 1000
# Cards made before others get their turn: about a millisecond.
_BITE = 4
# Redis answers a blocking read in time or is gone without saying so.
_READ_DEADLINE_SECONDS = 5.0
# An entry that somebody holds for longer has lost its consumer, or its consumer waits for PostgreSQL; handling it
# twice is harmless, so this may be short: it is how long the record lags after a crash.
CLAIM_IDLE_MS = 3000
# Updates of one call come in bunches. Storing a moment later writes each call once a bunch and leaves the moment of
# the ring to the cards; the record may lag by this much, nobody looks there for what rings now.
_GATHER_SECONDS = 0.1
# One statement's worth: about 2 MB of documents.
_STORE_COUNT = 400
_STORE_DEADLINE_SECONDS = 15.0
# Redis answers in under a millisecond or not at all.
_ACKNOWLEDGE_SECONDS = 5.0
# At the end of the process: time to store what was read, well within the five seconds that Ctrl-C promises.
_DRAIN_SECONDS = 2.0
# Calls that another consumer has ended, and consumers that are no more, are cleared away now and then.
_SWEEP_SECONDS = 60.0
_CONSUMER_GONE_MS = 3_600_000


class CallConsumer:
    """`run()` until it is cancelled; it never ends by itself, whatever is away."""

    def __init__(
        self,
        redis: Redis,
        repository: CallRepository,
        cards: CardService,
        directory: Callable[[], Directory],
        country_of: CountryOf,
        metrics: Metrics,
        claim_idle_ms: int = CLAIM_IDLE_MS,
    ) -> None:
        self._redis = redis
        self._repository = repository
        self._cards = cards
        self._directory = directory
        self._country_of = country_of
        self._metrics = metrics
        # A name of its own for each process: entries of one that was killed are claimed, not mixed up with ours.
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._claim_idle_ms = claim_idle_ms
        # Two, because the first waits for calls most of the time.
        self._reading, self._acknowledging = link_to(redis), link_to(redis)
        self._read_command = (
            *("XREADGROUP", "GROUP", CALLS_GROUP, self._name, "COUNT", _READ_COUNT, "BLOCK", _BLOCK_MS),
            *("STREAMS", CALLS_STREAM, ">"),
        )
        self._buffer = Buffer()
        self._righting = asyncio.Lock()
        self._rosters: asyncio.Queue[tuple[bytes, PbxRoster]] = asyncio.Queue()
        self._log = logger("calls")

    async def run(self) -> None:
        storer = asyncio.create_task(self._store_forever())
        helpers = [
            asyncio.create_task(self._restore()),
            asyncio.create_task(self._claim_forever()),
            asyncio.create_task(self._close_unseen_forever()),
        ]
        try:
            await self._read_forever()
        finally:
            await asyncio.gather(self._drain(storer), end(helpers))

    # --- reading ------------------------------------------------------------------------------------------------

    async def _read_forever(self) -> None:
        backoff = Backoff()
        while True:
            try:
                await self._join()
                if not backoff.fresh:
                    self._log.info("redis is back; calls are read again")
                backoff.reset()
                while True:
                    await self._read()
            except (RedisError, OSError, TimeoutError) as error:
                if backoff.fresh and "NOGROUP" not in str(error):
                    self._log.error(
                        "redis is away: no call can be followed until it is back", reason=str(error)
                    )
            except Exception as error:  # a bug must not end the telephone service
                self._log.error("reading calls failed", exc_info=error)
            await asyncio.sleep(backoff.next())

    async def _join(self) -> None:
        """Make the group (Redis may have come back empty) and put the desks right."""
        try:
            # From 0: what was sent before the group existed is for us as well.
            await self._redis.xgroup_create(CALLS_STREAM, CALLS_GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        # If a node of a Redis Cluster is away that has some desks, the calls of the others are followed all the same;
        # the desks are looked at every second, and the cards go on trying.
        with suppress(RedisError, OSError):
            await self._right_desks()
            await self._cards.flush()

    async def _right_desks(self) -> bool:
        """Put the desks back if Redis lost them; False if nobody knows yet whose desks there are."""
        if not self._directory().by_login:
            return False
        async with self._righting:
            if not await self._cards.desk_is_fresh():
                await self._cards.rebuild()
        return True

    async def _read(self) -> None:
        await self._buffer.room()
        async with asyncio.timeout(_READ_DEADLINE_SECONDS):
            streams = await self._reading.call(*self._read_command)
        if not streams:
            return
        entries = await self._decode([(id_, _pairs(fields)) for id_, fields in streams[0][1]])
        rings = [entry for entry in entries if somebody_rings(entry.update.call)]
        others = [entry for entry in entries if not somebody_rings(entry.update.call)]
        await self._show(rings)
        for start in range(0, len(others), _BITE):
            await self._show(others[start : start + _BITE])

    async def _show(self, entries: list[Entry]) -> None:
        """Show these, and let go out what that began: a ring's question to PostgreSQL does not wait until the answers
        and ends that came with it are on the screens."""
        if not entries:
            return
        # In one step: what is in the buffer gets acknowledged, and must have been shown then.
        for entry in entries:
            self._buffer.add(entry)
        self._cards.show([entry.update for entry in entries])
        await asyncio.sleep(0)

    async def _claim_forever(self) -> None:
        """Take over entries of consumers that are no more; now and then clear up. Beside the reader, because it asks
        PostgreSQL, and a ring does not wait for that."""
        next_sweep = monotonic() + _SWEEP_SECONDS
        while True:
            try:
                while await self._claim():
                    pass
                # Nobody tells when a node of a Redis Cluster that has desks, and not the stream, lost some.
                await self._right_desks()
                if monotonic() >= next_sweep:
                    next_sweep = monotonic() + _SWEEP_SECONDS
                    await self._sweep()
            except (*DATABASE_ERRORS, RedisError):
                pass  # tried again below; reader and storer say what is away
            except Exception as error:
                self._log.error("taking over calls failed", exc_info=error)
            await asyncio.sleep(self._claim_idle_ms / 3000)

    async def _claim(self) -> bool:
        """One bite; False if there was nothing to take over."""
        _, claimed, *_ = await self._redis.xautoclaim(
            CALLS_STREAM, CALLS_GROUP, self._name, min_idle_time=self._claim_idle_ms, count=_READ_COUNT
        )
        entries = await self._decode([(id_, fields) for id_, fields in claimed if fields])
        if entries:
            await self._take_over(entries)
        return len(claimed) == _READ_COUNT

    async def _take_over(self, entries: list[Entry]) -> None:
        """Show only what the record does not know better: what is over must not ring again."""
        stored = await self._repository.versions({entry.update.call_id for entry in entries})
        for entry in entries:
            self._buffer.add(entry)
        self._cards.show([e.update for e in entries if e.update.version > stored.get(e.update.call_id, -1)])

    async def _sweep(self) -> None:
        open_ids = self._cards.open_ids
        if open_ids:
            self._cards.forget(await self._repository.ended_among(open_ids))
        for consumer in await self._redis.xinfo_consumers(CALLS_STREAM, CALLS_GROUP):
            if consumer["pending"] == 0 and consumer["idle"] > _CONSUMER_GONE_MS:
                await self._redis.xgroup_delconsumer(CALLS_STREAM, CALLS_GROUP, consumer["name"])

    async def _decode(self, raw: list[tuple[bytes, dict[bytes, bytes]]]) -> list[Entry]:
        entries = []
        for entry_id, fields in raw:
            self._metrics.updates.inc()
            try:
                roster = decode_roster(fields)
                if roster is not None:
                    self._rosters.put_nowait((entry_id, roster))
                    continue
                update = decode_update(fields)
                if update.call.call_id != update.call_id:
                    raise ValueError("the update's call_id is not its call's")
            except ValueError as error:
                await self._set_aside([entry_id], fields, f"unreadable: {type(error).__name__}")
            else:
                entries.append(Entry(entry_id, update, fields[b"u"]))
        return entries

    async def _set_aside(self, ids: list[bytes], fields: dict[bytes, bytes], reason: str) -> None:
        """Out of the way of the others, but not thrown away."""
        self._metrics.malformed.inc()
        self._log.error(
            "a call update was set aside", entry=ids[-1].decode(), reason=reason, stream=DEAD_STREAM
        )
        kept: dict[Any, Any] = {**fields, b"reason": reason, b"id": ids[-1]}
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.xadd(DEAD_STREAM, kept, maxlen=_DEAD_LENGTH)
            pipeline.xack(CALLS_STREAM, CALLS_GROUP, *ids)
            pipeline.xdel(CALLS_STREAM, *ids)
            await pipeline.execute()

    async def _close_unseen_forever(self) -> None:
        """End the calls that a roster does not have. Beside the reader, because it asks PostgreSQL, and a ring does
        not wait for that."""
        while True:
            entry_id, roster = await self._rosters.get()
            backoff = Backoff()
            while True:
                try:
                    await self._close_unseen(entry_id, roster)
                    break
                except (*DATABASE_ERRORS, RedisError):
                    await asyncio.sleep(backoff.next())  # reader and storer say what is away
                except Exception as error:  # not acknowledged, so it is claimed and tried again
                    self._log.error("calls that ended unseen could not be closed", exc_info=error)
                    break

    async def _close_unseen(self, entry_id: bytes, roster: PbxRoster) -> None:
        updates = ended_unseen(await self._repository.open_calls(roster.pbx), roster)
        if not updates:
            await self._acknowledge([entry_id])
            return
        self._log.warning("calls ended while nobody was listening", pbx=roster.pbx, calls=len(updates))
        for update in updates:
            # Acknowledged with the roster, when they are stored.
            self._buffer.add(Entry(entry_id, update, update.to_json()))
        self._cards.show(updates)

    async def _restore(self) -> None:
        """Take up the calls that were open when the process before us ended."""
        backoff = Backoff()
        while True:
            try:
                await self._cards.restore(await self._repository.open_calls())
                if await self._right_desks():
                    return
            except (*DATABASE_ERRORS, RedisError):
                pass  # reader and storer say what is away
            except Exception as error:
                self._log.error("open calls could not be restored", exc_info=error)
            await asyncio.sleep(backoff.next())

    # --- storing ------------------------------------------------------------------------------------------------

    async def _store_forever(self) -> None:
        while not self._buffer.closed or len(self._buffer):
            await self._buffer.filled()
            if not self._buffer.closed:
                await asyncio.sleep(_GATHER_SECONDS)
            batch = self._buffer.take()
            try:
                await self._settle(batch)
            except Exception as error:  # not acknowledged, so it is read again
                self._log.error("storing calls failed", exc_info=error)

    async def _settle(self, batch: Batch) -> None:
        entries = list(batch.newest.values())
        for start in range(0, len(entries), _STORE_COUNT):
            part = entries[start : start + _STORE_COUNT]
            refused = await self._store(part)
            done = [i for e in part if e not in refused for i in batch.ids[e.update.call_id]]
            try:
                await self._acknowledge(done)
                for entry in refused:
                    await self._set_aside(
                        batch.ids[entry.update.call_id], {b"u": entry.raw}, "PostgreSQL refused its values"
                    )
            except (RedisError, OSError, TimeoutError):
                # Stored but not acknowledged: they come again, are found to be known, and are acknowledged then.
                continue

    async def _store(self, entries: list[Entry]) -> list[Entry]:
        """Write the calls, however long it takes; returns those that PostgreSQL will never take."""
        directory = self._directory()
        rows = [call_row(e.update, e.raw, directory, self._country_of) for e in entries]
        backoff = Backoff()
        while True:
            try:
                async with asyncio.timeout(_STORE_DEADLINE_SECONDS):
                    written = await self._repository.store(rows)
            except DATABASE_ERRORS as error:
                if refuses_value(error):
                    if len(entries) == 1:
                        return entries
                    # One of them is to blame; the others must not wait for it.
                    return [bad for entry in entries for bad in await self._store([entry])]
                self._metrics.store_failures.inc()
                if backoff.fresh:
                    self._log.error(
                        "postgresql does not take calls: they wait and nothing is lost",
                        waiting=len(rows) + len(self._buffer),
                        reason=sentence(error),
                    )
                await asyncio.sleep(backoff.next())
            else:
                if not backoff.fresh:
                    self._log.info("postgresql takes calls again", stored=len(rows))
                self._metrics.stored.inc(len(written))
                return []

    async def _acknowledge(self, ids: list[bytes]) -> None:
        """Stored: the group forgets them, and the stream does too."""
        if not ids:
            return
        async with asyncio.timeout(_ACKNOWLEDGE_SECONDS):
            answers = await self._acknowledging.call_all(
                [("XACK", CALLS_STREAM, CALLS_GROUP, *ids), ("XDEL", CALLS_STREAM, *ids)]
            )
        for answer in answers:
            if isinstance(answer, RedisError):
                raise answer

    async def _drain(self, storer: asyncio.Task[None]) -> None:
        """Store what was read, if PostgreSQL is there; what is left is claimed by the next process."""
        self._buffer.close()
        await asyncio.wait([storer], timeout=_DRAIN_SECONDS)
        if not storer.done():
            self._log.warning("calls that were read are stored by the next start")
            await end([storer])


def _pairs(flat: list[bytes]) -> dict[bytes, bytes]:
    """Fields of an entry as Redis sends them: name, value, name, value, …"""
    return dict(zip(flat[::2], flat[1::2], strict=True))
