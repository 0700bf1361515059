"""All connections of this process: who may come in, who is sent away, and which posts belong to which."""

import asyncio
import contextlib
import random
import secrets
from collections import Counter
from collections.abc import Callable

from pydantic import ValidationError

from push_gateway.channels import Identity
from push_gateway.client import Socket
from push_gateway.codes import FORCE_RECONNECT, SHUTDOWN, Close
from push_gateway.connection import Around, Connection, Receive
from push_gateway.inbox import Inbox
from push_gateway.origins import Origins
from push_gateway.revocation import Revocations
from shared.cluster_link import link_to
from shared.observability import logger
from shared.push_control import Disconnect, read_revoked
from shared.security import TokenError

# They come back to the other gateways as fast as they are sent away. One process took two hundred a second on a busy
# machine of two cores that ran the tabs as well; elsewhere it is more, and several share them.
DRAIN_TABS_A_SECOND = 500
# All of them within this, however many: the process has five seconds to end, two of them are the HTTP server's.
DRAIN_SECONDS = 2.0
# After the last farewell: a tab that takes it does so at once.
FAREWELL_SECONDS = 1.0

# Enough that nobody guesses it: whoever knows it may speak for the tab.
_SESSION_NAME_BYTES = 24


class Gateway:
    """See above. `authenticate`: see `Session`."""

    def __init__(self, around: Around, authenticate: Callable[[str], Identity], origins: Origins) -> None:
        self.origins = origins
        self.limits = around.limits
        self.node = around.node
        self._around = around
        self._authenticate = authenticate
        self._connections: set[Connection] = set()
        # Of the tabs that speak by post: by the secret name of their session.
        self._posted: dict[str, tuple[Connection, Inbox]] = {}
        self._places: Counter[str] = Counter()
        # One connection, in turn: a flood of posts opens no others.
        self._to_nodes = link_to(around.redis)
        self._revocations = Revocations()
        self._log = logger("push.gateway")
        self.draining = False

    # --- connections ------------------------------------------------------------------------------------------

    async def serve(self, kind: str, socket: Socket, receive: Receive, inbox: Inbox | None = None) -> None:
        """Serve one connection to its end. `kind`: the transport, for the metrics. `inbox`: where posts for it go, if
        it is one that speaks by post."""
        name = secrets.token_hex(_SESSION_NAME_BYTES) if inbox is not None else ""
        connection = Connection(self._around, self, socket, receive, name)
        self._connections.add(connection)
        if inbox is not None:
            self._posted[name] = (connection, inbox)
        connections = self._around.metrics.connections.labels(kind)
        connections.inc()
        try:
            if self.draining:
                # Told by a close code and not by refusing the handshake: after a refusal an SDK tries its next
                # transport, and would stay with it.
                connection.client.close(SHUTDOWN)
            await connection.serve()
        finally:
            self._connections.discard(connection)
            self._posted.pop(name, None)
            connections.dec()

    async def drain(self) -> None:
        """Send every client away with 3001, a few at a time and in no order, and wait until they have heard it; at
        most `DRAIN_SECONDS + FAREWELL_SECONDS`. Who comes meanwhile is sent away at once."""
        self.draining = True
        connections = list(self._connections)
        spread = min(DRAIN_SECONDS, len(connections) / DRAIN_TABS_A_SECOND)
        loop = asyncio.get_running_loop()
        for connection in connections:
            moment = random.uniform(0, spread)  # noqa: S311 - spreads load, guards nothing
            loop.call_later(moment, connection.client.close, SHUTDOWN)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(spread + FAREWELL_SECONDS):
                for connection in connections:
                    await connection.finished.wait()

    def take_place(self, login: str) -> bool:
        """Count one more connection of the agent; False if there are enough of them."""
        if self._places[login] >= self.limits.connections:
            return False
        self._places[login] += 1
        return True

    def give_place(self, login: str) -> None:
        self._places[login] -= 1
        if not self._places[login]:
            del self._places[login]

    # --- posts ------------------------------------------------------------------------------------------------

    def deliver(self, session: str, frame: str) -> None:
        """A frame for a session here. If there is none, its tab sees its stream end: nothing is to be done."""
        connection, inbox = self._posted.get(session, (None, None))
        if connection is not None and inbox is not None and not inbox.put(frame):
            connection.client.close(FORCE_RECONNECT)

    async def pass_on(self, node: str, session: str, frame: str) -> bool:
        """Hand a frame to another gateway process; False if nobody is there. Raises RedisError."""
        return bool(await self._to_nodes.call("PUBLISH", node_channel(node), f"{session}\n{frame}"))

    def passed_on(self, payload: bytes) -> None:
        """A frame from another gateway process."""
        session, _, frame = payload.decode().partition("\n")
        self.deliver(session, frame)

    # --- revocation -------------------------------------------------------------------------------------------

    def identify(self, token: str) -> Identity:
        """Who a token is of, if it was not ended. Raises `TokenError`."""
        identity = self._authenticate(token)
        if self._revocations.ended(identity.login, identity.issued_at):
            # As with an old token the SDK asks the page for a new one; whether there is one the card API decides.
            raise TokenError("the token was revoked", expired=True)
        return identity

    async def read_orders(self) -> None:
        """Orders come from now on: carry out those that were given before. Raises RedisError."""
        for order in self._revocations.merge(await read_revoked(self._around.redis)):
            self._disconnect(order)

    def ordered(self, payload: bytes) -> None:
        """An order of the card API to every gateway process."""
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


def node_channel(node: str) -> str:
    """Pub/sub: what is posted for the sessions of one gateway process, `<session> LF <frame>`."""
    return f"callcard:push:node:{node}"
