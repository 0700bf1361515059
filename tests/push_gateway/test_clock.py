"""Sleepers are woken at their moment or, if they asked for one before it, then; none too early, none twice."""

import asyncio
import math
from collections.abc import Iterator

import pytest

from push_gateway.clock import TICK_SECONDS, Clock


class Sleeper:
    """Remembers when it was woken; `woken` is the newest time, to wait for."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.woken = asyncio.Event()

    def wake(self) -> None:
        self.times.append(asyncio.get_running_loop().time())
        self.woken.set()


@pytest.fixture
async def clock() -> Iterator[Clock]:  # type: ignore[misc]
    clock = Clock()
    yield clock
    clock.close()


def now() -> float:
    return asyncio.get_running_loop().time()


async def later(clock: Clock) -> None:
    """Whoever was to be woken by now has been."""
    sleeper = Sleeper()
    clock.at(now() + 3 * TICK_SECONDS, sleeper)
    await sleeper.woken.wait()


async def test_nobody_is_woken_before_the_moment_and_all_in_their_order(clock: Clock) -> None:
    begin = now()
    moments = [begin + 0.08, begin + 0.03, begin + 0.05, begin + 0.05]
    sleepers = [Sleeper() for _ in moments]
    for moment, sleeper in zip(moments, sleepers, strict=True):
        clock.at(moment, sleeper)
    await asyncio.gather(*(sleeper.woken.wait() for sleeper in sleepers))
    await later(clock)
    for moment, sleeper in zip(moments, sleepers, strict=True):
        (woken,) = sleeper.times
        assert woken >= moment
    assert sleepers[1].times <= sleepers[2].times <= sleepers[0].times


async def test_a_later_wish_is_asked_for_again_when_the_earlier_one_comes(clock: Clock) -> None:
    sleeper, begin = Sleeper(), now()
    clock.at(begin + 0.04, sleeper)
    clock.at(begin + 60, sleeper)
    await sleeper.woken.wait()
    assert sleeper.times[0] < begin + 60
    sleeper.woken.clear()
    clock.at(begin + 60, sleeper)
    clock.at(now() + 0.03, sleeper)  # sooner after all
    await sleeper.woken.wait()
    assert len(sleeper.times) == 2


async def test_who_is_forgotten_sleeps_on(clock: Clock) -> None:
    gone, never, stays = Sleeper(), Sleeper(), Sleeper()
    moment = now() + 0.03
    for sleeper in (gone, never, stays):
        clock.at(moment, sleeper)
    clock.forget(gone)
    clock.forget(gone)
    clock.at(math.inf, never)
    await stays.woken.wait()
    await later(clock)
    assert (gone.times, never.times) == ([], [])


async def test_one_that_fails_costs_no_other_its_moment(clock: Clock) -> None:
    class Broken(Sleeper):
        def wake(self) -> None:
            super().wake()
            raise RuntimeError("a mistake")

    broken, other = Broken(), Sleeper()
    moment = now() + 0.02
    clock.at(moment, broken)
    clock.at(moment, other)
    await other.woken.wait()
    assert broken.times


async def test_one_that_leaves_while_its_row_is_woken_is_not_woken_any_more(clock: Clock) -> None:
    other = Sleeper()

    class Leaver(Sleeper):
        def wake(self) -> None:
            super().wake()
            clock.forget(other)

    leaver, later = Leaver(), Sleeper()
    moment = now() + 0.02
    for sleeper in (leaver, other):
        clock.at(moment, sleeper)
    clock.at(moment + 3 * TICK_SECONDS, later)
    await later.woken.wait()
    assert (len(leaver.times), other.times) == (1, [])
