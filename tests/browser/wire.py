"""The network between a browser and the product, to be cut and mended by the test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class Wire:
    """`url`: what the browser knows; it stays while the product behind it comes and goes."""

    def __init__(self) -> None:
        self.url = ""
        self._behind: tuple[str, int] | None = None
        self._ends: set[asyncio.StreamWriter] = set()

    def mend(self, address: str) -> None:
        """What is behind the wire from now on, e.g. http://127.0.0.1:40001."""
        parts = urlsplit(address)
        self._behind = (str(parts.hostname), int(parts.port or 80))

    def cut(self) -> None:
        """Every connection is gone without a word, and none comes about before `mend`."""
        self._behind = None
        for end in self._ends:
            end.transport.abort()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._behind is None:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection(*self._behind)
        ends = {writer, far_writer}
        self._ends |= ends
        try:
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        finally:
            self._ends -= ends
            for end in ends:
                end.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def wire() -> AsyncIterator[Wire]:
    """A wire on a port of its own; nothing is behind it yet."""
    one = Wire()
    server = await asyncio.start_server(one.carry, "127.0.0.1", 0)
    one.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield one
    finally:
        server.close()
        one.cut()
