"""A stand-in for card API and push gateway: just enough of both for the page's edge cases, which the real ones
rarely show: a link that is cut between two publications, an old revision, a token that ends.

It speaks the JSON of the Centrifugo protocol to an unmodified centrifuge-js: connect with a token, a server-side
subscription with offsets, recovery, rpc.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from services.desk.app import desk
from shared.contracts.base import iso_ms
from shared.settings import Settings
from tests.browser.cards import AGENT

PASSWORD = "open sesame"
TOKEN = "good-token"
CHANNEL = f"agent:{AGENT['login']}"
EPOCH = "one"


@dataclass(frozen=True)
class Problem:
    """An answer that refuses, with members of its own."""

    status: int
    more: dict[str, Any]


class StandIn:
    """The servers behind the page, driven by the test."""

    def __init__(self) -> None:
        self.agent: dict[str, Any] = dict(AGENT)
        self.cards: list[dict[str, Any]] = []  # the desk as it is: what a snapshot says
        self.history: list[dict[str, Any]] = []  # all publications; offset = index + 1
        self.receipts: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.connects: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sign_ins: list[dict[str, Any]] = []
        self.acts: asyncio.Queue[tuple[str, str, Any]] = asyncio.Queue()  # call_id, action, body
        # A card, the status of a problem, or a problem that says more than that.
        self.answers: asyncio.Queue[dict[str, Any] | int | Problem] = asyncio.Queue()
        self.sign_outs: asyncio.Queue[str] = asyncio.Queue()  # tokens
        self.refreshes: asyncio.Queue[str] = (
            asyncio.Queue()
        )  # tokens that the page says on a connection that is up
        self.token = TOKEN  # the one that is good; the page gets it for an older one
        self.ttl: int | None = None  # seconds after which the page is to renew it; None: never
        self.past_calls: list[dict[str, Any]] = []
        self.pbx = [{"pbx": "main", "link": "up"}]
        self.tokens_valid = True
        self.server_ahead = timedelta()
        self.open_for_links = asyncio.Event()
        self.open_for_links.set()
        self._sockets: set[WebSocket] = set()
        self.url = ""

    async def publish(self, card: dict[str, Any]) -> None:
        """As the card API does: into the snapshot, the history, and to whoever is connected."""
        others = [one for one in self.cards if one["call_id"] != card["call_id"]]
        self.cards = others if card["state"] == "closed" else [*others, card]
        await self.replay(card)

    async def replay(self, card: dict[str, Any]) -> None:
        """A publication that changes nothing in the snapshot, such as an old revision."""
        self.history.append({"type": "card", "card": card})
        push = {"channel": CHANNEL, "pub": self._publication(len(self.history))}
        for socket in list(self._sockets):
            await socket.send_text(json.dumps({"push": push}))

    async def cut(self) -> None:
        """Every link ends, and none comes back before `restore`."""
        self.open_for_links.clear()
        for socket in list(self._sockets):
            await socket.close(3001, "shutdown")

    async def close(self, code: int, reason: str) -> None:
        """Without a reason centrifuge-js does not look at the code and reconnects, whatever it is."""
        for socket in list(self._sockets):
            await socket.close(code, reason)

    def session(self) -> dict[str, Any]:
        """What the page keeps of a sign-in."""
        return {"token": TOKEN, "expiresAt": _in_a_shift(), "agent": self.agent}

    def restore(self) -> None:
        self.open_for_links.set()

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/api/v1/auth/sign-in", self._sign_in, methods=["POST"]),
                Route("/api/v1/auth/refresh", self._refresh, methods=["POST"]),
                Route("/api/v1/auth/sign-out", self._sign_out, methods=["POST"]),
                Route("/api/v1/calls", self._calls),
                Route("/api/v1/pbx", self._pbx),
                Route("/api/v1/cards/{call_id}/{action}", self._act, methods=["POST"]),
                WebSocketRoute("/connection/websocket", self._link),
                Mount("/", desk(Settings())),
            ]
        )

    async def _sign_in(self, request: Request) -> Response:
        asked = await request.json()
        self.sign_ins.append(asked)
        if asked != {"login": self.agent["login"], "password": PASSWORD}:
            return _problem(401, "The login or the password is wrong.")
        return self._token()

    async def _refresh(self, request: Request) -> Response:
        if not self.tokens_valid or _bearer(request) is None:
            return _problem(401, "The token has expired. Sign in again.")
        return self._token()

    async def _sign_out(self, request: Request) -> Response:
        """As the gateway does it: all tabs hear of it."""
        await self.sign_outs.put(_bearer(request) or "")
        await self.close(4500, "signed out")
        return Response(status_code=204)

    async def _calls(self, request: Request) -> Response:
        assert _bearer(request) == self.token
        return JSONResponse({"items": self.past_calls, "next": None})

    async def _pbx(self, request: Request) -> Response:
        assert _bearer(request) == self.token
        return JSONResponse({"items": self.pbx})

    async def _act(self, request: Request) -> Response:
        """What an agent does from a card: told to the test, answered when the test says how."""
        assert _bearer(request) == self.token
        await self.acts.put(
            (request.path_params["call_id"], request.path_params["action"], await request.json())
        )
        answer = await self.answers.get()
        if isinstance(answer, Problem):
            return _problem(answer.status, "No.", **answer.more)
        return _problem(answer, "No.") if isinstance(answer, int) else JSONResponse(answer)

    def _token(self) -> Response:
        return JSONResponse({"token": self.token, "expires_at": _in_a_shift(), "agent": self.agent})

    async def _link(self, socket: WebSocket) -> None:
        if not self.open_for_links.is_set():
            await socket.close(3001)
            return
        await socket.accept()
        try:
            while True:
                for line in (await socket.receive_text()).splitlines():
                    await self._command(socket, json.loads(line))
        except (WebSocketDisconnect, RuntimeError):  # RuntimeError: we closed it ourselves
            pass
        finally:
            self._sockets.discard(socket)

    async def _command(self, socket: WebSocket, command: dict[str, Any]) -> None:
        if "connect" in command:
            await self.connects.put(command["connect"])
            if not self.tokens_valid or command["connect"].get("token") != self.token:
                error = {"code": 109, "message": "token expired"}
                await socket.send_text(json.dumps({"id": command["id"], "error": error}))
                return
            reply = {"id": command["id"], "connect": self._connected(command["connect"])}
            await socket.send_text(json.dumps(reply))
            self._sockets.add(socket)
        elif "refresh" in command:
            await self.refreshes.put(command["refresh"]["token"])
            await socket.send_text(
                json.dumps({"id": command["id"], "refresh": {**self._expiry(), "client": "c1"}})
            )
        elif "rpc" in command:
            await self.receipts.put(command["rpc"])
            await socket.send_text(json.dumps({"id": command["id"], "rpc": {}}))

    def _connected(self, asked: dict[str, Any]) -> dict[str, Any]:
        subscription: dict[str, Any] = {
            "recoverable": True,
            "positioned": True,
            "epoch": EPOCH,
            "offset": len(self.history),
        }
        wanted = asked.get("subs", {}).get(CHANNEL, {})
        if wanted.get("recover"):
            missed = [self._publication(n) for n in range(wanted.get("offset", 0) + 1, len(self.history) + 1)]
            subscription |= {"recovered": True, "was_recovering": True, "publications": missed}
        return {
            **self._expiry(),
            "client": "c1",
            "version": "stand-in",
            "ping": 25,
            "pong": True,
            "subs": {CHANNEL: subscription},
            "data": {
                "type": "desk",
                "agent": {"login": self.agent["login"], "role": self.agent["role"]},
                "epoch": EPOCH,
                "offset": len(self.history),
                "complete": True,
                "cards": self.cards,
                "server_time": iso_ms(datetime.now(UTC) + self.server_ahead),
            },
        }

    def _expiry(self) -> dict[str, Any]:
        return {} if self.ttl is None else {"expires": True, "ttl": self.ttl}

    def _publication(self, offset: int) -> dict[str, Any]:
        return {"data": self.history[offset - 1], "offset": offset}


def _in_a_shift() -> str:
    return iso_ms(datetime.now(UTC) + timedelta(hours=12))


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme == "Bearer" and token else None


def _problem(status: int, detail: str, **more: Any) -> Response:
    document = {
        **more,
        "type": "urn:callcard:error:unauthorised",
        "title": "Sign-in needed",
        "status": status,
        "detail": detail,
    }
    return JSONResponse(document, status_code=status, media_type="application/problem+json")


@asynccontextmanager
async def running(stand_in: StandIn) -> AsyncIterator[StandIn]:
    """The stand-in on a port of its own."""
    config = uvicorn.Config(
        stand_in.app(), host="127.0.0.1", port=0, log_level="warning", ws="websockets-sansio", lifespan="off"
    )
    server = uvicorn.Server(config)
    # The test's own signals stay the test's.
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server.serve())
    while not server.started:
        if task.done():
            task.result()
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    stand_in.url = f"http://127.0.0.1:{port}"
    try:
        yield stand_in
    finally:
        server.should_exit = True
        server.force_exit = True
        await task
