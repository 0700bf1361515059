"""What waits to be sent, on disk.

Most HTTP clients read nothing of an answer before they have sent all of their request. If reports waited in the
connection, such a client and this server would wait for each other for ever; if they waited in memory, a million rows
would be a hundred megabytes.
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from types import TracebackType

# What is sent at once.
_PIECE = 64 * 1024


class Spool:
    """Bytes in by `write`, out by iterating until `end`. A file without a name, gone with the process; empty again
    whenever the reader has caught up. To be used in a `with` block."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by __exit__
        self._written = 0
        self._read = 0
        self._ended = False
        self._news = asyncio.Event()

    def __enter__(self) -> "Spool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        os.pwrite(self._file.fileno(), data, self._written)
        self._written += len(data)
        self._news.set()

    def end(self) -> None:
        self._ended = True
        self._news.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            while self._read < self._written:
                piece = os.pread(self._file.fileno(), _PIECE, self._read)
                self._read += len(piece)
                if self._read == self._written:
                    self._read = self._written = 0
                    self._file.truncate(0)
                yield piece
            if self._ended:
                return
            self._news.clear()
            await self._news.wait()
