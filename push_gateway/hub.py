"""Channels to clients: one pub/sub link for the process, and nobody ever hears a hole.

A message is handed on only if its offset is the next one of its channel. After a hole, or after the link to Redis was
away, the history is read: what was missed is sent in order, or, if it is not all there any more, the channel's clients
are asked to read it anew: a reconnect (3010) for the desk, a new subscription for what a tab subscribed to itself.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from push_gateway.bus import BUS_FAILURES, Ears
from push_gateway.client import Frame
from push_gateway.cluster_bus import bus_of
from push_gateway.metrics import Metrics
from push_gateway.protocol import presence_frame, push_frame
from push_gateway.seats import Channel, Hearer, Seat
from shared.observability import logger
from shared.presence import parse_presence
from shared.push import ChannelState, DeskReader, Heard, Position, Publication, bus_name

# A connect waits no longer for Redis; the SDK tries again, with back-off.
READ_SECONDS = 3.0
# After a restart every tab comes back at once; more readers than this would only queue in Redis.
PARALLEL_READS = 32
# A channel that could not be read is read again after so long.
REPAIR_SECONDS = 1.0


class BusAway(Exception):
    """Redis can't be reached now; trying again later is right."""


@dataclass(frozen=True, slots=True)
class Direct:
    """Who hears a pub/sub name that is no channel of tabs. `heard(payload)` must not wait; `began` is run whenever
    Redis begins to send it, to read what was missed before; it may raise RedisError."""

    heard: Callable[[bytes], None]
    began: Callable[[], Awaitable[None]] | None = None


class Hub:
    """The channels of this process. Run `run` as a task for as long as the gateway lives."""

    def __init__(self, redis: Redis, metrics: Metrics) -> None:
        self._direct: dict[bytes, Direct] = {}
        self._reader = DeskReader(redis)
        self._metrics = metrics
        self._log = logger("push.hub")
        # By their names on the bus, as its messages name them.
        self._channels: dict[bytes, Channel] = {}
        self._reads = asyncio.Semaphore(PARALLEL_READS)
        self._link = bus_of(
            redis, metrics, Ears(self._wanted, self._on_subscribed, self._message, self._deaf)
        )
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def up(self) -> bool:
        """Is the link to Redis pub/sub up?"""
        return self._link.up

    def listen(self, name: str, direct: Direct) -> None:
        """Hear a pub/sub name that is no channel of tabs, from the next link on: call it before `run`."""
        self._direct[name.encode()] = direct

    # --- clients ----------------------------------------------------------------------------------------------

    async def join(
        self,
        client: Hearer,
        name: str,
        known: Position | None,
        reply: Callable[[ChannelState], None],
        lost: Callable[[], None],
    ) -> None:
        """Subscribe a client. `reply` is called with the channel's state; what comes after that state follows it
        into the client's queue, without a hole and without a repeat. `lost` is called, perhaps more than once, when
        publications were lost or the channel was begun anew; it must have the client leave. Raises `BusAway`."""
        on_bus = bus_name(name)
        channel = self._channels.get(on_bus.encode())
        is_new = channel is None
        if channel is None:
            channel = self._channels[on_bus.encode()] = Channel(name)
        seat = channel.seats[client] = Seat(client, lost)
        try:
            if not self._link.up:
                raise BusAway
            async with asyncio.timeout(READ_SECONDS):
                if is_new:
                    self._link.subscribe(on_bus)
                await channel.subscribed.wait()
                acknowledged = channel.acknowledged
                state = await self._read(name, known)
        except BUS_FAILURES as error:
            self.leave(client, name)
            raise BusAway from error
        except BaseException:
            self.leave(client, name)
            raise
        if channel.seats.get(client) is not seat:
            return  # closed in the meantime
        if known is not None:
            self._metrics.recoveries.labels("recovered" if state.recovered else "snapshot").inc()
        seat.position = state.position
        if channel.position is None:
            channel.position = state.position
            early, channel.early = channel.early, []
            if channel.acknowledged != acknowledged:
                # The link was lost during the first read: what was published in between was heard by nobody.
                self._repair_later(channel, [])
            for heard in early:
                self._hear(channel, heard)
        reply(state)
        held, seat.held = seat.held or [], None
        if channel.seats.get(client) is seat:  # else the reply was a refusal
            self._metrics.deliveries.count(sum(self._hand(seat, position, frame) for position, frame in held))

    def leave(self, client: Hearer, name: str) -> None:
        """Unsubscribe a client; the last one takes the channel along."""
        on_bus = bus_name(name)
        channel = self._channels.get(on_bus.encode())
        if channel is None or channel.seats.pop(client, None) is None or channel.seats:
            return
        del self._channels[on_bus.encode()]
        self._link.unsubscribe(on_bus)

    def leave_all(self, client: Hearer, names: Iterable[str]) -> None:
        for name in names:
            self.leave(client, name)

    async def history(
        self, name: str, since: int | None, limit: int, reverse: bool
    ) -> tuple[Position, tuple[Publication, ...]]:
        """See `DeskReader.history`. Raises `BusAway`."""
        try:
            async with asyncio.timeout(READ_SECONDS), self._reads:
                return await self._reader.history(name, since, limit, reverse=reverse)
        except BUS_FAILURES as error:
            raise BusAway from error

    # --- messages ---------------------------------------------------------------------------------------------

    def _hear(self, channel: Channel, heard: Heard) -> None:
        """A message of the bus, in the order of the bus."""
        if channel.held is not None:
            channel.held.append(heard)
            return
        if channel.position is None:
            channel.early.append(heard)
            return
        position = Position(heard.epoch, heard.offset)
        if heard.epoch == channel.position.epoch:
            if heard.offset <= channel.position.offset:
                self._remind(channel, heard)
                return
            if heard.offset > channel.position.offset + 1:
                self._metrics.holes.inc()
                self._log.warning("hole in a channel", channel=channel.name, heard=heard.offset)
                self._repair_later(channel, [heard])
                return
        # Else the desk was rebuilt: `_hand` asks those who read it before to read it again.
        channel.position = position
        self._fan_out(channel, position, _frame(channel, heard), heard.published_at)

    @staticmethod
    def _remind(channel: Channel, heard: Heard) -> None:
        """The channel has it, by the answer to somebody's read; another read may have been answered before that, and
        its answer still be on the way: then this is all its tab will hear of it."""
        held = [seat.held for seat in channel.seats.values() if seat.held is not None]
        if held:
            publication = Position(heard.epoch, heard.offset), _frame(channel, heard)
            for waiting in held:
                waiting.append(publication)

    def _fan_out(self, channel: Channel, position: Position, frame: Frame, published_at: float = 0.0) -> None:
        handed = 0
        for seat in tuple(channel.seats.values()):  # one that is lost leaves
            if seat.held is not None:
                seat.held.append((position, frame))
            else:
                handed += self._hand(seat, position, frame)
        if handed:
            self._metrics.deliveries.count(handed, time.time() - published_at if published_at else None)

    def _hand(self, seat: Seat, position: Position, frame: Frame) -> bool:
        """Is it news for this seat?"""
        if position.epoch != seat.position.epoch:
            seat.lost()
            return False
        if position.offset <= seat.position.offset:
            return False
        if position.offset > seat.position.offset + 1:
            # Nobody ever hears a hole, however it came about.
            self._metrics.holes.inc()
            seat.lost()
            return False
        seat.position = position
        seat.client.push(frame)
        return True

    # --- repair -----------------------------------------------------------------------------------------------

    def _repair_later(self, channel: Channel, held: list[Heard]) -> None:
        if channel.held is not None:
            channel.held += held
            return
        channel.held = held
        self._spawn(self._repair(channel))

    async def _repair(self, channel: Channel) -> None:
        """Read what was missed since the channel's position and go on from there."""
        assert channel.position is not None
        known = channel.position
        while True:
            try:
                async with asyncio.timeout(READ_SECONDS):
                    state = await self._read(channel.name, known)
                break
            except BUS_FAILURES:
                await asyncio.sleep(REPAIR_SECONDS)
            if self._channels.get(bus_name(channel.name).encode()) is not channel:
                return
        held, channel.held = channel.held or [], None
        channel.position = state.position
        if state.recovered:
            for missed in state.missed:
                frame = Frame(push_frame(channel.head, missed.data, missed.offset))
                self._fan_out(channel, Position(known.epoch, missed.offset), frame)
        else:
            self._log.info("a channel can't be recovered, its clients reconnect", channel=channel.name)
            for seat in tuple(channel.seats.values()):
                if seat.held is not None or seat.position != state.position:
                    seat.lost()
        for heard in held:
            self._hear(channel, heard)

    @staticmethod
    async def _begin(began: Callable[[], Awaitable[None]]) -> None:
        """A link that fails once more begins once more."""
        with contextlib.suppress(*BUS_FAILURES):
            async with asyncio.timeout(READ_SECONDS):
                await began()

    async def _read(self, name: str, known: Position | None) -> ChannelState:
        async with self._reads:
            return await self._reader.read(name, known)

    # --- the link ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the link to Redis; never returns."""
        await self._link.run()

    async def close(self) -> None:
        """End what still runs for channels; after `run` was cancelled."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _wanted(self) -> Iterable[str]:
        yield from (name.decode() for name in self._direct)
        yield from (name.decode() for name in self._channels)

    def _deaf(self, names: Iterable[str]) -> None:
        for name in names:
            if (channel := self._channels.get(name.encode())) is not None:
                channel.subscribed.clear()

    def _message(self, name: bytes, payload: bytes) -> None:
        channel = self._channels.get(name)
        if channel is None:
            if name in self._direct:
                self._direct[name].heard(payload)
            return  # else its last tab has just left
        try:
            heard = Heard.parse(payload)
        except ValueError:
            moved = parse_presence(payload)
            if moved is not None:
                self._announce(channel, *moved)
            else:
                self._log.warning("something else than ours is published on the push bus", name=name[:80])
            return
        self._hear(channel, heard)

    @staticmethod
    def _announce(channel: Channel, what: str, client: str, login: str) -> None:
        """Tell those in the channel who came or went; not the one it is about, who knows it."""
        for seat in channel.seats.values():
            if seat.held is None and seat.client.id != client:
                seat.client.push_text(presence_frame(channel.name, what, client, login))

    def _on_subscribed(self, name: bytes) -> None:
        direct = self._direct.get(name)
        if direct is not None:
            if direct.began is not None:
                self._spawn(self._begin(direct.began))
            return
        channel = self._channels.get(name)
        if channel is None:
            return
        channel.subscribed.set()
        channel.acknowledged += 1
        if channel.position is not None:
            # The link was away: what was published in between is in the history, or the epoch is a new one.
            self._repair_later(channel, [])

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _frame(channel: Channel, heard: Heard) -> Frame:
    key = (channel.name, heard.key) if heard.key else None
    return Frame(push_frame(channel.head, heard.data, heard.offset), key, heard.published_at)
