"""A gateway on a port of its own, tokens, cards, and a client that shows every message."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import uvicorn
import websockets

from push_gateway.app import push_gateway
from push_gateway.websocket import WebSocketDoor
from shared.contracts.card import Card
from shared.push import PushPublisher
from shared.security import issue_token
from shared.settings import Settings
from shared.websocket import WebSocketProtocol

SECRET = "a secret for tests that is long enough"


def token(
    login: str = "101",
    seconds: float = 3600,
    secret: str = SECRET,
    role: str = "agent",
    channels: Sequence[str] = (),
) -> str:
    return issue_token(secret, login, role, datetime.now(UTC), timedelta(seconds=seconds), channels)


def make_card(call_id: str = "main-1", rev: int = 1, state: str = "ringing", agent: str = "101") -> Card:
    now = datetime.now(UTC).replace(microsecond=0)
    return Card.model_validate(
        {
            "call_id": call_id,
            "rev": rev,
            "state": state,
            "close_reason": "ended" if state == "closed" else None,
            "agent": agent,
            "call": {"pbx": "main", "direction": "inbound", "state": "ringing", "started_at": now},
            "match": "one",
            "caller": {"name": "Анна Ким", "customer_id": "c1"},
            "expires_at": now + timedelta(hours=1),
            "timings": {"arrived": now},
        }
    )


async def until(check: Callable[[], Any], seconds: float = 10) -> Any:
    """The first true answer of `check`, polled: for what can't be awaited. Fails after `seconds`."""
    async with asyncio.timeout(seconds):
        while not (found := check()):  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.005)
    return found


class RawClient:
    """A WebSocket that shows every message as it came."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket
        self._messages: list[dict[str, Any]] = []

    async def say(self, *commands: dict[str, Any]) -> None:
        await self.socket.send("\n".join(orjson.dumps(c).decode() for c in commands))

    async def hear(self, seconds: float = 5) -> dict[str, Any]:
        """The next message."""
        if not self._messages:
            async with asyncio.timeout(seconds):
                frame = await self.socket.recv()
            assert isinstance(frame, str)
            self._messages = [orjson.loads(line) for line in frame.split("\n")]
        return self._messages.pop(0)

    async def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        await self.say(command)
        return await self.hear()

    async def connect(self, login: str = "101", **params: Any) -> dict[str, Any]:
        return await self.ask({"id": 1, "connect": {"token": token(login), **params}})

    async def closed(self, seconds: float = 10) -> tuple[int, str]:
        """Code and reason of the close; whatever was in the way is dropped."""
        async with asyncio.timeout(seconds):
            with contextlib.suppress(websockets.ConnectionClosed):
                while True:
                    await self.socket.recv()
        return self.socket.close_code or 0, self.socket.close_reason or ""


@dataclass
class Running:
    """A gateway that listens."""

    app: WebSocketDoor
    port: int

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/connection/websocket"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def stream_url(self) -> str:
        return f"{self.http}/connection/http_stream"

    @property
    def emulation_url(self) -> str:
        return f"{self.http}/emulation"

    @contextlib.asynccontextmanager
    async def raw(self, **options: Any) -> AsyncIterator[RawClient]:
        # Without a bound a test that looks away for a while is no slow reader.
        options = {"max_queue": None, **options}
        async with websockets.connect(self.url, proxy=None, compression=None, **options) as connection:
            yield RawClient(connection)


@contextlib.asynccontextmanager
async def running_gateway(redis_url: str, **settings: Any) -> AsyncIterator[Running]:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    async with push_gateway(Settings(**settings), redis_url=redis_url, auth_secret=SECRET) as app:
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                ws=WebSocketProtocol,
                ws_per_message_deflate=False,
                ws_ping_interval=None,
                lifespan="off",
                log_config=None,
                timeout_graceful_shutdown=1,
            )
        )
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
        task = asyncio.create_task(server.serve(sockets=[sock]))
        await until(lambda: server.started or task.done())
        try:
            yield Running(app, sock.getsockname()[1])
        finally:
            await app.state.drain()
            server.should_exit = True
            await task


async def publish_until_slow(gateway: Running, publisher: PushPublisher) -> None:
    """More to 101 than anybody can keep who does not read, until the gateway has closed the connection as slow."""
    big = b'{"type":"notice","text":"%s"}' % (b"x" * 200_000)
    async with httpx.AsyncClient() as http, asyncio.timeout(20):
        while (
            'callcard_push_closes_total{code="3008"} 1.0'
            not in (await http.get(f"{gateway.http}/metrics")).text
        ):
            for _ in range(5):
                await publisher.publish("agent:101", big)
