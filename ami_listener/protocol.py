"""The socket's end of the AMI: bytes in, messages out; it knows neither actions nor reconnecting."""

import asyncio
from collections.abc import Callable
from typing import cast

from ami_listener.message import AmiMessage
from ami_listener.wire import AmiFramer


class FramedProtocol(asyncio.Protocol):
    """One TCP connection to a PBX, in place of panoramisk's protocol class.

    receive: called once for each read, in order, with the messages that ended in it (often none: any byte is a sign
        of life).
    lost: resolves with the reason when the connection has ended, whoever ended it; never raises.
    """

    def __init__(self, framer: AmiFramer, receive: Callable[[list[AmiMessage]], None]) -> None:
        self.framer = framer
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._receive = receive
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self.lost.done():  # closed while it was being made
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if not self.lost.done():
            self._receive(self.framer.feed(data))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"the connection broke ({exc})" if exc else "the PBX closed the connection")

    def write(self, data: bytes) -> None:
        """Send; silently nothing if the connection has ended, which `lost` tells."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """End it now. A half-open link would keep a polite close waiting, so nothing is waited for."""
        self._end("closed by us")
        if self._transport is not None:
            self._transport.abort()

    def _end(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)
