"""A WebSocket client that costs next to nothing: it looks for what it waits for in the bytes as they come.

A client that took a thousand frames a second apart would take its part of the two cores, and be measured as well. What
a server sends is not masked, so an id stands in the bytes as it is.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic_ns
from typing import TypeVar, cast

import httpx

# An id may be cut in two by the network; what is before it and itself are no longer.
_TAIL = 200
# Pings that an answer is expected to: ours, alone or in a frame with other messages, and socket.io's.
_PINGS = {b"\x81\x02{}": b"{}", b"\n{}": b"{}", b"{}\n": b"{}", b"\x81\x012": b"3"}

T = TypeVar("T", bound="Tab")


@dataclass(slots=True)
class Tally:
    """How often `text` was read, by all tabs that share it."""

    text: bytes
    count: int = 0

    def take(self, data: bytes) -> bytes:
        """Count, and return what is behind the last one."""
        found = data.count(self.text)
        if not found:
            return data
        self.count += found
        return data[data.rindex(self.text) + len(self.text) :]


class Tab(asyncio.Protocol):
    """`seen`: id (the group of `wanted`) → when it was first read, in ns of the monotonic clock. hello: sent when the
    connection is there. ready_when: `ready` is done when that is read; empty: by the first byte after the upgrade.
    `tally`: of thousands of tabs that all hear the same, one number is enough."""

    def __init__(
        self,
        path: str,
        wanted: re.Pattern[bytes],
        seen: dict[str, int],
        hello: bytes | None = None,
        ready_when: bytes = b"",
        tally: Tally | None = None,
        number: int = 0,
    ) -> None:
        self.number = number
        self._tally = tally
        self._path, self._wanted, self._seen, self._hello = path, wanted, seen, hello
        self._ready_when = ready_when
        self._tail = b""
        self._upgraded = False
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(
            f"GET {self._path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        at = monotonic_ns()
        if not self._upgraded:
            self._upgraded = True
            if not data.startswith(b"HTTP/1.1 101"):
                self.ready.set_exception(ConnectionError(f"no WebSocket: {data[:80]!r}"))
                return
            if self._hello is not None:
                self.send(self._hello)
            data = data.partition(b"\r\n\r\n")[2]
        for ping, pong in _PINGS.items():
            if ping in data:
                self.send(pong)
        data = self._tail + data
        if not self.ready.done() and data and self._ready_when in data:
            self.ready.set_result(None)
        for found in self._wanted.finditer(data):
            self._seen.setdefault(found[1].decode(), at)
        if self._tally is not None:
            data = self._tally.take(data)
        self._tail = data[-_TAIL:]

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(error or ConnectionError("the server closed the connection"))

    def send(self, text: bytes) -> None:
        self.transport.write(masked(text))

    def close(self) -> None:
        self.transport.close()


def masked(text: bytes) -> bytes:
    """A text frame of a client; masked with zeros, which changes nothing."""
    length = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
    return b"\x81" + length + bytes(4) + text


async def open_tab(make: Callable[[], T], port: int) -> T:
    """Connect, and wait until it is ready; a server that is only starting is tried again."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            _, tab = await loop.create_connection(make, "127.0.0.1", port)
            break
        except OSError:
            await asyncio.sleep(0.05)
    await tab.ready
    return tab


async def until_ready(port: int) -> None:
    """A piece of ours says that it is."""
    async with httpx.AsyncClient(trust_env=False) as client:
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200:
                        return
                await asyncio.sleep(0.1)
