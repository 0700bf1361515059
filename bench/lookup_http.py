"""The enrichment end point over HTTP: ours whole, beside the least that FastAPI and asyncpg can do with our statement.

`python -m bench.lookup_http ours|bare DATABASE REDIS` serves one of them until standard input ends; prints its address.
"""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import cast
from urllib.parse import quote, urlsplit

import asyncpg
import uvloop
from fastapi import FastAPI, Response

from card_api.app import card_api
from card_api.lookup.repository import FIND
from card_api.lookup.schemas import Question
from services.front import listen, serving
from shared.settings import Settings

# What a CRM's server keeps open to us.
CONNECTIONS = 8
_SECRET = "a secret of the benchmark, long enough"


@contextlib.asynccontextmanager
async def _ours(database: str, redis: str) -> AsyncIterator[FastAPI]:
    settings = Settings(log_level="error")
    async with card_api(settings, database_url=database, redis_url=redis, auth_secret=_SECRET) as app:
        yield app


@contextlib.asynccontextmanager
async def _bare(database: str, _: str) -> AsyncIterator[FastAPI]:
    app = FastAPI()
    pool = await asyncpg.create_pool(
        database,
        min_size=4,
        max_size=4,
        server_settings={"jit": "off", "plan_cache_mode": "force_generic_plan"},
    )

    @app.get("/api/v1/lookup")
    async def look_up(number: str) -> Response:
        found = await pool.fetchval(FIND, *Question(number))
        return Response(found, media_type="application/json")

    yield app
    await pool.close()


async def _serve(role: str, database: str, redis: str) -> None:
    make = {"ours": _ours, "bare": _bare}[role]
    async with make(database, redis) as app, serving(app, listen("127.0.0.1", 0)) as address:
        print(address, flush=True)
        await asyncio.to_thread(sys.stdin.read)


@contextlib.contextmanager
def server(role: str, database: str, redis: str) -> Iterator[str]:
    """One of them in a process of its own; yields its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.lookup_http", role, database, redis],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        if not address:
            raise RuntimeError(f"the server {role!r} did not start")
        yield address
    finally:
        process.stdin.close()
        process.wait(20)


class Asker(asyncio.Protocol):
    """A connection that asks again as soon as it was answered, until the deadline. As little Python as possible: what
    the client costs is taken from both servers."""

    def __init__(self, requests: list[bytes], deadline: float) -> None:
        self._requests = requests
        self._deadline = deadline
        self._got = b""
        self._next = 0
        self.answers = 0
        self.bad: bytes | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has its own base
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._got += data
        head = self._got.find(b"\r\n\r\n")
        if head < 0:
            return
        at = self._got.lower().find(b"content-length:", 0, head)
        size = int(self._got[at + 15 : self._got.find(b"\r\n", at)])
        if len(self._got) < head + 4 + size:
            return
        if not self._got.startswith(b"HTTP/1.1 200"):
            self.bad = self._got[:300]
            self._transport.close()
            return
        self._got = b""
        self.answers += 1
        if time.perf_counter() < self._deadline:
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def _ask(self) -> None:
        self._transport.write(self._requests[self._next])
        self._next = (self._next + 1) % len(self._requests)


async def per_second(address: str, numbers: list[str], key: str, seconds: float) -> float:
    """Answers a second to CONNECTIONS askers. Raises RuntimeError for an answer that is none."""
    url = urlsplit(address)
    head = f"Host: {url.netloc}\r\nAuthorization: Bearer {key}\r\n\r\n"
    requests = [f"GET /api/v1/lookup?number={quote(n, safe='')} HTTP/1.1\r\n{head}".encode() for n in numbers]
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    askers: list[Asker] = []
    for n in range(CONNECTIONS):
        ask = partial(Asker, requests[n::CONNECTIONS], began + seconds)
        _, asker = await loop.create_connection(ask, url.hostname or "", url.port or 80)
        askers.append(asker)
    await asyncio.gather(*(asker.done for asker in askers))
    took = time.perf_counter() - began
    for asker in askers:
        if asker.bad is not None:
            raise RuntimeError(f"{address} answered {asker.bad!r}")
    return sum(asker.answers for asker in askers) / took


if __name__ == "__main__":
    uvloop.run(_serve(*sys.argv[1:4]))
