"""Checking rows in a process of its own.

Why not in the API's own: phone numbers cost a tenth of a millisecond each, a batch a third of a second. On the loop a
ring would wait for all of it; in a thread each step of a ring waits for the interpreter to be given back, 5 ms a time.
A process of lower priority costs a ring nothing but a share of a core that nobody else wants.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from card_api.customers.bulk.rows import Checked, How, check_rows
from card_api.customers.bulk.text import RawRow

# Behind everything that answers a ring.
_NICE = 10


class Worker:
    """`check` as `check_rows`, elsewhere. The process starts when it is first needed and ends with `close`, or with
    us, whatever ends us."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    async def check(self, rows: Sequence[RawRow], how: How) -> list[Checked]:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._ready(), check_rows, rows, how)
        except BrokenProcessPool:
            # Somebody ended it (out of memory). Once more with a new one: rows are checked as often as one likes.
            await self.close()
            return await loop.run_in_executor(self._ready(), check_rows, rows, how)

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)

    def _ready(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # Spawned, not forked: a copy of this process would hold its sockets and its locks.
            self._pool = ProcessPoolExecutor(
                1, mp_context=multiprocessing.get_context("spawn"), initializer=_begin
            )
        return self._pool


def _begin() -> None:
    os.nice(_NICE)
    # Ctrl-C in a terminal reaches all of its processes; when to end is for the one that began us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: "multiprocessing.process.BaseProcess") -> None:
    parent.join()
    os._exit(0)
