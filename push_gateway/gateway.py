"""One WebSocket connection from accept to close: the effects of its session, carried out."""

import asyncio
import contextlib
import math
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from urllib.parse import urlsplit

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.websockets import WebSocket, WebSocketDisconnect

from push_gateway.channels import Identity, has_presence
from push_gateway.client import CLOSE_SECONDS, Client
from push_gateway.hub import READ_SECONDS, BusAway, Hub
from push_gateway.limits import Limits
from push_gateway.metrics import Metrics
from push_gateway.presence import PresenceKeeper
from push_gateway.protocol import (
    CLOSE_BAD_REQUEST,
    CONNECTION_LIMIT,
    INTERNAL,
    SERVER_ERROR,
    SHUTDOWN,
    BadFrame,
    Close,
    parse_frame,
)
from push_gateway.revocation import Revocations
from push_gateway.session import (
    Effect,
    End,
    GiveReceipt,
    Join,
    Leave,
    Open,
    ReadHistory,
    ReadPresence,
    Send,
    Session,
)
from shared.contracts.push import Receipt
from shared.observability import logger
from shared.presence import Presence
from shared.push import ChannelState, add_receipt
from shared.push_control import Disconnect, read_revoked
from shared.security import TokenError


class Gateway:
    """All connections of this process.

    `authenticate`: see `Session`. `origins`: pages of other hosts that may connect from a browser.
    """

    def __init__(
        self,
        redis: Redis,
        hub: Hub,
        keeper: PresenceKeeper,
        metrics: Metrics,
        authenticate: Callable[[str], Identity],
        origins: Sequence[str],
        limits: Limits,
    ) -> None:
        self._redis = redis
        self._hub = hub
        self._keeper = keeper
        self._presence = Presence(redis)
        self._limits = limits
        self._metrics = metrics
        self._authenticate = authenticate
        self._origins = frozenset(origin.rstrip("/").lower() for origin in origins)
        self._node = secrets.token_hex(4)
        self._connections: set[_Connection] = set()
        self._places: Counter[str] = Counter()
        self._revocations = Revocations()
        self._log = logger("push.gateway")
        self._draining = False

    async def handle(self, websocket: WebSocket) -> None:
        """Serve one WebSocket."""
        if not self.origin_allowed(websocket.headers.get("origin"), websocket.headers.get("host", "")):
            await websocket.close()  # before accept: the handshake is answered with 403
            return
        await websocket.accept()
        connection = _Connection(self, websocket)
        self._connections.add(connection)
        self._metrics.connections.inc()
        try:
            if self._draining:
                connection.client.close(SHUTDOWN)
            await connection.serve()
        finally:
            self._connections.discard(connection)
            self._metrics.connections.dec()

    def origin_allowed(self, origin: str | None, host: str) -> bool:
        """A browser says where its page is from. The same host and the pages in the settings may connect, and what is
        no browser."""
        if origin is None:
            return True
        origin = origin.rstrip("/").lower()
        try:
            return origin in self._origins or (host != "" and urlsplit(origin).netloc == host.lower())
        except ValueError:
            return False

    async def drain(self) -> None:
        """Send every client away with 3001, and wait until they have heard it."""
        self._draining = True
        for connection in self._connections:
            connection.client.close(SHUTDOWN)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                for connection in list(self._connections):
                    await connection.finished.wait()

    # --- revocation -------------------------------------------------------------------------------------------

    def identify(self, token: str) -> Identity:
        """Who a token is of, if it was not ended. Raises `TokenError`."""
        identity = self._authenticate(token)
        if self._revocations.ended(identity.login, identity.issued_at):
            # As with an old token the SDK asks the page for a new one; whether there is one the card API decides.
            raise TokenError("the token was revoked", expired=True)
        return identity

    async def read(self) -> None:
        for order in self._revocations.merge(await read_revoked(self._redis)):
            self._disconnect(order)

    def order(self, payload: bytes) -> None:
        try:
            order = Disconnect.model_validate_json(payload)
        except ValidationError:
            self._log.warning("an order to the gateways can't be read")
            return
        self._revocations.add(order)
        self._disconnect(order)

    def _disconnect(self, order: Disconnect) -> None:
        for connection in self._connections:
            identity = connection.session.identity
            if identity and identity.login == order.login and identity.issued_at < order.before:
                connection.client.cut(Close(order.code, order.reason))

    def take_place(self, login: str) -> bool:
        """Count one more connection of the agent; False if there are enough of them."""
        if self._places[login] >= self._limits.connections:
            return False
        self._places[login] += 1
        return True

    def give_place(self, login: str) -> None:
        self._places[login] -= 1
        if not self._places[login]:
            del self._places[login]


class _Connection:
    """A socket, its session, its queue, and the timer of the session."""

    def __init__(self, gateway: Gateway, websocket: WebSocket) -> None:
        self._gateway = gateway
        self._hub = gateway._hub
        self._metrics = gateway._metrics
        self._websocket = websocket
        self._loop = asyncio.get_running_loop()
        self._log = logger("push.connection")
        self._joined: set[str] = set()
        self._place: str | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.finished = asyncio.Event()
        client_id = secrets.token_hex(8)
        self.client = Client(websocket, gateway._metrics, gateway._limits.queue_bytes, client_id)
        self.session = Session(client_id, gateway._node, gateway.identify, gateway._limits, self._loop.time())

    async def serve(self) -> None:
        """Until either side closes."""
        self._set_timer()
        reading = asyncio.create_task(self._read())
        try:
            await self.client.write()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            if self._timer is not None:
                self._timer.cancel()
            for channel in tuple(self._joined):
                self._leave(channel)
            if self._place is not None:
                self._gateway.give_place(self._place)
            self.finished.set()

    async def _read(self) -> None:
        try:
            while not self.client.closing:
                await self._on_frame(await self._websocket.receive_text())
        except WebSocketDisconnect:
            self.client.stop()
        except KeyError:  # a binary frame: no SDK sends one in this protocol
            self.client.close(CLOSE_BAD_REQUEST)
        except Exception:
            self._log.exception("a connection failed", client=self.session.client_id)
            self.client.close(SERVER_ERROR)

    async def _on_frame(self, text: str) -> None:
        try:
            commands = parse_frame(text, self._gateway._limits.frame_chars)
        except BadFrame as error:
            self._log.info("not the protocol", client=self.session.client_id, error=str(error))
            self.client.close(CLOSE_BAD_REQUEST)
            return
        for command in commands:
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
                case Send(frame):
                    self.client.push_text(frame)
                case End(close):
                    self.client.close(close)
                case Leave(channel):
                    self._joined.discard(channel)
                    self._hub.leave(self.client, channel)
                case _:  # the answers of a session are never questions
                    raise AssertionError(effect)

    async def _open(self, effect: Open) -> None:
        if self._place is None:
            if not self._gateway.take_place(effect.identity.login):
                self.client.close(CONNECTION_LIMIT)
                return
            self._place = effect.identity.login

        def reply(state: ChannelState) -> None:
            self._entered(effect.channel)
            self._now(self.session.opened(effect, state, self._loop.time(), datetime.now(UTC)))

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
            self._gateway._keeper.enter(channel, self.client.id, self.session.identity.login)

    def _leave(self, channel: str) -> None:
        self._joined.discard(channel)
        self._hub.leave(self.client, channel)
        self._gateway._keeper.leave(channel, self.client.id)

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
                present = await self._gateway._presence.present(effect.channel)
        except (RedisError, OSError):
            self._now(self.session.failed(effect, INTERNAL))
            return
        self._now(self.session.presence_read(effect, present))

    async def _give_receipt(self, effect: GiveReceipt) -> None:
        self._metrics.receipts.labels(effect.what).inc()
        if effect.what == "card.shown":
            published_at = self._hub.published_at(
                f"agent:{effect.agent}", effect.seen.call_id, effect.seen.rev
            )
            if published_at is not None:
                self._metrics.shown_seconds.observe(max(0.0, time.time() - published_at))
        receipt = Receipt(
            **effect.seen.model_dump(),
            what=effect.what,
            agent=effect.agent,
            client=self.session.client_id,
            received_at=datetime.now(UTC),
        )
        try:
            async with asyncio.timeout(READ_SECONDS):
                await add_receipt(self._gateway._redis, receipt)
        except (RedisError, OSError, TimeoutError):
            self._metrics.receipts_lost.inc()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.client.closing and math.isfinite(self.session.deadline):
            self._timer = self._loop.call_at(self.session.deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._now(self.session.tick(self._loop.time()))
        self._set_timer()
