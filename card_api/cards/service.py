"""Cards of the calls that go on now: kept in memory, looked up once a call, published when something changes."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Coroutine, Iterable
from contextlib import suppress
from datetime import datetime
from functools import partial
from time import perf_counter

from redis.exceptions import RedisError

from card_api.agents.directory import Directory
from card_api.background import end
from card_api.backoff import FIRST_SECONDS, Backoff
from card_api.calls.facts import account_of, customer_end
from card_api.calls.repository import StoredCall
from card_api.cards.open_call import OpenCall
from card_api.cards.places import Place, places
from card_api.cards.render import Knowledge, Site, SourceReport, render
from card_api.lookup.schemas import Question
from card_api.lookup.service import SOURCE
from card_api.metrics import Metrics
from card_api.sources.gather import Gathered, Gatherer
from shared.contracts.call import Call, CallState, CallUpdate, Direction
from shared.contracts.card import Card, CardState, SourceStatus
from shared.observability import logger
from shared.push import CardPublisher
from shared.revision import parts

# A look-up takes a millisecond. Waiting this long for it before the first card saves the screen a flash of "unknown
# caller"; a database that needs longer patches the card instead. Up to a tenth of a second looks like at once to
# people; less would have a busy minute publish its cards twice, and so be busier.
GRACE_SECONDS = 0.1
# A look-up in our own tables that failed is tried again with the call's next update, but not more often: the database
# is having a hard time already.
RETRY_SECONDS = 1.0
# Calls that are over are remembered by version, so that a late duplicate does not ring again. A thousand calls an hour
# make this a day; an entry is 200 bytes.
REMEMBERED = 20_000
# The record gets a call's end a tenth of a second later than the screens; this many calls end in that time on no PBX.
NOT_STORED_YET = 200


def _nobody_asks(card: Card, at: datetime) -> None:
    """Nobody wants to know which cards are on their way."""


class CardService:
    """Takes calls as they change, publishes cards. `directory` and `now` are asked whenever they are needed. `pushed`
    is told of each card that Redis has taken, and must be quick: others wait for theirs."""

    def __init__(
        self,
        publisher: CardPublisher,
        gatherer: Gatherer,
        directory: Callable[[], Directory],
        site: Site,
        metrics: Metrics,
        now: Callable[[], datetime],
        pushed: Callable[[Card, datetime], None] = _nobody_asks,
    ) -> None:
        self._publisher = publisher
        self._pushed = pushed
        self._gatherer = gatherer
        self._directory = directory
        self._site = site
        self._metrics = metrics
        self._now = now
        self._open: dict[str, OpenCall] = {}
        self._over: OrderedDict[str, int] = OrderedDict()
        self._just_over: OrderedDict[str, OpenCall] = OrderedDict()
        # Cards that Redis has not taken yet; only the newest of each agent and call.
        self._outbox: dict[tuple[str, str], Card] = {}
        self._flushing = asyncio.Lock()
        self._flusher: asyncio.Task[None] | None = None
        self._more = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._log = logger("cards")
        metrics.open_calls.set_function(lambda: len(self._open))

    # --- what comes in ------------------------------------------------------------------------------------------

    def show(self, updates: Iterable[CallUpdate]) -> None:
        """Publish what these updates change on agents' screens; the reader of the next ones does not wait for that."""
        for update in updates:
            try:
                self._take(update.call_id, update.call, update.version)
            except Exception as error:  # one call nobody can render must not keep the others from ringing
                self._metrics.render_failures.inc()
                self._log.error(
                    "cards of a call could not be rendered", call_id=update.call_id, exc_info=error
                )
        self._flush_soon()

    async def flush(self) -> None:
        """Publish every card that waits. Raises RedisError when Redis is away, or a node of it that has some of them;
        the others are published then.

        One at a time: two of them at once would publish the same cards twice, and under load ever more often.
        """
        async with self._flushing:
            while cards := list(self._outbox.values()):
                refused = await self._publisher.publish_cards(cards)
                now, away = self._now(), None
                for card, known in zip(cards, refused, strict=True):
                    if isinstance(known, RedisError):
                        away = known
                        continue
                    if self._outbox.get((card.agent, card.call_id)) is card:
                        del self._outbox[card.agent, card.call_id]
                    if known is not None:
                        self._insist(card, known)
                        continue
                    self._pushed(card, now)
                    self._metrics.cards.labels(card.state.value).inc()
                    if card.state is CardState.RINGING and card.call.ringing_at is not None:
                        self._metrics.ring_to_publish.observe((now - card.call.ringing_at).total_seconds())
                if away is not None:
                    raise away

    async def restore(self, stored: Iterable[StoredCall]) -> None:
        """Take up open calls of the record that nobody has told us about (after a start)."""
        for item in stored:
            call = item.call
            if call.call_id not in self._open:
                self._take(call.call_id, call, item.version)
        await self.flush()

    async def rebuild(self) -> None:
        """Redis lost its data: put every open card back on its desk. Raises RedisError when it is away again."""
        directory = self._directory()
        # The end of a call is no card on a desk, but may be what Redis has lost.
        known = [*(held for held in self._open.values() if not held.waits), *self._just_over.values()]
        cards = [card for held in known for card in self._render_all(held)]
        await self._publisher.rebuild_desk(cards, list(directory.by_login))

    async def desk_is_fresh(self) -> bool:
        return await self._publisher.desk_is_fresh()

    def agents_changed(self) -> None:
        """The directory is another one: calls may concern other agents now."""
        for held in list(self._open.values()):
            self._settle(held)
        self._flush_soon()

    def forget(self, call_ids: Collection[str]) -> None:
        """These calls are over, as the record says: another consumer has handled their end."""
        for call_id in call_ids:
            held = self._open.get(call_id)
            if held is not None:
                self._end(held)

    def look_again(self, call_id: str) -> asyncio.Event:
        """Our own tables have changed for this call (somebody was identified, a note was written): show it. The event
        is set when they have answered and the cards are on their way; at once for a call that is not held here."""
        held = self._open.get(call_id) or self._just_over.get(call_id)
        if held is None or held.asking is None:
            nothing_to_do = asyncio.Event()
            nothing_to_do.set()
            return nothing_to_do
        self._gatherer.ask_own(held.asking)
        return held.asking.own_answered

    @property
    def open_ids(self) -> list[str]:
        return list(self._open)

    def of(self, call_id: str) -> tuple[Call, int, Knowledge] | None:
        """A call that is open, or ended a moment ago, with what is known of its caller."""
        held = self._open.get(call_id) or self._just_over.get(call_id)
        return None if held is None else (held.call, held.version, held.knowledge)

    def forget_callers(self) -> None:
        """Somebody was erased: forget everybody who is not on the phone. Who is asked for again is looked up again."""
        for held in self._just_over.values():
            if held.asking is not None:
                held.asking.drop()
        self._just_over.clear()
        self._gatherer.forget()

    async def close(self) -> None:
        """End what runs in the background."""
        for held in self._open.values():
            if held.grace is not None:
                held.grace.cancel()
        await end(self._tasks)

    # --- the life of one call -----------------------------------------------------------------------------------

    def _take(self, call_id: str, call: Call, version: int) -> None:
        held = self._open.get(call_id)
        if held is None:
            if self._over.get(call_id, -1) >= version:
                return
            held = self._open[call_id] = OpenCall(call, version)
        elif version <= held.version:
            return
        else:
            held.change(call, version)
        self._look_up(held)
        self._settle(held)

    def _settle(self, held: OpenCall) -> None:
        """Put the cards that changed into the outbox, or wait a moment for the look-up first."""
        concerned = places(held.call, self._directory())
        if concerned and held.waits:
            if held.grace is None:
                held.grace = asyncio.get_running_loop().call_later(GRACE_SECONDS, self._grace_over, held)
            return
        for place in concerned:
            face = held.face(place)
            if held.shown.get(place.agent.login) != face:
                held.shown[place.agent.login] = face
                self._outbox[place.agent.login, held.call.call_id] = self._render(held, place)
        if held.call.state is CallState.ENDED:
            self._end(held)

    def _render_all(self, held: OpenCall) -> list[Card]:
        return [self._render(held, place) for place in places(held.call, self._directory())]

    def _render(self, held: OpenCall, place: Place) -> Card:
        return render(
            held.call, held.version, place, held.knowledge, self._directory(), self._site, self._now()
        )

    def _end(self, held: OpenCall) -> None:
        call_id = held.call.call_id
        self._open.pop(call_id, None)
        if held.grace is not None:
            held.grace.cancel()
            held.grace = None
        self._just_over[call_id] = held
        if len(self._just_over) > NOT_STORED_YET:
            _, forgotten = self._just_over.popitem(last=False)
            if forgotten.asking is not None:
                # Else each call would be a cycle, and looking for hundreds of them takes a ring's tenth of a second.
                forgotten.asking.drop()
        self._over[call_id] = held.version
        self._over.move_to_end(call_id)
        if len(self._over) > REMEMBERED:
            self._over.popitem(last=False)

    def _insist(self, card: Card, known: int) -> None:
        """A desk did not take a card, because it has the rev `known` of the call. What the first look-up says it has
        from whoever looked before us; what was learned since then it must show."""
        held = self._open.get(card.call_id)
        version, enrichment = parts(known)
        if held is not None and held.learned > 1 and held.version == version == parts(card.rev)[0]:
            held.outbid(card.agent, enrichment)
            self._settle_and_flush(held)

    # --- finding the caller -------------------------------------------------------------------------------------

    def _look_up(self, held: OpenCall) -> None:
        """Ask who it is, if that has not been asked with what is known of the caller now."""
        call, before = held.call, held.asking
        if call.direction is Direction.INTERNAL:
            return
        number, account = customer_end(call, self._site.country_of).number, account_of(call)
        if before is not None:
            if (number, account) == before.question[:2]:
                if held.failed_at is not None and perf_counter() - held.failed_at > RETRY_SECONDS:
                    held.failed_at = None
                    self._gatherer.ask_own(before)
                return
            before.drop()
            if number != before.question.number:
                held.forget_caller()
        # A hidden caller is asked for as well: somebody may have said in the call who it is. No card waits for that.
        held.answered, held.failed_at = number is None and account is None, None
        held.asking = self._gatherer.ask(Question(number, account, call.call_id), partial(self._learn, held))

    def _learn(self, held: OpenCall) -> None:
        """Somebody has answered, or has not within their deadline."""
        assert held.asking is not None
        gathered = held.asking.gathered()
        match gathered.own:
            case SourceStatus.OK:
                held.failed_at = None
            case SourceStatus.FAILED:
                held.failed_at = held.failed_at or perf_counter()
            case _ if held.waits:
                return  # another system was first; our own tables are a moment away
        held.answered = held.answered or gathered.own is not None
        self._know(held, gathered)
        self._settle_and_flush(held)

    def _know(self, held: OpenCall, gathered: Gathered) -> None:
        assert held.asking is not None
        looked_up_at, reports = held.knowledge.looked_up_at, gathered.reports
        if gathered.own is SourceStatus.OK:
            looked_up_at = looked_up_at or self._now()
        elif gathered.own is None:
            waited = round((perf_counter() - held.asking.began) * 1000, 2)
            reports = (SourceReport(SOURCE, SourceStatus.LATE, waited), *reports)
        held.learn(Knowledge(gathered.found, reports, looked_up_at))

    def _grace_over(self, held: OpenCall) -> None:
        """Our own tables take their time: show what there is now, the rest will follow."""
        held.grace, held.grace_over = None, True
        if held.asking is not None and not held.answered:
            self._know(held, held.asking.gathered())
        self._settle_and_flush(held)

    def _settle_and_flush(self, held: OpenCall) -> None:
        if self._open.get(held.call.call_id) is not held:
            return
        try:
            self._settle(held)
        except Exception as error:
            self._metrics.render_failures.inc()
            self._log.error(
                "cards of a call could not be rendered", call_id=held.call.call_id, exc_info=error
            )
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._outbox:
            return
        self._more.set()
        if self._flusher is None or self._flusher.done():
            self._flusher = self._spawn(self._flush_until_taken())

    async def _flush_until_taken(self) -> None:
        backoff = Backoff()
        while self._outbox:
            self._more.clear()
            try:
                await self.flush()
            except (RedisError, OSError) as error:
                if backoff.fresh:
                    self._log.warning(
                        "redis does not take cards: they wait", cards=len(self._outbox), reason=str(error)
                    )
                # A card that is new may be for a node of a cluster that is there.
                await asyncio.sleep(FIRST_SECONDS)
                with suppress(TimeoutError):
                    async with asyncio.timeout(backoff.next()):
                        await self._more.wait()

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
