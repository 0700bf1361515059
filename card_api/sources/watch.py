"""A source as everybody uses it: with its cache, its breaker, its figures and its lines in the log."""

import asyncio
from collections.abc import Callable
from time import monotonic

from card_api.lookup.schemas import FoundCustomer, Question
from card_api.metrics import Metrics
from card_api.sources.breaker import Breaker, BreakerState
from card_api.sources.cache import AnswerCache
from card_api.sources.source import AnswerRefused, Source, SourceFailed
from shared.observability import logger, mask_number

# A question that has not been answered by then is given up, and its connection with it: whoever called has been
# greeted without that answer for long.
HARD_END_SECONDS = 10.0
_BREAKER_VALUES = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}


class WatchedSource:
    """`find` as that of a source; besides it fails at once while the breaker is open, answers from the cache, and ends
    for sure. `clock`: seconds that only grow."""

    def __init__(
        self,
        source: Source,
        cache_seconds: float,
        metrics: Metrics,
        clock: Callable[[], float] = monotonic,
        breaker: Breaker | None = None,
        hard_end: float = HARD_END_SECONDS,
    ) -> None:
        self._source = source
        self._cache_seconds = cache_seconds
        self._cache = AnswerCache(cache_seconds)
        self._breaker = breaker or Breaker()
        self._clock = clock
        self._hard_end = hard_end
        self._seconds = metrics.source_seconds
        self._failures = metrics.source_failures
        metrics.source_breaker.labels(source.name).set_function(
            lambda: _BREAKER_VALUES[self._breaker.state(self._clock())]
        )
        self._failing = False
        self._log = logger("sources")

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def priority(self) -> int:
        return self._source.priority

    @property
    def deadline(self) -> float:
        return self._source.deadline

    async def find(self, question: Question) -> list[FoundCustomer]:
        """Raises `SourceFailed` and nothing else."""
        began, cache = self._clock(), self._cache
        kept = cache.get(question, began)
        if kept is not None:
            self._observe("cached", began)
            return kept
        if not self._breaker.admits(began):
            self._observe("open", began)
            raise SourceFailed(
                "open", "it is not asked for some seconds: it failed or was late too often in a row"
            )
        late = False

        def is_late() -> None:
            # At the deadline, not when the answer comes: a black hole must not collect questions until their end.
            nonlocal late
            late = True
            self._fails("it has not answered within its deadline")

        timer = asyncio.get_running_loop().call_later(self.deadline, is_late)
        outcome = "failed"
        try:
            found = await self._ask(question)
            outcome = "late" if late else "ok"
        except SourceFailed as error:
            self._failures.labels(self.name, error.kind).inc()
            if isinstance(error, AnswerRefused):
                outcome = "refused"
                self._say_refused(error, question)
                if not late:
                    self._works()
            elif not late:
                self._fails(str(error))
            raise
        finally:
            timer.cancel()
            self._observe(outcome, began)
        if not late:
            self._works()
        cache.put(question, found, self._clock())
        return found

    def forget(self) -> None:
        """Forget every answer, also those that are on their way: each is good for who asked, and not kept."""
        self._cache = AnswerCache(self._cache_seconds)

    async def _ask(self, question: Question) -> list[FoundCustomer]:
        """Whatever goes wrong is a `SourceFailed`."""
        try:
            async with asyncio.timeout(self._hard_end):
                found = await self._source.find(question)
        except SourceFailed:
            raise
        except TimeoutError:
            raise SourceFailed("timeout", f"no answer within {self._hard_end:g} s") from None
        except Exception as error:  # a plug-in's bug is a source that failed
            self._log.error("a source is broken", source=self.name, exc_info=error)
            raise SourceFailed("bug", f"it raised {type(error).__name__}") from None
        # What a plug-in could get wrong and would be seen far away from it.
        if any(customer.source != self.name or customer.id is not None for customer in found):
            raise AnswerRefused("it speaks for another source: source must be its own name, and id none")
        return found

    async def close(self) -> None:
        await self._source.close()

    def _works(self) -> None:
        self._breaker.succeeded()
        if self._failing:
            self._failing = False
            self._log.info("a source answers again", source=self.name)

    def _fails(self, reason: str) -> None:
        self._breaker.failed(self._clock())
        if not self._failing:  # once an outage, not once a call
            self._failing = True
            self._log.error("a source does not answer: cards do without it", source=self.name, reason=reason)

    def _say_refused(self, error: AnswerRefused, question: Question) -> None:
        """It works; what it says of this caller cannot be shown, and only this line tells why."""
        self._log.warning(
            "an answer of a source was refused",
            source=self.name,
            number=mask_number(question.number),
            reason=str(error),
        )

    def _observe(self, outcome: str, began: float) -> None:
        self._seconds.labels(self.name, outcome).observe(self._clock() - began)
