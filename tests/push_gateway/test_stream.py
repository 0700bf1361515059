"""HTTP streaming on the wire: what is answered, what is refused, and that nobody waits for who does not read."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest

from push_gateway.inbox import Inbox
from push_gateway.limits import Limits
from services.embedded import EmbeddedValkey
from shared.push import PushPublisher
from tests.push_gateway.conftest import StartGateway
from tests.push_gateway.helpers import Running, make_card, token


class Stream:
    """The lines of an answer."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(10):
            message: dict[str, Any] = orjson.loads(await anext(self._lines))
        return message

    async def rest(self) -> list[dict[str, Any]]:
        """Everything up to the end."""
        async with asyncio.timeout(10):
            return [orjson.loads(line) async for line in self._lines]


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=10) as client:
        yield client


@contextlib.asynccontextmanager
async def opened(http: httpx.AsyncClient, gateway: Running, first: Any = None) -> AsyncIterator[Stream]:
    """A stream whose body was `first`; a good connect command if nothing else is said."""
    body = first if first is not None else orjson.dumps({"id": 1, "connect": {"token": token()}})
    async with http.stream("POST", gateway.stream_url, content=body) as answer:
        yield Stream(answer)


async def say(
    http: httpx.AsyncClient, gateway: Running, connected: dict[str, Any], *commands: Any, **other: Any
) -> int:
    """Post commands for a session; the status of the answer."""
    data = "\n".join(orjson.dumps(command).decode() for command in commands)
    post = {"session": connected["session"], "node": connected["node"], "data": data, **other}
    return (await http.post(gateway.emulation_url, json=post)).status_code


def ended(*messages: dict[str, Any]) -> tuple[int, str]:
    """The code and the reason that the last of these tells."""
    disconnect = messages[-1]["push"]["disconnect"]
    return disconnect["code"], disconnect["reason"]


async def connections(http: httpx.AsyncClient, gateway: Running) -> float:
    text = (await http.get(f"{gateway.http}/metrics")).text
    name = 'callcard_push_connections{transport="http_stream"} '
    return float(next(line for line in text.splitlines() if line.startswith(name)).removeprefix(name))


async def test_a_stream_says_what_a_socket_says(
    http: httpx.AsyncClient, gateway: Running, publisher: PushPublisher
) -> None:
    await publisher.publish_card(make_card())
    async with opened(http, gateway) as stream:
        assert stream.answer.headers["x-accel-buffering"] == "no"
        assert stream.answer.headers["cache-control"] == "no-store, no-transform"
        connected = (await stream.hear())["connect"]
        assert [card["rev"] for card in connected["data"]["cards"]] == [1]
        assert connected["session"] != connected["client"]  # the client's id is told to others
        await publisher.publish_card(make_card(rev=2))
        assert (await stream.hear())["push"]["pub"]["offset"] == 2
        assert await say(http, gateway, connected, {"id": 2, "ping": {}}, {"id": 3, "presence": {}}) == 204
        assert await stream.hear() == {"id": 2, "ping": {}}
        assert (await stream.hear())["error"]["code"] == 107
        assert await connections(http, gateway) == 1
    async with asyncio.timeout(10):
        while await connections(http, gateway):
            pass
    assert await say(http, gateway, connected, {"id": 4, "ping": {}}) == 204  # its tab knows that it is gone
    # A socket's session has no name: nothing can be posted for it.
    async with gateway.raw() as client:
        assert "session" not in (await client.connect())["connect"]


async def test_the_ends_of_a_stream_are_told_by_a_push(
    http: httpx.AsyncClient, start_gateway: StartGateway
) -> None:
    gateway = await start_gateway(push={"first_command_seconds": 0.3, "connections_per_agent": 1})
    async with opened(http, gateway, b"nonsense") as stream:
        assert ended(*await stream.rest()) == (3501, "bad request")
    async with opened(http, gateway, b"x" * (Limits().frame_chars + 1)) as stream:
        assert ended(*await stream.rest()) == (3501, "bad request")
    async with opened(http, gateway, b'{"id":1,"connect":{}}') as stream:
        unauthorized, *rest = await stream.rest()
        assert unauthorized["error"]["code"] == 101
        assert ended(*rest) == (3502, "stale")
    async with opened(http, gateway) as first, opened(http, gateway) as second:
        connected = (await first.hear())["connect"]
        assert ended(*await second.rest()) == (3504, "connection limit")
        await say(http, gateway, connected, data="nonsense")
        assert ended(*await first.rest()) == (3501, "bad request")
    await gateway.app.state.drain()
    async with opened(http, gateway) as late:
        assert ended(*await late.rest()) == (3001, "shutdown")


async def test_posts_that_are_none(http: httpx.AsyncClient, gateway: Running, valkey: EmbeddedValkey) -> None:
    connected = {"session": "nobodys", "node": "00000000"}
    assert await say(http, gateway, connected, {"id": 1, "ping": {}}) == 404  # no such node: connect anew
    for wrong in ({"session": ""}, {"node": "*"}, {"node": "x" * 65}, {"data": 1}, {"session": None}):
        assert await say(http, gateway, connected, **wrong) == 422
    assert (await http.post(gateway.emulation_url, content=b"\xff")).status_code == 422
    assert (await http.post(gateway.stream_url, content=b"\xff")).status_code == 422
    for url in (gateway.emulation_url, gateway.stream_url):
        large = await http.post(url, content=b"x" * (3 * Limits().frame_chars))
        assert (large.status_code, large.headers["content-type"]) == (413, "application/problem+json")
        assert (await http.get(url)).status_code == 405
    valkey.kill()
    try:
        assert await say(http, gateway, connected, {"id": 1, "ping": {}}) == 503
    finally:
        valkey.start()


async def test_a_page_of_another_site_may_not_and_one_that_is_allowed_may(
    http: httpx.AsyncClient, start_gateway: StartGateway
) -> None:
    gateway = await start_gateway(allowed_origins=["https://crm.example"])
    body = orjson.dumps({"id": 1, "connect": {"token": token(secret="forged, and long enough to be one")}})
    for url in (gateway.stream_url, gateway.emulation_url):
        for method in ("POST", "OPTIONS"):
            evil = await http.request(method, url, content=body, headers={"Origin": "https://evil.example"})
            assert evil.status_code == 403
            assert "access-control-allow-origin" not in evil.headers
        asked = await http.options(url, headers={"Origin": "https://crm.example"})
        assert asked.status_code == 204
        assert asked.headers["access-control-allow-origin"] == "https://crm.example"
        assert asked.headers["access-control-allow-methods"] == "POST"
        assert "content-type" in asked.headers["access-control-allow-headers"]
        answer = await http.post(url, content=body, headers={"Origin": "https://crm.example"})
        assert answer.headers["access-control-allow-origin"] == "https://crm.example"


async def test_a_stream_that_is_not_read_is_let_go_and_delays_nobody(
    http: httpx.AsyncClient, start_gateway: StartGateway, publisher: PushPublisher
) -> None:
    gateway = await start_gateway(push={"queue_kb": 64})
    body = orjson.dumps({"id": 1, "connect": {"token": token()}})
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # so that little fits on the way
    small.connect(("127.0.0.1", gateway.port))
    reader, writer = await asyncio.open_connection(sock=small, limit=1024)
    head = f"POST /connection/http_stream HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    async with gateway.raw() as other:
        await other.connect()
        big = b'{"type":"notice","text":"%s"}' % (b"x" * 200_000)
        slow = 'callcard_push_closes_total{code="3008"} 1.0'
        while slow not in (await http.get(f"{gateway.http}/metrics")).text:
            for _ in range(5):
                offset = await publisher.publish("agent:101", big)
                while "pub" not in (heard := (await other.hear()).get("push", {})):
                    pass
                assert heard["pub"]["offset"] == offset
    # Reading again before it is given up, it finds out why: and comes back.
    text = b""
    async with asyncio.timeout(10):
        while not text.endswith(b"0\r\n\r\n"):
            text = text[-1000:] + await reader.read(1 << 20)
    assert b'{"push":{"disconnect":{"code":3008,"reason":"slow"}}}\n' in text
    writer.close()


async def test_what_is_posted_faster_than_it_is_taken_is_bounded() -> None:
    inbox = Inbox(300)
    assert inbox.put("x" * 1000)  # an empty one takes any one frame
    assert not inbox.put("y")
    assert await inbox.receive() == "x" * 1000
    taken = 0
    while inbox.put("{}"):
        taken += 1
    assert 2 <= taken < 10
    for _ in range(taken):
        assert await inbox.receive() == "{}"
    assert inbox.put("{}")


async def test_who_posts_too_much_begins_anew(
    http: httpx.AsyncClient, gateway: Running, valkey: EmbeddedValkey
) -> None:
    assert valkey.pid is not None
    async with opened(http, gateway) as stream:
        connected = (await stream.hear())["connect"]
        os.kill(valkey.pid, signal.SIGSTOP)  # a session that waits for Redis reads no further
        try:
            ask = {"id": 2, "history": {"channel": "agent:101", "limit": 1}, "x": "y" * 30_000}
            await asyncio.gather(*(say(http, gateway, connected, ask) for _ in range(5)))
            assert ended(*await stream.rest()) == (3011, "force reconnect")
        finally:
            os.kill(valkey.pid, signal.SIGCONT)
