"""Ending what runs beside the requests."""

import asyncio

from card_api.background import end, running


async def test_a_task_that_swallows_a_cancellation_is_told_again() -> None:
    asked = 0

    async def stubborn() -> None:
        nonlocal asked
        while asked < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                asked += 1

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end([task], patience=0.01)
    assert (asked, task.done()) == (2, True)


async def test_what_runs_beside_the_block_ends_with_it() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def broken() -> None:
        raise ValueError("a bug")

    async with running(work, broken):
        await asyncio.sleep(0)
        assert not ended.is_set()
    assert ended.is_set()
