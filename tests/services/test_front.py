"""One port for several pieces."""

import asyncio
import json
import socket

import httpx
import pytest
import websockets
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from services.front import Front, Mount, PortTaken, listen, serving


def _piece(name: str, *, ready: bool = True, drained: list[str] | None = None) -> Starlette:
    async def who(request: Request) -> JSONResponse:
        return JSONResponse({"piece": name, "path": request.url.path})

    async def readyz(_: Request) -> JSONResponse:
        return JSONResponse({"why": [] if ready else ["Redis is away"]}, 200 if ready else 503)

    async def metrics(_: Request) -> PlainTextResponse:
        return PlainTextResponse(f"{name}_total 1\n")

    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        await socket.close(3001)

    app = Starlette(
        routes=[
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            WebSocketRoute("/connection/websocket", echo),
            Route("/{rest:path}", who),
        ]
    )
    if drained is not None:

        async def drain() -> None:
            drained.append(name)

        app.state.drain = drain
    return app


async def _get(front: Front, path: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=front), base_url="http://x") as client:
        return await client.get(path)


async def test_each_path_goes_to_its_piece() -> None:
    front = Front([Mount("api", _piece("api"), ("/api",)), Mount("desk", _piece("desk"), ("/",))])
    assert (await _get(front, "/api/v1/me")).json() == {"piece": "api", "path": "/api/v1/me"}
    assert (await _get(front, "/apiary")).json()["piece"] == "desk"
    assert (await _get(front, "/")).json()["piece"] == "desk"


async def test_a_path_of_nobody_is_a_problem_document() -> None:
    answer = await _get(Front([Mount("api", _piece("api"), ("/api",))]), "/nothing")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_ready_only_if_every_piece_is() -> None:
    good = Mount("api", _piece("api"), ("/api",))
    bad = Mount("gateway", _piece("gateway", ready=False), ("/connection",))
    assert (await _get(Front([good]), "/readyz")).status_code == 200
    answer = await _get(Front([good, bad]), "/readyz")
    assert answer.status_code == 503
    assert answer.json()["pieces"]["gateway"] == {"why": ["Redis is away"]}


async def test_metrics_of_all_pieces_are_one_page() -> None:
    front = Front([Mount("a", _piece("a"), ("/a",)), Mount("b", _piece("b"), ("/b",))])
    assert (await _get(front, "/metrics")).text == "a_total 1\nb_total 1\n"


async def test_the_health_can_only_be_read() -> None:
    front = Front([Mount("a", _piece("a"), ("/a",))])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=front), base_url="http://x") as client:
        answer = await client.post("/readyz")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_http_and_websocket_on_one_real_port_and_a_polite_end() -> None:
    drained: list[str] = []
    front = Front([Mount("gateway", _piece("gateway", drained=drained), ("/connection",))])
    async with serving(front, listen("127.0.0.1", 0), front.drain) as address:
        async with websockets.connect(address.replace("http", "ws") + "/connection/websocket") as tab:
            await tab.send(json.dumps({"id": 1}))
            assert await tab.recv() == '{"id": 1}'
        async with httpx.AsyncClient() as client:
            assert (await client.get(address + "/healthz")).status_code == 200
    assert drained == ["gateway"]
    with pytest.raises(OSError):  # noqa: PT011 - any refusal will do
        await asyncio.open_connection(*address.removeprefix("http://").split(":"))


async def test_who_asks_is_said_by_trusted_proxies_only() -> None:
    """Guesses at passwords are counted by address, so nobody may choose one; and the proxy's is not everybody's."""

    async def who(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(scope["client"][0])(scope, receive, send)

    async def asked(trusted: list[str]) -> str:
        async with (
            serving(who, listen("127.0.0.1", 0), trusted_proxies=trusted) as address,
            httpx.AsyncClient() as client,
        ):
            return (await client.get(address, headers={"X-Forwarded-For": "192.0.2.7"})).text

    assert [await asked(["127.0.0.0/8"]), await asked(["10.0.0.5"])] == ["192.0.2.7", "127.0.0.1"]


def test_a_taken_port_is_a_sentence() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            PortTaken, match=rf"Port {port} on 127.0.0.1 cannot be used .*CALLCARD_HTTP__PORT"
        ):
            listen("127.0.0.1", port)
