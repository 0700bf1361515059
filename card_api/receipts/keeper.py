"""Stores rings and what tabs say of them, in batches, beside everything else: no card waits for it.

A ring comes from the card service when Redis has taken its card, a receipt from the gateways' stream. Twice a second
both are written: a ring whose receipt is there already costs one row and no more. Whatever is away, what waits is kept
within bounds; after a kill -9 the rings of the last half second are missing.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from redis.exceptions import RedisError

from card_api.background import end
from card_api.backoff import Backoff
from card_api.database import DATABASE_ERRORS, refuses_value, sentence
from card_api.metrics import Metrics
from card_api.receipts.book import RingBook
from card_api.receipts.reader import ReceiptReader
from card_api.receipts.repository import RingRepository
from card_api.receipts.ring import Ring, Tabs, Unseen, to_push, to_screen, why_unseen
from card_api.receipts.tabs import AskTabs
from shared.contracts.push import Receipt
from shared.observability import logger

# Most tabs say within a tenth of a second that they show a card: then ring and receipt are one row's one write.
_TICK_SECONDS = 0.5
# Rows of a statement: to make it and to count its answer takes three milliseconds, in which no ring is looked at.
_AT_ONCE = 100
# A receipt whose ring is not in the table: another process may be about to store it. After this it is about no ring: a
# card that was answered elsewhere, or of a process that was killed.
_PATIENCE = timedelta(seconds=10)
# A tick asks about agents one after the other, below a millisecond each; what is not answered by then is asked again.
_ASK_SECONDS = 1.0
# Statements take milliseconds; a PostgreSQL that hangs must not keep rings for ever from one that answers.
_STORE_SECONDS = 15.0
# Rings that a killed process has left without a reason.
_SETTLE_SECONDS = 60.0
_SETTLED_AFTER = timedelta(minutes=1)
_SETTLE_BACK = timedelta(days=1)
# For the figures of a quarter and a complaint within it; they tell how people work, so not for ever.
KEPT = timedelta(days=90)
_FORGET_AT_ONCE = 5000
_DRAIN_SECONDS = 2.0


class RingKeeper:
    """`book.pushed` is the card service's; run `run` as a task: it stores until it is cancelled, and then the rest."""

    def __init__(
        self,
        repository: RingRepository,
        reader: ReceiptReader,
        tabs: AskTabs,
        metrics: Metrics,
        now: Callable[[], datetime],
    ) -> None:
        self.book = RingBook()
        self._repository = repository
        self._reader = reader
        self._tabs = tabs
        self._metrics = metrics
        self._now = now
        self._log = logger("receipts")

    async def run(self) -> None:
        reading = asyncio.create_task(self._reader.run())
        tidying = asyncio.create_task(self._tidy_forever())
        backoff = Backoff()
        try:
            while True:
                await asyncio.sleep(_TICK_SECONDS)
                try:
                    async with asyncio.timeout(_STORE_SECONDS):
                        await self.tick()
                    backoff.reset()
                except DATABASE_ERRORS as error:
                    if backoff.fresh:
                        self._log.warning("rings wait for postgresql", reason=sentence(error))
                    await asyncio.sleep(backoff.next())
                except Exception as error:
                    self._log.error("storing rings failed", exc_info=error)
        finally:
            await end([reading, tidying])
            await self._drain()

    async def tick(self) -> None:
        """Store and judge what there is. Raises one of `DATABASE_ERRORS`; then it waits for the next one."""
        await self._ask(self.book.to_ask(self._now()))
        matched = await self._store()
        await self._reader.done(matched)
        await self._say()
        await self._judge()
        self._metrics.rings_lost.inc(self.book.lost)
        self.book.lost = 0

    async def _store(self) -> set[bytes]:
        """Store the rings; returns the receipts that are stored with them."""
        matched = self.book.match(self._reader.waiting)
        while rings := self.book.take_unsaved(_AT_ONCE):
            try:
                await self._add(rings)
            except BaseException:
                self.book.give_back(rings)
                raise
        return matched

    async def _add(self, rings: list[Ring]) -> None:
        try:
            added = await self._repository.add(rings)
        except DATABASE_ERRORS as error:
            if not refuses_value(error):
                raise
            if len(rings) == 1:
                self._metrics.rings_lost.inc()
                self._log.error("a ring was refused", call_id=rings[0].call_id, reason=sentence(error))
                return
            # One of them is to blame; the others must not wait for it.
            for ring in rings:
                await self._add([ring])
            return
        self._metrics.rings.inc(len(added))
        for moments in added:
            for stage, seconds in (*to_push(moments), *to_screen(moments)):
                self._metrics.ring_seconds.labels(stage).observe(seconds)

    async def _say(self) -> None:
        """Receipts of rings that are stored: a second tab, a click, a slow tab, a ring of another process."""
        everything = list(self._reader.waiting.items())
        for start in range(0, len(everything), _AT_ONCE):
            await self._say_part(dict(everything[start : start + _AT_ONCE]))

    async def _say_part(self, waiting: dict[bytes, Receipt]) -> None:
        try:
            found, shown = await self._repository.say(waiting)
        except DATABASE_ERRORS as error:
            if not refuses_value(error):
                raise
            if len(waiting) > 1:
                # One of them is to blame; the others may be all that says that a ring was seen.
                for id_, receipt in waiting.items():
                    await self._say_part({id_: receipt})
                return
            self._metrics.receipts_malformed.inc()
            self._log.error("a receipt was refused", reason=sentence(error))
            found, shown = set(waiting), []
        for moments in shown:
            for stage, seconds in to_screen(moments):
                self._metrics.ring_seconds.labels(stage).observe(seconds)
        of_no_ring = self._reader.came_before(self._now() - _PATIENCE) & waiting.keys() - found
        self._metrics.receipts_of_no_ring.inc(len(of_no_ring))
        await self._reader.done(found | of_no_ring)

    async def _ask(self, rings: list[Ring]) -> None:
        """Why has nobody shown these? Asked now, two seconds after the push; judged when it is sure that nobody has."""
        known: dict[str, Tabs] = {}
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                for ring in rings:
                    if ring.agent not in known:
                        known[ring.agent] = await self._tabs(ring.agent)
                    ring.unseen = why_unseen(ring, known[ring.agent])
        except (RedisError, OSError):  # TimeoutError is one; the next tick asks again
            pass

    async def _judge(self) -> None:
        while due := self.book.to_judge(self._now(), _AT_ONCE):
            unseen = [ring for ring in due if not ring.seen]
            for ring in unseen:
                ring.unseen = ring.unseen or Unseen.UNKNOWN
            for reason in await self._repository.judge(unseen) if unseen else ():
                self._metrics.rings_unseen.labels(reason.value).inc()
            self.book.judged(due)

    async def _tidy_forever(self) -> None:
        """Now and then: reasons that nobody will give any more, and rings that are old."""
        since = self._now() - _SETTLE_BACK
        while True:
            await asyncio.sleep(_SETTLE_SECONDS)
            try:
                until = self._now() - _SETTLED_AFTER
                left = await self._repository.settle(since, until)
                self._metrics.rings_unseen.labels("unknown").inc(left)
                since = until - _SETTLED_AFTER
                await self._repository.forget(self._now() - KEPT, _FORGET_AT_ONCE)
            except DATABASE_ERRORS:
                pass  # `run` says that PostgreSQL is away
            except Exception as error:
                self._log.error("old rings cannot be tidied up", exc_info=error)

    async def _drain(self) -> None:
        """What is not judged yet, whoever comes next settles."""
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                await self._reader.done(await self._store())
        except DATABASE_ERRORS as error:
            self._log.warning("rings were lost at the end", reason=sentence(error))
