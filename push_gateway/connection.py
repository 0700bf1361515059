"""One connection from its first frame to its close: the effects of its session, carried out.

What carries it (a WebSocket, an HTTP stream) is behind `receive` and `Socket`.
"""

import asyncio
import math
import random
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError

from push_gateway.channels import Identity, has_presence
from push_gateway.client import Client, Frame, Socket
from push_gateway.clock import Clock
from push_gateway.codes import CLOSE_BAD_REQUEST, CONNECTION_LIMIT, INTERNAL, SERVER_ERROR
from push_gateway.effects import (
    Effect,
    End,
    GiveReceipt,
    Join,
    Leave,
    Open,
    Ping,
    ReadHistory,
    ReadPresence,
    Send,
)
from push_gateway.hub import READ_SECONDS, BusAway, Hub
from push_gateway.limits import Limits
from push_gateway.metrics import Metrics
from push_gateway.presence import PresenceKeeper
from push_gateway.protocol import PING, PONG, BadFrame, parse_frame
from push_gateway.session import Session
from shared.contracts.push import Receipt
from shared.observability import logger
from shared.presence import Presence
from shared.push import ChannelState, add_receipt

# The same for all: how a WebSocket carries it is worked out once.
_PING = Frame(PING)

Receive = Callable[[], Awaitable[str]]
"""The next frame of the peer. Raises `Gone`, or `BadFrame` for what is no text."""


class Gone(Exception):
    """The peer has ended the connection."""


class Door(Protocol):
    """Who lets agents in: the gateway."""

    def identify(self, token: str) -> Identity:
        """Raises TokenError."""
        ...

    def take_place(self, login: str) -> bool: ...

    def give_place(self, login: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Around:
    """What all connections of a process share."""

    node: str
    redis: Redis
    hub: Hub
    keeper: PresenceKeeper
    presence: Presence
    clock: Clock
    metrics: Metrics
    limits: Limits


class Connection:
    """A session with its socket, its queue and its place in the clock. `session_name`: see `Session`."""

    def __init__(
        self, around: Around, door: Door, socket: Socket, receive: Receive, session_name: str = ""
    ) -> None:
        self._around = around
        self._limits = around.limits
        self._hub = around.hub
        self._metrics = around.metrics
        self._door = door
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._log = logger("push.connection")
        self._joined: set[str] = set()
        self._place: str | None = None
        self.finished = asyncio.Event()
        self._socket = socket
        client_id = secrets.token_hex(8)
        self.client = Client(socket, around.metrics, around.limits.queue_bytes, client_id)
        self.session = Session(
            client_id,
            around.node,
            door.identify,
            around.limits,
            self._loop.time(),
            session_name,
            # As Centrifugo: the first seconds after a restart are busy enough without pings.
            spread=random.uniform(0.5, 1),  # noqa: S311 - spreads load, guards nothing
        )

    async def serve(self) -> None:
        """Until either side closes."""
        self._set_timer()
        reading = asyncio.create_task(self._read())
        try:
            await self.client.write()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            self._around.clock.forget(self)
            for channel in tuple(self._joined):
                self._leave(channel)
            if self._place is not None:
                self._door.give_place(self._place)
            self.finished.set()

    async def _read(self) -> None:
        try:
            while not self.client.closing:
                await self._on_frame(await self._receive())
        except Gone:
            self.client.stop()
        except BadFrame as error:
            self._log.info("not the protocol", client=self.session.client_id, error=str(error))
            self.client.close(CLOSE_BAD_REQUEST)
        except Exception:
            self._log.exception("a connection failed", client=self.session.client_id)
            self.client.close(SERVER_ERROR)

    async def _on_frame(self, text: str) -> None:
        for command in parse_frame(text, self._limits.frame_chars, self._limits.frame_lines):
            if self.client.closing:
                return
            for effect in self.session.command(command, self._loop.time()):
                await self._carry_out(effect)
        self._set_timer()

    async def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Send(frame):
                self.client.push_text(frame)
            case End(close):
                self.client.close(close)
            case Open():
                await self._open(effect)
            case Join():
                await self._join(effect)
            case Leave(channel):
                self._leave(channel)
            case ReadHistory():
                await self._history(effect)
            case ReadPresence():
                await self._read_presence(effect)
            case GiveReceipt():
                await self._give_receipt(effect)

    def _now(self, effects: list[Effect]) -> None:
        """Effects that need no waiting."""
        for effect in effects:
            match effect:
                case Ping():
                    self.client.push(_PING)
                case Send(frame):
                    self.client.push_text(frame)
                case End(close):
                    self.client.close(close)
                case Leave(channel):
                    self._leave(channel)
                case _:  # the answers of a session are never questions
                    raise AssertionError(effect)

    async def _open(self, effect: Open) -> None:
        if self._place is None:
            if not self._door.take_place(effect.identity.login):
                self.client.close(CONNECTION_LIMIT)
                return
            self._place = effect.identity.login

        def reply(state: ChannelState) -> None:
            self._entered(effect.channel)
            self._now(self.session.opened(effect, state, self._loop.time(), datetime.now(UTC)))
            self._socket.pongs_to(self._on_pong)

        await self._take_seat(effect, reply)

    async def _join(self, effect: Join) -> None:
        def reply(state: ChannelState) -> None:
            self._entered(effect.channel)
            self._now(self.session.joined(effect, state))

        await self._take_seat(effect, reply)

    async def _take_seat(self, effect: Open | Join, reply: Callable[[ChannelState], None]) -> None:
        try:
            await self._hub.join(
                self.client, effect.channel, effect.known, reply, partial(self._lost, effect.channel)
            )
        except BusAway:
            self._now(self.session.failed(effect, INTERNAL))

    def _entered(self, channel: str) -> None:
        self._joined.add(channel)
        if self.session.identity is not None and has_presence(channel):
            self._around.keeper.enter(channel, self.client.id, self.session.identity.login)

    def _leave(self, channel: str) -> None:
        self._joined.discard(channel)
        self._hub.leave(self.client, channel)
        self._around.keeper.leave(channel, self.client.id, self.client.close_code)

    def _lost(self, channel: str) -> None:
        if not self.client.closing:
            self._now(self.session.lost(channel))

    async def _history(self, effect: ReadHistory) -> None:
        since = effect.since.offset if effect.since is not None else None
        try:
            position, publications = await self._hub.history(
                effect.channel, since, effect.limit, effect.reverse
            )
        except BusAway:
            self._now(self.session.failed(effect, INTERNAL))
            return
        self._now(self.session.history_read(effect, position, publications))

    async def _read_presence(self, effect: ReadPresence) -> None:
        try:
            async with asyncio.timeout(READ_SECONDS):
                present = await self._around.presence.present(effect.channel)
        except (RedisError, OSError):
            self._now(self.session.failed(effect, INTERNAL))
            return
        self._now(self.session.presence_read(effect, present))

    async def _give_receipt(self, effect: GiveReceipt) -> None:
        self._metrics.receipts.labels(effect.what).inc()
        receipt = Receipt(
            **effect.seen.model_dump(),
            what=effect.what,
            agent=effect.agent,
            client=self.session.client_id,
            received_at=datetime.now(UTC),
        )
        try:
            async with asyncio.timeout(READ_SECONDS):
                await add_receipt(self._around.redis, receipt)
        except (RedisError, OSError, TimeoutError):
            self._metrics.receipts_lost.inc()

    def _on_pong(self) -> None:
        """Most of what tabs say: without waking the reader for it."""
        if not self.client.closing:  # a deadline only moves away: the clock finds that out by itself
            self._now(self.session.command(PONG, self._loop.time()))

    def _set_timer(self) -> None:
        self._around.clock.at(math.inf if self.client.closing else self.session.deadline, self)

    def wake(self) -> None:
        """The clock: a deadline of the session may have come."""
        self._now(self.session.tick(self._loop.time()))
        self._set_timer()
