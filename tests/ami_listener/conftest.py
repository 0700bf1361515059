"""A connection to a stub, and what it said."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from ami_listener.connection import AmiAccount, AmiConnection, Timing
from ami_listener.message import AmiMessage
from shared.contracts.call import PbxLink
from tests.ami_listener.stub import AmiStub, TestClock

Logs = list[MutableMapping[str, Any]]
"""Log entries of a test."""


@pytest.fixture
def logs() -> Iterator[Logs]:
    with capture_logs() as entries:
        yield entries


class Heard:
    """What a connection handed on, to be awaited."""

    def __init__(self) -> None:
        self.events: list[AmiMessage] = []
        self.times: list[datetime] = []
        self.links: list[tuple[PbxLink, str | None]] = []
        self.handle: Callable[[AmiMessage], None] | None = None
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def on_event(self, event: AmiMessage, at: datetime) -> None:
        self._notify()
        if self.handle is not None:
            self.handle(event)
        self.events.append(event)
        self.times.append(at)

    def on_link(self, link: PbxLink, detail: str | None) -> None:
        self.links.append((link, detail))
        self._notify()

    async def until(self, condition: Callable[["Heard"], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: condition(self))

    async def up(self, times: int = 1) -> None:
        await self.until(lambda h: [link for link, _ in h.links].count(PbxLink.UP) >= times)

    async def named(self, name: str) -> AmiMessage:
        await self.until(lambda h: any(e.event == name for e in h.events))
        return next(e for e in self.events if e.event == name)

    def _notify(self) -> None:
        async def notify() -> None:
            async with self._changed:
                self._changed.notify_all()

        task = asyncio.get_running_loop().create_task(notify())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Link:
    """A started connection with everything a test wants to look at."""

    def __init__(self, connection: AmiConnection, heard: Heard, clock: TestClock) -> None:
        self.connection = connection
        self.heard = heard
        self.clock = clock


@asynccontextmanager
async def connected(
    stub: AmiStub,
    *,
    wanted: frozenset[str] | None = None,
    variables: frozenset[str] = frozenset(),
    timing: Timing | None = None,
    wait_up: bool = True,
) -> AsyncIterator[Link]:
    """A connection to the stub on a clock that stands still; jitter is 0."""
    heard, clock = Heard(), TestClock()
    connection = AmiConnection(
        "test",
        AmiAccount("127.0.0.1", stub.port, "callcard", "secret"),
        on_event=heard.on_event,
        on_link=heard.on_link,
        wanted=wanted,
        variables=variables,
        timing=timing or Timing(),
        clock=clock,
        jitter=lambda: 0.0,
    )
    connection.start()
    try:
        if wait_up:
            await heard.up()
        yield Link(connection, heard, clock)
    finally:
        connection.close()
        await connection.wait_closed()


@pytest.fixture
async def stub() -> AsyncIterator[AmiStub]:
    async with AmiStub() as server:
        yield server
