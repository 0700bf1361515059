"""A stand-in for Centrifugo 6, for machines where the real one cannot be had: what of it Callcard speaks to, no more.

It reads the same configuration. Where order matters it is that of Centrifugo: the connect proxy answers first, then the
connection is subscribed; a token in the connect command is never handed to a proxy.
"""

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from services.front import listen, serving

Json = dict[str, Any]


@dataclass
class Channel:
    epoch: str = field(default_factory=lambda: secrets.token_hex(2))
    offset: int = 0
    history: list[Json] = field(default_factory=list)
    listeners: set["Connection"] = field(default_factory=set)
    keys: dict[str, int] = field(default_factory=dict)

    def publish(self, name: str, data: Json, key: str) -> Json:
        if key not in self.keys:
            self.offset += 1
            if key:
                self.keys[key] = self.offset
            publication = {"data": data, "offset": self.offset}
            self.history.append(publication)
            for listener in self.listeners:
                listener.say({"push": {"channel": name, "pub": publication}})
        return {"offset": self.keys.get(key, self.offset), "epoch": self.epoch}

    def subscribe(self, listener: "Connection", asked: Json) -> Json:
        """The subscribe result: everything that was missed, or nothing."""
        self.listeners.add(listener)
        offset = asked.get("offset", 0)
        recovering = bool(asked.get("recover"))
        recovered = recovering and asked.get("epoch") == self.epoch
        missed = [one for one in self.history if one["offset"] > offset] if recovered else []
        at: Json = {"recoverable": True, "positioned": True, "epoch": self.epoch, "offset": self.offset}
        return {**at, "was_recovering": recovering, "recovered": recovered, "publications": missed}


class StandIn:
    def __init__(self, config: Json) -> None:
        self.config = config
        self.channels: dict[str, Channel] = {}
        self.connections: set[Connection] = set()
        self.http = httpx.AsyncClient(trust_env=False, timeout=5)
        # Tests hold a connection here, after the proxy has answered and before it is subscribed.
        self.subscribing, self.held = asyncio.Event(), asyncio.Event()
        self.subscribing.set()

    def channel(self, name: str) -> Channel:
        return self.channels.setdefault(name, Channel())

    async def api(self, request: Request) -> JSONResponse:
        if request.headers.get("x-api-key") != self.config["http_api"]["key"]:
            return JSONResponse({}, 401)
        method, body = request.path_params["method"], await request.json()
        if method == "batch":
            replies = [
                {name: self.do(name, asked)} for one in body["commands"] for name, asked in one.items()
            ]
            return JSONResponse({"replies": replies})
        return JSONResponse({"result": self.do(method, body)})

    def do(self, method: str, asked: Json) -> Json:
        match method:
            case "publish":
                name = asked["channel"]
                return self.channel(name).publish(name, asked["data"], asked.get("idempotency_key", ""))
            case "history":
                channel = self.channel(asked["channel"])
                return {"publications": [], "offset": channel.offset, "epoch": channel.epoch}
            case "disconnect":
                for connection in [one for one in self.connections if one.user == asked["user"]]:
                    connection.close(asked["disconnect"]["code"], asked["disconnect"]["reason"])
                return {}
            case "presence_stats":
                return {"num_clients": len(self.channel(asked["channel"]).listeners)}
            case "info":
                return {"nodes": [{"version": "stand-in"}]}
        raise AssertionError(method)

    async def ask(self, proxy: Json, body: Json) -> Json:
        answer = await self.http.post(proxy["endpoint"], json=body, headers=proxy["http"]["static_headers"])
        if answer.status_code != httpx.codes.OK:
            return {"error": {"code": 100, "message": "internal server error", "temporary": True}}
        document: Json = answer.json()
        return document

    async def websocket(self, socket: WebSocket) -> None:
        await socket.accept()
        await Connection(self, socket).serve()


class Connection:
    def __init__(self, server: StandIn, socket: WebSocket) -> None:
        self.server, self.socket = server, socket
        self.user, self.meta = "", None
        self.client = secrets.token_hex(8)
        self.expire_at = 0.0
        self._out: asyncio.Queue[Json | tuple[int, str]] = asyncio.Queue()

    def say(self, frame: Json) -> None:
        self._out.put_nowait(frame)

    def close(self, code: int, reason: str) -> None:
        self._out.put_nowait((code, reason))

    async def serve(self) -> None:
        self.server.connections.add(self)
        tasks = [asyncio.create_task(run()) for run in (self._read, self._refresh)]
        try:
            while isinstance(frame := await self._out.get(), dict):
                await self.socket.send_text(json.dumps(frame))
            await self.socket.close(*frame)
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            self.server.connections.discard(self)
            for channel in self.server.channels.values():
                channel.listeners.discard(self)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> None:
        try:
            while True:
                for line in (await self.socket.receive_text()).splitlines():
                    await self._command(json.loads(line))
        except WebSocketDisconnect:
            self.close(1000, "")

    async def _command(self, command: Json) -> None:
        proxies, number = self.server.config, command.get("id", 0)
        about = {"client": self.client, "transport": "websocket", "protocol": "json", "encoding": "json"}
        if "connect" in command:
            asked = command["connect"]
            if asked.get("token"):
                return self.close(3500, "invalid token")
            request = {**about, "data": asked.get("data")}
            if (
                result := await self._ask(number, proxies["client"]["proxy"]["connect"], request)
            ) is not None:
                await self._connected(number, result, asked.get("subs") or {})
        elif "rpc" in command:
            asked = {**about, "user": self.user, **command["rpc"]}
            if (result := await self._ask(number, proxies["rpc"]["proxy"], asked)) is not None:
                self.say({"id": number, "rpc": {"data": result["data"]}})
        elif "subscribe" in command:
            await self._subscribe(number, command["subscribe"], about)
        return None

    async def _connected(self, number: int, result: Json, known: Json) -> None:
        self.server.held.set()
        await self.server.subscribing.wait()
        self.user, self.meta, self.expire_at = result["user"], result["meta"], result["expire_at"]
        subs = {
            name: self.server.channel(name).subscribe(self, known.get(name) or {}) for name in result["subs"]
        }
        reply = {"client": self.client, "version": "stand-in", "data": result["data"], "subs": subs}
        self.say({"id": number, "connect": {**reply, "ping": 25, "pong": True}})

    async def _subscribe(self, number: int, asked: Json, about: Json) -> None:
        options, name = self._options(asked["channel"]), asked["channel"]
        if options is None:
            return self._error(number, 102, "unknown channel")
        if not options.get("subscribe_proxy_enabled"):
            return self._error(number, 103, "permission denied")
        request = {**about, "user": self.user, "channel": name, "meta": self.meta}
        proxy = self.server.config["channel"]["proxy"]["subscribe"]
        if await self._ask(number, proxy, request) is not None:
            self.say({"id": number, "subscribe": self.server.channel(name).subscribe(self, asked)})
        return None

    def _options(self, name: str) -> Json | None:
        space, colon, _ = name.partition(":")
        channels = self.server.config["channel"]
        if not colon:
            found: Json = channels["without_namespace"]
            return found
        return next((one for one in channels["namespaces"] if one["name"] == space), None)

    async def _ask(self, number: int, proxy: Json, body: Json) -> Json | None:
        """The result; None after an error or a disconnect, which the client has been told."""
        answer = await self.server.ask(proxy, body)
        if "disconnect" in answer:
            self.close(answer["disconnect"]["code"], answer["disconnect"]["reason"])
        elif "error" in answer:
            self.say({"id": number, "error": answer["error"]})
        else:
            result: Json = answer["result"]
            return result
        return None

    def _error(self, number: int, code: int, message: str) -> None:
        self.say({"id": number, "error": {"code": code, "message": message}})

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(0.05)
            if self.expire_at and time.time() >= self.expire_at:
                body = {"client": self.client, "user": self.user, "meta": self.meta}
                answer = await self.server.ask(self.server.config["client"]["proxy"]["refresh"], body)
                result = answer.get("result") or {"expire_at": time.time() + 60}
                if result.get("expired"):
                    self.close(3005, "connection expired")
                    return
                self.expire_at = result["expire_at"]


@asynccontextmanager
async def stand_in(config: Json) -> AsyncIterator[StandIn]:
    """It answers at the address of its configuration until the block is left; then every connection is cut."""
    server = StandIn(config)
    routes = [
        Route("/api/{method}", server.api, methods=["POST"]),
        WebSocketRoute("/connection/websocket", server.websocket),
    ]
    sock = listen(config["http_server"]["address"], config["http_server"]["port"])
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(server.http.aclose)
        await stack.enter_async_context(serving(Starlette(routes=routes), sock))
        yield server
        for connection in list(server.connections):
            connection.close(3001, "shutdown")
