"""A receiver of web hooks on loopback: keeps what came, answers as the test says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True)
class Request:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


Answer = Callable[[Request], Awaitable[int | tuple[int, str]]]
"""What to answer: a status, or a status and a body."""


class Receiver:
    """url: where it listens. got: every request, in order; `await came(n)` returns when there are n."""

    def __init__(self) -> None:
        self.got: list[Request] = []
        self.url = ""
        self.answer: Answer = _fine
        self._came = asyncio.Condition()

    async def came(self, count: int, seconds: float = 20) -> list[Request]:
        async with asyncio.timeout(seconds), self._came:
            await self._came.wait_for(lambda: len(self.got) >= count)
            return self.got

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in head[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            request = Request(head[0].split(" ")[1], headers, body)
            async with self._came:
                self.got.append(request)
                self._came.notify_all()
            answer = await self.answer(request)
            status, text = answer if isinstance(answer, tuple) else (answer, "")
            writer.write(
                f"HTTP/1.1 {status} X\r\nContent-Length: {len(text.encode())}\r\n"
                f"Location: http://127.0.0.1:1/\r\n\r\n{text}".encode()
            )
            await writer.drain()
        writer.close()


async def _fine(_: Request) -> int:
    return 204


def always(status: int, text: str = "") -> Answer:
    async def answer(_: Request) -> tuple[int, str]:
        return status, text

    return answer


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?token=t0p"
    try:
        yield receiver
    finally:
        server.close()
