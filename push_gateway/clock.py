"""One timer for all connections of a process.

A timer of its own for each is five objects more that live until the next ping: with thousands of tabs they pile up in
the youngest generation of the garbage collector, and then it stops every ring for tens of milliseconds.
"""

import asyncio
import math
from heapq import heappop, heappush
from typing import Protocol

from shared.observability import logger

# Nobody is woken later than this after the moment; as many rows wait as there are in the longest time between pings.
TICK_SECONDS = 0.01
# Of a tick: more than floats lose, less than the clock tells apart.
_ROUNDING = 1e-6


class Sleeper(Protocol):
    """Who wants to be woken."""

    def wake(self) -> None:
        """It is the moment, or an earlier one that was asked for before. Must not wait."""
        ...


class Clock:
    """Make it where the loop runs; `close` it at the end."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._log = logger("push.clock")
        # Rows of sleepers, by the number of their tick; who sits in which; the numbers, smallest first.
        self._rows: dict[int, dict[Sleeper, None]] = {}
        self._places: dict[Sleeper, int] = {}
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_row = 0

    def at(self, moment: float, sleeper: Sleeper) -> None:
        """Wake it at this moment of the loop's clock; infinity: never. Who waits for an earlier moment is woken then,
        and may ask again: most deadlines are put off again and again, and never come."""
        if math.isinf(moment):
            self.forget(sleeper)
            return
        row = math.ceil(moment / TICK_SECONDS)
        place = self._places.get(sleeper)
        if place is not None:
            if place <= row:
                return
            self.forget(sleeper)
        self._places[sleeper] = row
        if row in self._rows:
            self._rows[row][sleeper] = None
            return
        self._rows[row] = {sleeper: None}
        heappush(self._order, row)
        self._set_timer()

    def forget(self, sleeper: Sleeper) -> None:
        """It need not be woken."""
        row = self._places.pop(sleeper, None)
        if row is not None:
            # A row that nobody sits in any more goes when its time comes; it has gone while it is being woken.
            self._rows.get(row, {}).pop(sleeper, None)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self) -> None:
        row = self._order[0]
        if self._timer is not None:
            if self._timer_row == row:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(row * TICK_SECONDS, self._ring)
        self._timer_row = row

    def _ring(self) -> None:
        self._timer = None
        # Not by the time of the row: in its last digit that may be after a clock of whole milliseconds.
        now = int(self._loop.time() / TICK_SECONDS + _ROUNDING)
        due = []
        while self._order and self._order[0] <= now:
            due.append(heappop(self._order))
        for row, sleepers in [(row, self._rows.pop(row)) for row in due]:
            for sleeper in sleepers:
                if self._places.get(sleeper) != row:
                    continue  # one that was woken before it has had it forgotten
                del self._places[sleeper]
                try:
                    sleeper.wake()
                except Exception:  # one that fails must not cost the others their pings
                    self._log.exception("a connection failed")
        if self._order:
            self._set_timer()
