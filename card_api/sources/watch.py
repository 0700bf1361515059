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
    ) -> None:
        self._source = source
        self._cache = AnswerCache(cache_seconds)
        self._breaker = breaker or Breaker()
        self._clock = clock
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
        began = self._clock()
        kept = self._cache.get(question, began)
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
            async with asyncio.timeout(HARD_END_SECONDS):
                found = await self._source.find(question)
            _check(self.name, found)
            outcome = "late" if late else "ok"
            self._cache.put(question, found, self._clock())
        except AnswerRefused as error:
            outcome = "refused"
            failure: SourceFailed = error
        except SourceFailed as error:
            failure = error
        except TimeoutError:
            failure = SourceFailed("timeout", f"no answer within {HARD_END_SECONDS:.0f} s")
        except Exception as error:  # a plug-in's bug is a source that failed
            self._log.error("a source is broken", source=self.name, exc_info=error)
            failure = SourceFailed("bug", f"it raised {type(error).__name__}")
        else:
            if outcome == "ok":
                self._works()
            return found
        finally:
            timer.cancel()
            self._observe(outcome, began)
        self._failures.labels(self.name, failure.kind).inc()
        if isinstance(failure, AnswerRefused):
            # It works; what it says of this caller cannot be shown, and only this line tells why.
            self._log.warning(
                "an answer of a source was refused",
                source=self.name,
                number=mask_number(question.number),
                reason=str(failure),
            )
        if not late:
            self._works() if outcome == "refused" else self._fails(str(failure))
        raise failure

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

    def _observe(self, outcome: str, began: float) -> None:
        self._seconds.labels(self.name, outcome).observe(self._clock() - began)


def _check(name: str, found: list[FoundCustomer]) -> None:
    """What a plug-in could get wrong and would be seen far away from it."""
    if any(customer.source != name or customer.id is not None for customer in found):
        raise AnswerRefused(
            "it speaks for another source: each customer's source must be its name, and id none"
        )
