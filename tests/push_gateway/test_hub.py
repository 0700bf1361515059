"""The hub: nobody hears a hole, in whichever order Redis' answers come."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import orjson
import pytest
from redis.asyncio import Redis

from push_gateway.client import Frame
from push_gateway.hub import Hub
from push_gateway.metrics import Metrics
from shared.push import ChannelState, DeskReader, Position, PushPublisher
from tests.push_gateway.helpers import until

LINE = "line:support"


class Tab:
    """`heard`: offsets, after the one of its snapshot."""

    def __init__(self, name: str) -> None:
        self.id = name
        self.heard: list[int] = []
        self.lost = False

    def push(self, frame: Frame) -> None:
        self.heard.append(orjson.loads(frame.text)["push"]["pub"]["offset"])

    def push_text(self, text: str) -> None:
        raise AssertionError(text)

    async def join(self, hub: Hub) -> None:
        def lose() -> None:
            self.lost = True
            hub.leave(self, LINE)

        await hub.join(self, LINE, None, lambda state: self.heard.append(state.position.offset), lose)


class LateAnswer:
    """The first answer of a reader is on its way until `arrives` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.given, self.arrives = asyncio.Event(), asyncio.Event()
        read = DeskReader.read

        async def late(reader: DeskReader, channel: str, known: Position | None = None) -> ChannelState:
            state = await read(reader, channel, known)
            if not self.given.is_set():
                self.given.set()
                await self.arrives.wait()
            return state

        monkeypatch.setattr(DeskReader, "read", late)


@contextlib.asynccontextmanager
async def running(redis: Redis) -> AsyncIterator[Hub]:
    hub = Hub(redis, Metrics())
    task = asyncio.create_task(hub.run())
    try:
        await until(lambda: hub.up)
        yield hub
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await hub.close()


async def overtaken(redis: Redis, late: LateAnswer) -> tuple[Tab, Tab]:
    """Two tabs that come into a new channel: the first asks first, the second is answered first."""
    publisher = PushPublisher(redis)
    for _ in range(3):
        await publisher.publish(LINE, b"{}")
    first, second = Tab("first"), Tab("second")
    async with running(redis) as hub:
        joining = asyncio.create_task(first.join(hub))
        await late.given.wait()
        await publisher.publish(LINE, b"{}")
        await second.join(hub)
        late.arrives.set()
        await joining
        await publisher.publish(LINE, b"{}")
        await until(lambda: second.heard == [4, 5])
    return first, second


async def test_whose_answer_is_overtaken_misses_nothing(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = await overtaken(redis, LateAnswer(monkeypatch))
    assert first.heard == [3, 4, 5]
    assert not first.lost


async def test_who_would_hear_a_hole_is_asked_to_read_anew(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hub, "_remind", lambda *_: None)  # a mistake of ours that we do not know yet
    first, _ = await overtaken(redis, LateAnswer(monkeypatch))
    assert first.heard == [3]
    assert first.lost
