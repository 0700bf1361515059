"""The WebSocket: `/connection/websocket`."""

from starlette.websockets import WebSocket, WebSocketDisconnect

from push_gateway.connection import Gone
from push_gateway.gateway import Gateway
from push_gateway.protocol import BadFrame


class WebSocketEndpoint:
    """Serves WebSockets of pages that may connect."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def handle(self, websocket: WebSocket) -> None:
        headers = websocket.headers
        if not self._gateway.origins.allow(headers.get("origin"), headers.get("host", "")):
            await websocket.close()  # before accept: the handshake is answered with 403
            return
        await websocket.accept()

        async def receive() -> str:
            try:
                return await websocket.receive_text()
            except WebSocketDisconnect:
                raise Gone from None
            except KeyError:
                raise BadFrame("a binary frame: no SDK sends one in this protocol") from None

        await self._gateway.serve("websocket", websocket, receive)
