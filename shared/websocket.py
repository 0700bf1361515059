"""The WebSocket server of every process: uvicorn's, and one way more in each direction.

ASGI's `send` is a coroutine that wraps each message anew: of a message to five thousand tabs that is nearly all of the
cost. Here an application may also hand over frames that are built already. And its `receive` stops reading and wakes a
task for each message: a message that is the same every time, and most of what comes, may be heard at once instead.
"""

from collections.abc import Callable
from typing import Protocol

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

AT_ONCE = "callcard.at_once"
"""ASGI extension of a WebSocket's scope: `{"ways": AtOnce}`."""


# RFC 6455, 5.2: the last frame of a message, and it is text.
_WHOLE_TEXT = b"\x81"
# A length of up to 125 bytes stands for itself; these say that two or eight bytes with it follow.
_IN_TWO, _IN_EIGHT = b"\x7e", b"\x7f"


def text_frame(text: bytes) -> bytes:
    """A text message of a server in one frame. `websockets` makes the same in a dozen calls: an eighth of the time that
    a card takes in the gateway."""
    size = len(text)
    if size < 126:
        return _WHOLE_TEXT + size.to_bytes(1, "big") + text
    if size < 65536:
        return _WHOLE_TEXT + _IN_TWO + size.to_bytes(2, "big") + text
    return _WHOLE_TEXT + _IN_EIGHT + size.to_bytes(8, "big") + text


class AtOnce(Protocol):
    """Ways past ASGI, between accept and close."""

    def write_now(self, frames: bytes, /) -> bool:
        """Have whole frames written, in order with what `send` has written before. False, and nothing is written: the
        peer has not taken what it was sent, or is going; then `send` is the way, which waits for it or says that it
        has gone."""
        ...

    def take(self, text: bytes, heard: Callable[[], None]) -> None:
        """From now on this text message is not received but told by calling `heard`, which must not wait."""
        ...


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Give it to uvicorn as `ws`, without deflate. What belongs to a connection is free when it ends, without the
    garbage collector: with thousands of tabs that would be the longest of all pauses."""

    _taken = b""
    _heard: Callable[[], None] | None = None

    async def run_asgi(self) -> None:
        self.scope["extensions"][AT_ONCE] = {"ways": self}
        try:
            await super().run_asgi()
        finally:
            self._heard = None
            del self.scope["extensions"][AT_ONCE]

    def write_now(self, frames: bytes, /) -> bool:
        """See `AtOnce`."""
        if self.close_sent or not self.writable.is_set() or self.transport.is_closing():
            return False
        self.transport.write(frames)
        return True

    def take(self, text: bytes, heard: Callable[[], None]) -> None:
        """See `AtOnce`."""
        self._taken, self._heard = text, heard

    def handle_text(self, event: Frame) -> None:
        if self._heard is not None and event.fin and event.data == self._taken:
            self._heard()
        else:
            super().handle_text(event)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # The one thing that refers to what it belongs to: a generator in the middle of its work.
        self.conn.parser.close()
