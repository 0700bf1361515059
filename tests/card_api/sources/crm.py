"""A company's CRM on loopback, as good or as bad as a test wants it."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from card_api.metrics import Metrics
from card_api.sources.http import HttpSource, http_source
from card_api.sources.watch import WatchedSource
from shared.settings import Settings

NUMBER = "+79001112233"
MAP = {"name": "$.name", "external_id": "$.id", "number": "$.phone", "url": "$.url", "manager": "$.manager"}


def answer(body: Any, status: str = "200 OK", *headers: str) -> bytes:
    """A whole HTTP answer; `body` becomes JSON unless it is bytes."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Length: {len(content)}",
        "Content-Type: application/json",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


@dataclass
class Crm:
    """`says`: what each request is answered with, as bytes of HTTP; None is silence. `answering` is awaited before.
    `left` is set when a client has gone who was answered with silence."""

    port: int = 0
    says: bytes | None = field(default_factory=lambda: answer({"name": "Иванов", "id": 7, "manager": "101"}))
    answering: Callable[[], Awaitable[None]] | None = None
    hangs_up: bool = False
    requests: list[bytes] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    def source(self, name: str = "crm", **settings: Any) -> HttpSource:
        url = f"http://127.0.0.1:{self.port}/clients?phone={{number}}"
        values = {"url": url, "map": MAP, **settings}
        general = Settings.model_validate({"sources": {name: values}})
        return http_source(name, general.sources[name], general)

    def watched(self, metrics: Metrics | None = None, name: str = "crm", **settings: Any) -> WatchedSource:
        """As the product uses it, without a cache unless the test asks for one."""
        return WatchedSource(self.source(name, **settings), settings.get("cache", 0), metrics or Metrics())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                self.requests.append(head + await reader.readexactly(int(length[1]) if length else 0))
                self.asked.set()
                if self.answering is not None:
                    await self.answering()
                if self.says is None:
                    await reader.read()
                    self.left.set()
                    return
                writer.write(self.says)
                await writer.drain()
                if self.hangs_up:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def crm() -> AsyncIterator[Crm]:
    system = Crm()
    server = await asyncio.start_server(system._serve, "127.0.0.1", 0)
    system.port = server.sockets[0].getsockname()[1]
    try:
        yield system
    finally:
        server.close()
