"""When to stop asking a source that does not answer: a state machine; the time is told to it."""

from enum import StrEnum

# So many in a row are an outage, not a stumble.
_FAILURES = 5
# A restart takes a few seconds; one call in so many then finds out, all others are spared the wait.
OPEN_SECONDS = 5.0


class BreakerState(StrEnum):
    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class Breaker:
    """Closed: everybody asks. Open, after some failures in a row: nobody. Half open, a few seconds later: one asks, and
    what comes of it decides. `now`: seconds of any clock that only grows."""

    def __init__(self, failures: int = _FAILURES, open_seconds: float = OPEN_SECONDS) -> None:
        self._limit = failures
        self._open_seconds = open_seconds
        self._failed = 0
        self._asked_at: float | None = None  # when it opened, or the last trial began

    def state(self, now: float) -> BreakerState:
        if self._asked_at is None:
            return BreakerState.CLOSED
        waited = now - self._asked_at >= self._open_seconds
        return BreakerState.HALF_OPEN if waited else BreakerState.OPEN

    def admits(self, now: float) -> bool:
        """May one ask now? A yes while half open is the trial: the next one waits for what comes of it, or, should
        nobody ever say, as long as before."""
        match self.state(now):
            case BreakerState.CLOSED:
                return True
            case BreakerState.HALF_OPEN:
                self._asked_at = now
                return True
        return False

    def succeeded(self) -> None:
        """It answered in time, whoever asked and when: it works."""
        self._failed, self._asked_at = 0, None

    def failed(self, now: float) -> None:
        """It failed, or was late. Those who had asked before it opened do not keep it open for longer."""
        self._failed += 1
        if self._asked_at is None and self._failed >= self._limit:
            self._asked_at = now
