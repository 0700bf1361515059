"""Python's garbage collector, kept from stopping a ring.

A full collection looks through everything there is: half a second with five thousand tabs on one gateway, and every
ring waits for it. So what has survived one is never looked through again (`gc.freeze`): the next ones see only what is
newer. Nearly everything is freed without the collector, by its last reference, frozen or not; what is not are circles
that died after they were frozen. Should those pile up, one collection of everything takes them away.

And what is new is looked through every second. By itself Python counts what is made less what is freed: where old
objects give way to new ones, as with each ping of a tab, that stays at nothing until something else is made, and then
tens of thousands of new ones are looked through at once.
"""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from typing import Literal

# A full collection after every other one of the middle generation, not every eleventh: so it meets some sixteen
# thousand objects, ten milliseconds' work. Each object is met once in all, so this costs nothing.
_FULL_AFTER = 1
# A few thousand new objects on a busy machine, a few milliseconds' work.
YOUNG_SECONDS = 1.0
# Counting what is frozen walks through it: some milliseconds.
LOOK_SECONDS = 600.0
# So many frozen objects, and as many as were alive the last time, may come without being looked through: 100 MB, say,
# or 7,000 tabs.
GROWTH = 1_000_000


class Collector:
    """`install`, then `tidy` every now and then, then `remove`."""

    def __init__(self, growth: int = GROWTH) -> None:
        self._growth = growth
        self._threshold = gc.get_threshold()
        self._alive = 0

    def install(self) -> None:
        """What is here now stays."""
        gc.set_threshold(*self._threshold[:2], _FULL_AFTER)
        gc.callbacks.append(self._collected)
        self._everything()

    def remove(self) -> None:
        gc.callbacks.remove(self._collected)
        gc.set_threshold(*self._threshold)

    def tidy(self) -> bool:
        """Look through everything, if that much has come that dead circles may be most of it."""
        if gc.get_freeze_count() < 2 * self._alive + self._growth:
            return False
        self._everything()
        return True

    def _everything(self) -> None:
        gc.unfreeze()
        gc.collect()  # `_collected` freezes what is left
        # Python waits with the next full collection until a quarter as much is new as the last one has left: nothing.
        gc.collect()
        self._alive = gc.get_freeze_count()

    @staticmethod
    def _collected(phase: Literal["start", "stop"], info: dict[str, int]) -> None:
        if phase == "stop" and info["generation"] == 2:
            gc.freeze()


@contextlib.asynccontextmanager
async def collecting() -> AsyncIterator[None]:
    """The collector, kept from stopping rings for as long as this lasts."""
    collector = Collector()

    async def tidying() -> None:
        loop = asyncio.get_running_loop()
        look_at = loop.time() + LOOK_SECONDS
        while True:
            await asyncio.sleep(YOUNG_SECONDS)
            gc.collect(1)
            if loop.time() >= look_at:
                collector.tidy()
                look_at = loop.time() + LOOK_SECONDS

    collector.install()
    task = asyncio.create_task(tidying())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        collector.remove()
