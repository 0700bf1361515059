"""The WebSocket server of every process: uvicorn's, and one way more to send.

ASGI's `send` is a coroutine that wraps each message anew: of a message to five thousand tabs that is nearly all of the
cost. Here an application may also hand over frames that are built already.
"""

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

WRITE_NOW = "callcard.write_now"
"""ASGI extension of a WebSocket's scope, `{"write": Callable[[bytes], bool]}`: have whole frames written, in order with
what `send` has written before. False, and nothing is written: the peer has not taken what it was sent, or is going;
then `send` is the way, which waits for it or says that it has gone. Only between accept and close."""


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Give it to uvicorn as `ws`, without deflate. What belongs to a connection is free when it ends, without the
    garbage collector: with thousands of tabs that would be the longest of all pauses."""

    async def run_asgi(self) -> None:
        self.scope["extensions"][WRITE_NOW] = {"write": self.write_now}
        try:
            await super().run_asgi()
        finally:
            del self.scope["extensions"][WRITE_NOW]

    def write_now(self, frames: bytes) -> bool:
        """See `WRITE_NOW`."""
        if self.close_sent or not self.writable.is_set() or self.transport.is_closing():
            return False
        self.transport.write(frames)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # The one thing that refers to what it belongs to: a generator in the middle of its work.
        self.conn.parser.close()
