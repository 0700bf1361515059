"""Asking everybody who may know the caller, side by side; nobody waits for the slowest."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from time import perf_counter
from typing import NamedTuple

from card_api.background import end
from card_api.cards.render import SourceReport
from card_api.database import DATABASE_ERRORS, sentence
from card_api.lookup.schemas import Found, Question
from card_api.lookup.service import SOURCE, LookupService
from card_api.sources.merge import Key, Ours, Told, merged
from card_api.sources.repository import KeyRepository
from card_api.sources.source import SourceFailed
from card_api.sources.watch import WatchedSource
from shared.contracts.card import SourceStatus
from shared.observability import logger, mask_number

# Our own tables when they are not there at all (a black hole, not a refusal): given up after this.
OWN_DEADLINE_SECONDS = 5.0
# A question over HTTP costs this process a millisecond, a card more than that. Own tables answer in one: if the others
# are asked after that, a phone that rings at once has its card first; and of their second they miss nothing.
HEAD_START_SECONDS = 0.01


class Gathered(NamedTuple):
    """What is known so far. `own`: what became of our own tables; None while they have not answered. `reports`: of all
    who have answered, failed, or are late."""

    found: Found
    own: SourceStatus | None
    reports: tuple[SourceReport, ...]


class Asking:
    """One question under way, made by `Gatherer.ask`. `changed` is called in the loop each time `gathered()` has become
    another, until `drop()`."""

    def __init__(self, question: Question, names: tuple[str, ...], changed: Callable[[], None]) -> None:
        self.question = question
        self.began = perf_counter()
        self.settled = asyncio.Event()
        """Everybody has answered, failed, or is late."""
        self._changed: Callable[[], None] | None = changed
        self._names = (SOURCE, *names)
        self._rounds: list[asyncio.Event] = []
        self._own: Found | None = None
        self._told: dict[str, Told] = {}
        self._ours: dict[Key, Ours] = {}
        self._reports: dict[str, SourceReport] = {}

    def gathered(self) -> Gathered:
        found = merged(self._own or Found(), self._told.values(), self._ours)
        reports = tuple(self._reports[name] for name in self._names if name in self._reports)
        own = self._reports.get(SOURCE)
        return Gathered(found, own.status if own else None, reports)

    def drop(self) -> None:
        """Nobody is interested any more. Who was asked may finish: to cancel a statement is to lose its connection, and
        another system's answer is kept for the next call."""
        self._changed = None

    @property
    def own_answered(self) -> asyncio.Event:
        """Set when our own tables have answered what they were asked last, or could not."""
        return self._rounds[-1]

    def next_round(self) -> asyncio.Event:
        """Our own tables are asked, for the first time or again: of several rounds the last one counts."""
        self._rounds.append(asyncio.Event())
        return self._rounds[-1]

    def take_own(self, round_: asyncio.Event, found: Found | None, ms: float) -> None:
        """`found`: None if our tables could not say; what they had said before is then better than nothing."""
        if round_ is not self.own_answered:
            return
        self._own = found or self._own
        self.report(SOURCE, SourceStatus.FAILED if found is None else SourceStatus.OK, ms)
        for waiting in self._rounds:
            waiting.set()
        del self._rounds[:-1]

    def take(self, told: Told, ours: dict[Key, Ours], status: SourceStatus, ms: float) -> None:
        self._told[told.source] = told
        self._ours |= ours
        self.report(told.source, status, ms)

    def report(self, name: str, status: SourceStatus, ms: float) -> None:
        self._reports[name] = SourceReport(name, status, round(ms, 2))
        if len(self._reports) == len(self._names):
            self.settled.set()
        if self._changed is not None:
            self._changed()


class Gatherer:
    """Our own tables and every other source. `keys`: needed if there are others."""

    def __init__(
        self, lookup: LookupService, sources: Sequence[WatchedSource] = (), keys: KeyRepository | None = None
    ) -> None:
        self._lookup = lookup
        self._sources = sources
        self._names = tuple(source.name for source in sources)
        self._keys = keys
        self._tasks: set[asyncio.Task[None]] = set()
        self._failing = False
        self._log = logger("lookup")

    def ask(self, question: Question, changed: Callable[[], None] = lambda: None) -> Asking:
        """Ask all; returns at once. Who hides the number and has given no account is nobody other systems know."""
        sources = self._sources if question.number or question.account else ()
        asking = Asking(question, self._names if sources else (), changed)
        self.ask_own(asking)
        for source in sources:
            self._spawn(self._ask(source, asking))
        return asking

    def ask_own(self, asking: Asking) -> None:
        """Our tables have changed: ask them again. What others say to the same question stays."""
        self._spawn(self._ask_own(asking, asking.next_round()))

    async def all(self, question: Question) -> Gathered:
        """What everybody knows who answers within their deadline."""
        asking = self.ask(question)
        await asking.settled.wait()
        asking.drop()
        return asking.gathered()

    def forget(self) -> None:
        """What other systems said of callers is not kept any longer."""
        for source in self._sources:
            source.forget()

    async def close(self) -> None:
        """End what runs, and the sources' connections."""
        await end(self._tasks)
        for source in self._sources:
            await source.close()

    async def _ask_own(self, asking: Asking, round_: asyncio.Event) -> None:
        began = perf_counter()
        found = None
        try:
            async with asyncio.timeout(OWN_DEADLINE_SECONDS):
                found = await self._lookup.find(asking.question)
        except DATABASE_ERRORS as error:
            self._say_failed(asking.question.number, error)
        else:
            self._say_works()
        asking.take_own(round_, found, _ms(began))

    async def _ask(self, source: WatchedSource, asking: Asking) -> None:
        try:
            async with asyncio.timeout(HEAD_START_SECONDS):
                await asking.own_answered.wait()
        except TimeoutError:
            pass
        began = perf_counter()
        status = SourceStatus.OK

        def is_late() -> None:
            nonlocal status
            status = SourceStatus.LATE
            asking.report(source.name, status, _ms(began))

        timer = asyncio.get_running_loop().call_later(source.deadline, is_late)
        try:
            customers = await source.find(asking.question)
        except SourceFailed:  # whoever watches it has said why
            timer.cancel()
            asking.report(source.name, SourceStatus.FAILED, _ms(began))
            return
        timer.cancel()
        ms = _ms(began)
        ours = await self._ours({(c.source, c.external_id) for c in customers})
        asking.take(Told(source.name, source.priority, customers), ours, status, ms)

    async def _ours(self, keys: set[Key]) -> dict[Key, Ours]:
        if self._keys is None or not keys:
            return {}
        try:
            return await self._keys.ours(keys)
        except DATABASE_ERRORS as error:  # the customer is then shown as the other system's alone
            self._log.warning("keys of other systems cannot be looked up", reason=sentence(error))
            return {}

    def _say_failed(self, number: str | None, error: BaseException) -> None:
        """Once an outage, not once a call."""
        if not self._failing:
            self._failing = True
            self._log.error(
                "callers cannot be looked up: cards show the number alone",
                number=mask_number(number),
                reason=sentence(error),
            )

    def _say_works(self) -> None:
        if self._failing:
            self._failing = False
            self._log.info("callers are looked up again")

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _ms(began: float) -> float:
    return (perf_counter() - began) * 1000
