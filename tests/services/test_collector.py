"""What stays is looked through once; circles that die later go away too."""

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from services import collector as module
from services.collector import Collector, collecting


class Link:
    """One end of a circle."""

    def __init__(self) -> None:
        self.other: Link | None = None


def circle() -> tuple[Link, weakref.ref[Link]]:
    one, two = Link(), Link()
    one.other, two.other = two, one
    return one, weakref.ref(two)


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector(growth=1000)
    before = gc.get_threshold(), list(gc.callbacks)
    collector.install()
    yield collector
    collector.remove()
    assert (gc.get_threshold(), gc.callbacks) == before


def test_what_survives_a_full_collection_is_never_looked_through_again(collector: Collector) -> None:
    stays = [Link() for _ in range(5000)]
    assert len(gc.get_objects()) >= len(stays)
    gc.collect()
    assert len(gc.get_objects()) < len(stays)
    assert gc.get_freeze_count() >= len(stays)


def test_a_circle_that_dies_young_is_collected_as_ever(collector: Collector) -> None:
    one, other = circle()
    del one
    gc.collect()
    assert other() is None


def test_circles_that_died_late_go_when_they_may_be_many(collector: Collector) -> None:
    one, other = circle()
    gc.collect()
    del one
    gc.collect()
    assert other() is not None
    assert not collector.tidy()
    many = [Link() for _ in range(gc.get_freeze_count() + 2000)]
    gc.collect()
    assert collector.tidy()
    assert other() is None
    assert not collector.tidy()
    assert many


def test_full_collections_come_often_however_much_was_there(collector: Collector) -> None:
    full = 0
    collector.remove()
    heap = [Link() for _ in range(400_000)]
    collector.install()

    def watch(phase: str, info: dict[str, int]) -> None:
        nonlocal full
        full += phase == "start" and info["generation"] == 2

    frozen = gc.get_freeze_count()
    gc.callbacks.append(watch)
    stays = [Link() for _ in range(60_000)]
    gc.callbacks.remove(watch)
    assert full >= 2
    assert heap
    assert gc.get_freeze_count() - frozen > len(stays) / 4


async def test_what_is_young_is_looked_through_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "YOUNG_SECONDS", 0.01)
    async with collecting(), asyncio.timeout(10):
        gc.disable()
        try:
            one, other = circle()
            del one
            while other() is not None:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.005)
        finally:
            gc.enable()


def test_what_is_frozen_is_freed_by_its_last_reference(collector: Collector) -> None:
    alone = Link()
    ends = weakref.ref(alone)
    gc.collect()
    del alone
    assert ends() is None
