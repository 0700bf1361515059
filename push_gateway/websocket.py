"""The WebSocket: `/connection/websocket`."""

from collections.abc import Callable

from starlette.datastructures import State
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from push_gateway.connection import Gone
from push_gateway.gateway import Gateway
from push_gateway.protocol import PING, BadFrame
from shared.websocket import AT_ONCE, AtOnce

PATH = "/connection/websocket"


class WebSocketDoor:
    """ASGI: WebSockets of pages that may connect, and `app` for everything else.

    It stands before the framework, whose dozen layers would wait along with each of thousands of tabs: a third of what
    a board to all of them costs, and kilobytes of each.
    """

    def __init__(self, gateway: Gateway, app: ASGIApp) -> None:
        self._gateway = gateway
        self._app = app
        # Whoever serves it calls `state.drain` before the end.
        self.state = State({"drain": gateway.drain})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        websocket = WebSocket(scope, receive, send)
        headers = websocket.headers
        if not self._gateway.origins.allow(headers.get("origin"), headers.get("host", "")):
            await websocket.close()  # before accept: the handshake is answered with 403
            return
        await websocket.accept()

        async def text() -> str:
            message = await receive()
            if message["type"] != "websocket.receive":
                raise Gone
            said: str | None = message.get("text")
            if said is None:
                raise BadFrame("a binary frame: no SDK sends one in this protocol")
            return said

        await self._gateway.serve("websocket", _Socket(scope, send), text)


class _Socket:
    """What a connection writes to."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send = send
        at_once: AtOnce = scope["extensions"][AT_ONCE]["ways"]
        self.write_now = at_once.write_now
        self._take = at_once.take

    def pongs_to(self, heard: Callable[[], None]) -> None:
        self._take(PING, heard)

    async def send(self, text: bytes) -> None:
        """Raises WebSocketDisconnect when the peer has gone."""
        try:
            await self._send({"type": "websocket.send", "text": text.decode()})
        except OSError:
            raise WebSocketDisconnect(1006) from None

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        await self._send({"type": "websocket.close", "code": code, "reason": reason or ""})
