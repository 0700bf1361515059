"""When to try again. Pure."""

from collections.abc import Callable
from datetime import timedelta

# Three times longer each time: the first tries come within a minute, because most absences are restarts; then slower,
# to six hours, so that a weekend's maintenance is not met by a crowd. Together about a day: who is away for longer
# asks for a replay.
_FIRST_SECONDS = 5.0
_FACTOR = 3.0
_LONGEST_SECONDS = 6 * 3600.0
TRIES = 12
# Zammad takes the moment it hears of a call for the moment of the call: what comes later than some minutes is wrong.
ZAMMAD_TRIES = 6
# So that what failed together does not come together again.
_JITTER = 0.2


def wait_after(attempts: int, tries: int, chance: Callable[[], float]) -> timedelta | None:
    """How long to wait after so many failed tries; None: that was the last. `chance`: a random number in [0, 1)."""
    if attempts >= tries:
        return None
    seconds = min(_FIRST_SECONDS * _FACTOR ** (attempts - 1), _LONGEST_SECONDS)
    return timedelta(seconds=seconds * (1 - _JITTER + 2 * _JITTER * chance()))
