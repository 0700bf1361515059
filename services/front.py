"""One HTTP port for the pieces of a process: who gets which path, and one health for all of them."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.settings import SettingsError
from shared.websocket import WebSocketProtocol

# A push to a tab is small; what a tab says is smaller. The gateway has its own, lower, limit.
_MAX_FRAME = 1024 * 1024
# Requests still running when we are asked to stop; Ctrl-C promises five seconds for everything.
_GRACE_SECONDS = 2

# A tab that took nothing for so long has no network any more; it comes back by itself.
_DEAF_PEER_MS = 30_000


@dataclass(frozen=True, slots=True)
class Mount:
    """A piece: its name, its ASGI application, and the beginnings of the paths that are its own."""

    name: str
    app: ASGIApp
    prefixes: tuple[str, ...]


class Front:
    """The pieces as one ASGI application.

    A path goes to the piece with the longest matching prefix. `/healthz`, `/readyz` and `/metrics` are answered by
    all pieces together: ready is whoever has no piece that is not.
    """

    def __init__(self, mounts: Sequence[Mount]) -> None:
        self.mounts = tuple(mounts)
        self._by_prefix = sorted(
            ((prefix, m.app) for m in mounts for prefix in m.prefixes), key=lambda p: -len(p[0])
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path in ("/healthz", "/readyz", "/metrics") and scope["type"] == "http":
            answer = await self._together(path) if scope["method"] in ("GET", "HEAD") else _only_get()
            await answer(scope, receive, send)
            return
        for prefix, app in self._by_prefix:
            if prefix == "/" or path == prefix or path.startswith(prefix + "/"):
                await app(scope, receive, send)
                return
        await _nothing_here(scope, receive, send)

    async def drain(self) -> None:
        """Tell every piece that has long connections to let them go politely."""
        for mount in self.mounts:
            drain = getattr(getattr(mount.app, "state", None), "drain", None)
            if drain is not None:
                await drain()

    async def _together(self, path: str) -> Response:
        answers = await asyncio.gather(*(self._ask(m, path) for m in self.mounts))
        if path == "/metrics":
            return PlainTextResponse("".join(a.text for a in answers if a.status_code == 200))
        bodies = {m.name: _json(a) for m, a in zip(self.mounts, answers, strict=True) if a.status_code != 404}
        fine = all(a.status_code in (200, 404) for a in answers)
        return JSONResponse({"ok": fine, "pieces": bodies}, 200 if fine else 503)

    @staticmethod
    async def _ask(mount: Mount, path: str) -> httpx.Response:
        transport = httpx.ASGITransport(app=mount.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://callcard") as client:
            return await client.get(path)


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return {"status": answer.status_code}


def _only_get() -> Response:
    body = {
        "type": "urn:callcard:error:method-not-allowed",
        "title": "Method Not Allowed",
        "status": 405,
        "detail": "This address can only be read: use GET.",
    }
    return JSONResponse(body, 405, {"Allow": "GET, HEAD"}, "application/problem+json")


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        body = {
            "type": "urn:callcard:error:not-found",
            "title": "Not found",
            "status": 404,
            "detail": f"This process serves nothing at {Request(scope).url.path}.",
        }
        await JSONResponse(body, 404, media_type="application/problem+json")(scope, receive, send)
    elif scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000})


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Signals are ours: the pieces end in order, not all at once."""
        yield


class PortTaken(SettingsError):
    """The HTTP port is in use."""


def listen(host: str, port: int, shared: bool = False) -> socket.socket:
    """A bound socket, or `PortTaken` with a sentence. shared: others of ours may have the same port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise PortTaken(
            f"Port {port} on {host} cannot be used ({(error.strerror or str(error)).lower()}). "
            f"Stop what uses it, or set CALLCARD_HTTP__PORT to another one."
        ) from None
    if sys.platform == "linux":
        # A peer that never reads again is let go by the kernel; uvicorn cannot. Connections inherit it.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAF_PEER_MS)
    sock.set_inheritable(False)
    return sock


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp,
    sock: socket.socket,
    drain: Any = None,
    beside: Sequence[socket.socket] = (),
    trusted_proxies: Sequence[str] = (),
) -> AsyncIterator[str]:
    """Serve `app` on `sock`, and on those `beside`; yields the address of `sock` once it answers. trusted_proxies:
    addresses and networks of those who may say in X-Forwarded-For who the client is; anybody else is the client."""
    config = uvicorn.Config(
        app,
        ws=WebSocketProtocol,
        ws_max_size=_MAX_FRAME,
        # Deflate costs a tab twice the memory and a push twice the time; cards are small.
        ws_per_message_deflate=False,
        # The gateway pings in its own protocol.
        ws_ping_interval=None,
        lifespan="off",
        access_log=False,
        log_config=None,
        # Two lines for each tab that comes would drown what matters when thousands come back at once.
        log_level="warning",
        server_header=False,
        forwarded_allow_ips=list(trusted_proxies),
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    server = _Uvicorn(config)
    host, port = sock.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    task = asyncio.create_task(server.serve(sockets=[sock, *beside]), name="http")
    try:
        while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn tells it by a flag only
            await asyncio.sleep(0.005)
        if task.done():
            await task
        yield f"http://{'127.0.0.1' if shown in ('0.0.0.0', '[::]') else shown}:{port}"  # noqa: S104
    finally:
        if drain is not None:
            await drain()
        server.should_exit = True
        await task
