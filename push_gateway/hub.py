"""Channels to clients: one pub/sub link for the process, and nobody ever hears a hole.

A message is handed on only if its offset is the next one of its channel. After a hole, or after the link to Redis was
away, the history is read: what was missed is sent in order, or, if it is not all there any more, the channel's clients
are asked to read it anew: a reconnect (3010) for the desk, a new subscription for what a tab subscribed to itself.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError

from push_gateway.client import Client, Frame
from push_gateway.metrics import Metrics
from push_gateway.protocol import presence_frame, push_frame
from shared.link import Wire
from shared.observability import logger
from shared.presence import parse_presence
from shared.push import ChannelState, DeskReader, Heard, Position, Publication, bus_name
from shared.push_control import CONTROL_CHANNEL

# A connect waits no longer for Redis; the SDK tries again, with back-off.
READ_SECONDS = 3.0
# After a restart every tab comes back at once; more readers than this would only queue in Redis.
PARALLEL_READS = 32
# The link says something at least this often because we ping it; twice silent is dead.
LINK_PING_SECONDS = 5.0
LINK_SILENCE_SECONDS = 12.0
# Redis comes back in about a second; looking often is cheap for it, and the agents wait.
RETRY_SECONDS = (0.1, 1.0)
# One SUBSCRIBE after a reconnect names at most this many channels.
SUBSCRIBE_CHUNK = 500
# Cards whose publish time is remembered for the receipts, a channel.
REMEMBERED_CARDS = 16

_CONTROL = CONTROL_CHANNEL.encode()
_FAILURES = (RedisError, OSError, TimeoutError)


class BusAway(Exception):
    """Redis can't be reached now; trying again later is right."""


class _Seat:
    """A client in a channel. It has everything up to `position`; `held` while that is still being read. `lost` is
    called when that can't be kept any more; it takes the client out of the channel or ends it."""

    __slots__ = ("client", "held", "lost", "position")

    def __init__(self, client: Client, lost: Callable[[], None]) -> None:
        self.client = client
        self.lost = lost
        self.position = Position("", 0)
        self.held: list[tuple[Position, Frame]] | None = []


class _Channel:
    __slots__ = ("acknowledged", "early", "held", "name", "position", "published", "seats", "subscribed")

    def __init__(self, name: str) -> None:
        self.name = name
        self.seats: dict[Client, _Seat] = {}
        # Set while Redis sends us the channel; `acknowledged` counts how often it began to.
        self.subscribed = asyncio.Event()
        self.acknowledged = 0
        # The last message heard; None until the first read. Messages before that wait in `early`.
        self.position: Position | None = None
        self.early: list[Heard] = []
        # Not None while the history is read again; messages wait in it.
        self.held: list[Heard] | None = None
        self.published: dict[tuple[str, int], float] = {}


class Control(Protocol):
    """Who takes orders that come over the bus to every gateway."""

    async def read(self) -> None:
        """The orders come from now on: read what was ordered before. Raises RedisError."""
        ...

    def order(self, payload: bytes) -> None: ...


class Hub:
    """The channels of this process. Run `run` as a task for as long as the gateway lives."""

    def __init__(self, redis: Redis, metrics: Metrics) -> None:
        self.control: Control | None = None
        self._redis = redis
        self._reader = DeskReader(redis)
        self._metrics = metrics
        self._log = logger("push.hub")
        self._channels: dict[str, _Channel] = {}
        self._reads = asyncio.Semaphore(PARALLEL_READS)
        self._link: Wire | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def up(self) -> bool:
        """Is the link to Redis pub/sub up?"""
        return self._link is not None

    # --- clients ----------------------------------------------------------------------------------------------

    async def join(
        self,
        client: Client,
        name: str,
        known: Position | None,
        reply: Callable[[ChannelState], None],
        lost: Callable[[], None],
    ) -> None:
        """Subscribe a client. `reply` is called with the channel's state; what comes after that state follows it
        into the client's queue, without a hole and without a repeat. `lost` is called, perhaps more than once, when
        publications were lost or the channel was begun anew; it must have the client leave. Raises `BusAway`."""
        channel = self._channels.get(name)
        is_new = channel is None
        if channel is None:
            channel = self._channels[name] = _Channel(name)
        seat = channel.seats[client] = _Seat(client, lost)
        try:
            if self._link is None:
                raise BusAway
            async with asyncio.timeout(READ_SECONDS):
                if is_new:
                    self._tell("SUBSCRIBE", name)
                await channel.subscribed.wait()
                acknowledged = channel.acknowledged
                state = await self._read(name, known)
        except _FAILURES as error:
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
            for position, frame in held:
                self._hand(seat, position, frame)

    def leave(self, client: Client, name: str) -> None:
        """Unsubscribe a client; the last one takes the channel along."""
        channel = self._channels.get(name)
        if channel is None or channel.seats.pop(client, None) is None or channel.seats:
            return
        del self._channels[name]
        self._tell("UNSUBSCRIBE", name)

    def leave_all(self, client: Client, names: Iterable[str]) -> None:
        for name in names:
            self.leave(client, name)

    async def history(
        self, name: str, since: int | None, limit: int, reverse: bool
    ) -> tuple[Position, tuple[Publication, ...]]:
        """See `DeskReader.history`. Raises `BusAway`."""
        try:
            async with asyncio.timeout(READ_SECONDS), self._reads:
                return await self._reader.history(name, since, limit, reverse=reverse)
        except _FAILURES as error:
            raise BusAway from error

    def published_at(self, name: str, call_id: str, rev: int) -> float | None:
        """When a card was published (Redis' clock), if it passed here not long ago."""
        channel = self._channels.get(name)
        return channel.published.get((call_id, rev)) if channel else None

    # --- messages ---------------------------------------------------------------------------------------------

    def _hear(self, channel: _Channel, heard: Heard) -> None:
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
                return
            if heard.offset > channel.position.offset + 1:
                self._metrics.holes.inc()
                self._log.warning("hole in a channel", channel=channel.name, heard=heard.offset)
                self._repair_later(channel, [heard])
                return
        # Else the desk was rebuilt: `_hand` asks those who read it before to read it again.
        channel.position = position
        self._remember(channel, heard)
        key = (channel.name, heard.call_id) if heard.call_id else None
        self._fan_out(channel, position, heard.data, heard.published_at, key)

    def _fan_out(
        self,
        channel: _Channel,
        position: Position,
        data: bytes,
        published_at: float = 0.0,
        key: tuple[str, str] | None = None,
    ) -> None:
        raw = push_frame(channel.name, Publication(position.offset, data))
        frame = Frame(raw.decode(), len(raw), published_at, key)
        for seat in tuple(channel.seats.values()):  # one that is lost leaves
            if seat.held is not None:
                seat.held.append((position, frame))
            else:
                self._hand(seat, position, frame)

    def _hand(self, seat: _Seat, position: Position, frame: Frame) -> None:
        if position.epoch != seat.position.epoch:
            seat.lost()
        elif position.offset > seat.position.offset:
            seat.position = position
            self._metrics.deliveries.inc()
            seat.client.push(frame)

    @staticmethod
    def _remember(channel: _Channel, heard: Heard) -> None:
        if heard.rev:
            channel.published[(heard.call_id, heard.rev)] = heard.published_at
            if len(channel.published) > REMEMBERED_CARDS:
                del channel.published[next(iter(channel.published))]

    # --- repair -----------------------------------------------------------------------------------------------

    def _repair_later(self, channel: _Channel, held: list[Heard]) -> None:
        if channel.held is not None:
            channel.held += held
            return
        channel.held = held
        self._spawn(self._repair(channel))

    async def _repair(self, channel: _Channel) -> None:
        """Read what was missed since the channel's position and go on from there."""
        assert channel.position is not None
        known = channel.position
        while True:
            try:
                async with asyncio.timeout(READ_SECONDS):
                    state = await self._read(channel.name, known)
                break
            except _FAILURES:
                await asyncio.sleep(RETRY_SECONDS[1])
            if self._channels.get(channel.name) is not channel:
                return
        held, channel.held = channel.held or [], None
        channel.position = state.position
        if state.recovered:
            for missed in state.missed:
                self._fan_out(channel, Position(known.epoch, missed.offset), missed.data)
        else:
            self._log.info("a channel can't be recovered, its clients reconnect", channel=channel.name)
            for seat in tuple(channel.seats.values()):
                if seat.held is not None or seat.position != state.position:
                    seat.lost()
        for heard in held:
            self._hear(channel, heard)

    async def _read_control(self, control: Control) -> None:
        """A link that fails once more brings the next reading."""
        with contextlib.suppress(*_FAILURES):
            async with asyncio.timeout(READ_SECONDS):
                await control.read()

    async def _read(self, name: str, known: Position | None) -> ChannelState:
        async with self._reads:
            return await self._reader.read(name, known)

    # --- the link ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the link to Redis; never returns."""
        pause, known_away = RETRY_SECONDS[0], False
        while True:
            started = asyncio.get_running_loop().time()
            try:
                await self._listen()
            except _FAILURES as error:
                if asyncio.get_running_loop().time() - started > RETRY_SECONDS[1]:
                    pause, known_away = RETRY_SECONDS[0], False
                if not known_away:
                    self._log.warning("no link to Redis, trying again until there is one", error=str(error))
                    known_away = True
            except Exception:
                # A mistake of ours must not leave every tab deaf: begin anew.
                self._log.exception("the link to Redis failed")
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads load, guards nothing
            pause = min(pause * 2, RETRY_SECONDS[1])

    async def close(self) -> None:
        """End what still runs for channels; after `run` was cancelled."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self) -> None:
        """Subscribe to every channel and take messages until the link breaks."""
        link = await Wire.open(self._redis, self._heard)
        try:
            self._link = link
            names = [CONTROL_CHANNEL, *(bus_name(name) for name in self._channels)]
            link.send(
                [
                    ("SUBSCRIBE", *names[start : start + SUBSCRIBE_CHUNK])
                    for start in range(0, len(names), SUBSCRIBE_CHUNK)
                ]
            )
            self._metrics.bus_up.set(1)
            while not link.lost.done():
                await asyncio.wait([link.lost], timeout=LINK_PING_SECONDS)
                if asyncio.get_running_loop().time() - link.heard_at > LINK_SILENCE_SECONDS:
                    raise TimeoutError("Redis is silent")
                link.send([("PING",)])
            raise link.lost.result()
        finally:
            self._link = None
            self._metrics.bus_up.set(0)
            for channel in self._channels.values():
                channel.subscribed.clear()
            await link.close()

    def _heard(self, message: Any) -> None:
        """Anything that came over the link."""
        try:
            if isinstance(message, RedisError):
                self._log.error("Redis refuses a subscription", error=str(message))
            elif message[0] == b"message":
                self._message(message[1], message[2])
            elif message[0] == b"subscribe":
                self._on_subscribed(message[1])
        except Exception:  # one message that we can't handle must not cost the others
            self._log.exception("a message of the push bus could not be handled")

    def _message(self, name: bytes, payload: bytes) -> None:
        if name == _CONTROL:
            if self.control is not None:
                self.control.order(payload)
            return
        moved = parse_presence(payload)
        if moved is not None:
            self._announce(self._channels.get(_channel_of(name)), *moved)
            return
        try:
            heard = Heard.parse(name, payload)
        except ValueError:
            self._log.warning("something else than ours is published on the push bus", name=name[:80])
            return
        channel = self._channels.get(heard.channel)
        if channel is not None:
            self._hear(channel, heard)

    @staticmethod
    def _announce(channel: _Channel | None, what: str, client: str, login: str) -> None:
        """Tell those in the channel who came or went; not the one it is about, who knows it."""
        if channel is None:
            return
        for seat in channel.seats.values():
            if seat.held is None and seat.client.id != client:
                seat.client.push_text(presence_frame(channel.name, what, client, login))

    def _on_subscribed(self, name: bytes) -> None:
        if name == _CONTROL and self.control is not None:
            self._spawn(self._read_control(self.control))
            return
        channel = self._channels.get(_channel_of(name))
        if channel is None:
            return
        channel.subscribed.set()
        channel.acknowledged += 1
        if channel.position is not None:
            # The link was away: what was published in between is in the history, or the epoch is a new one.
            self._repair_later(channel, [])

    def _tell(self, command: str, name: str) -> None:
        """A link that breaks now needs no telling: the next one subscribes to what is wanted then."""
        if self._link is not None:
            self._link.send([(command, bus_name(name))])

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _channel_of(name: bytes) -> str:
    """`agent:101` of `callcard:push:{agent:101}`."""
    return name.decode().partition("{")[2].removesuffix("}")
