"""How long to wait before trying again."""

import random

# The first try comes soon, because most absences are restarts; then slower, so that a server that comes back is not
# met by a crowd; never slower than this, because callers are waiting.
FIRST_SECONDS = 0.1
LAST_SECONDS = 3.0


class Backoff:
    """Doubling waits with jitter. `next()` gives seconds; `reset()` after a success."""

    def __init__(self) -> None:
        self._wait = FIRST_SECONDS

    @property
    def fresh(self) -> bool:
        """Is this the first failure since a success? Then it is worth a line in the log."""
        return self._wait == FIRST_SECONDS

    def next(self) -> float:
        wait = self._wait
        self._wait = min(self._wait * 2, LAST_SECONDS)
        return wait * random.uniform(0.75, 1.25)  # noqa: S311 - spreads retries, guards nothing

    def reset(self) -> None:
        self._wait = FIRST_SECONDS
