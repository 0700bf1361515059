"""How many commands a tab may send. Pure."""

from push_gateway.codes import TOO_MANY_ERRORS, TOO_MANY_REQUESTS, Close, Error

# Who sends so many times the limit in one second does not listen to 111 and is sent away.
DEAF_FACTOR = 10


class Pace:
    """Commands of one connection in the current second; `now` is of one monotonic clock."""

    __slots__ = ("_commands", "_per_second", "_second")

    def __init__(self, per_second: int, now: float) -> None:
        self._per_second = per_second
        self._second = now
        self._commands = 0

    def step(self, now: float) -> Error | Close | None:
        """One more command: what is wrong with that, if anything."""
        if now - self._second >= 1:
            self._second, self._commands = now, 0
        self._commands += 1
        if self._commands > self._per_second * DEAF_FACTOR:
            return TOO_MANY_ERRORS
        return TOO_MANY_REQUESTS if self._commands > self._per_second else None
