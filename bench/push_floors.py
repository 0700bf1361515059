"""What the push gateway is measured beside: a server that only echoes, and one that only writes.

python -m bench.push_floors echo PORT
python -m bench.push_floors raw PORT FILE
"""

import asyncio
import base64
import hashlib
import sys
from pathlib import Path
from typing import Any, cast

import uvicorn
import uvloop

from shared.websocket import text_frame

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Bare ASGI: the WebSocket server that the gateway stands on, and nothing else."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def serve_echo(port: int) -> None:
    # As services/front.py serves the gateway.
    config = uvicorn.Config(
        echo,
        port=port,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        lifespan="off",
        log_config=None,
    )
    await uvicorn.Server(config).serve()


class Raw(asyncio.Protocol):
    """Whatever anybody says, everybody gets the same frame, built long before: no faster broadcast is possible."""

    def __init__(self, everybody: set[asyncio.Transport], frame: bytes) -> None:
        self._everybody, self._frame = everybody, frame
        self._upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._upgraded:
            for one in self._everybody:
                one.write(self._frame)
            return
        self._upgraded = True
        key = data.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + text_frame(b"ready")
        )
        self._everybody.add(self._transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._everybody.discard(self._transport)


async def serve_raw(port: int, text: bytes) -> None:
    everybody: set[asyncio.Transport] = set()
    frame = text_frame(text)
    server = await asyncio.get_running_loop().create_server(
        lambda: Raw(everybody, frame), "127.0.0.1", port, backlog=2048
    )
    await server.serve_forever()


if __name__ == "__main__":
    what, port = sys.argv[1], int(sys.argv[2])
    work = serve_echo(port) if what == "echo" else serve_raw(port, Path(sys.argv[3]).read_bytes())
    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(work)
