"""`callcard push tail`: hears channels as a tab does, through the same hub, and prints what comes."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson

from push_gateway.client import Frame
from push_gateway.hub import BusAway, Hub
from push_gateway.metrics import Metrics
from shared.bus import connect_redis
from shared.push import ChannelState

# While Redis is away it is asked again after so long.
_AGAIN_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Printer:
    """Where a tail goes. `push(push, at)`: what the tabs got, and when it was published (UTC); `say`: for people."""

    push: Callable[[dict[str, Any], datetime], None]
    say: Callable[[str], None]


class _Ear:
    """A hearer of the hub; what it heard waits to be printed: the hub is not for waiting in."""

    id = "tail"

    def __init__(self) -> None:
        self._heard: asyncio.Queue[tuple[bytes, float]] = asyncio.Queue()

    def push(self, frame: Frame) -> None:
        self._heard.put_nowait((frame.text, frame.published_at))

    def push_text(self, text: str) -> None:
        self._heard.put_nowait((text.encode(), 0.0))

    async def print(self, printer: Printer) -> None:
        """Never returns; raises what the printer raises."""
        while True:
            text, published_at = await self._heard.get()
            # What was read again after a lost link does not say when it was published.
            at = datetime.fromtimestamp(published_at, UTC) if published_at else datetime.now(UTC)
            printer.push(orjson.loads(text)["push"], at)


async def tail(redis_url: str, channels: Sequence[str], printer: Printer) -> None:
    """Print what comes in these channels; never returns. Raises RedisError if Redis is not there at the start."""
    redis = connect_redis(redis_url)
    hub = Hub(redis, Metrics())
    try:
        await redis.ping()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hub.run())
            ear = _Ear()
            tasks.create_task(ear.print(printer))
            for channel in channels:
                tasks.create_task(_follow(hub, ear, channel, printer))
    finally:
        await hub.close()
        await redis.aclose()


async def _follow(hub: Hub, ear: _Ear, channel: str, printer: Printer) -> None:
    say = partial(_say_beginning, channel, printer)
    while True:
        lost = asyncio.Event()
        try:
            await hub.join(ear, channel, None, say, lost.set)
        except BusAway:
            await asyncio.sleep(_AGAIN_SECONDS)
            continue
        try:
            await lost.wait()
        finally:
            with contextlib.suppress(Exception):  # the link may be gone already
                hub.leave(ear, channel)
        say = partial(_say_anew, channel, printer)


def _say_beginning(channel: str, printer: Printer, state: ChannelState) -> None:
    if not state.position.offset and not state.cards:
        printer.say(f"{channel}: nothing was published there in the last week. Is the name right? Listening.")
    else:
        cards = f", {len(state.cards)} open cards" if channel.startswith("agent:") else ""
        printer.say(f"{channel}: at #{state.position.offset}{cards}. Listening.")


def _say_anew(channel: str, printer: Printer, state: ChannelState) -> None:
    printer.say(f"{channel}: begun anew, the tabs read it again ({len(state.cards)} open cards).")
