"""The servers of `bench.push`, each in a process of its own, and how a tab speaks with it."""

import argparse
import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import orjson
import uvloop
from redis.asyncio import Redis

from bench.tab import Tab, Tally, open_tab, until_ready
from card_api.centrifugo.client import Centrifugo, publish
from services.desk.build import BuildError, find_node
from services.embedded import EmbeddedValkey
from services.embedded.process import free_port
from shared.contracts.card import Card
from shared.push import PushPublisher, agent_channel
from shared.security import issue_token

T = TypeVar("T")

SECRET = "a secret of the benchmark, 32 characters"
LINE = "line:bench"
_SOCKETIO = Path(__file__).parent / "socketio"
# Where `make centrifugo` builds it.
_TOOLS = Path(__file__).parents[1] / ".tools"
# Opened at the same time; more than the listen queue of a server would only be refused.
_AT_ONCE = 50
_ID = re.compile(rb'"call_id":"b-([0-9]+)"')
# What a board says, and what it is counted by.
BOARD = b'{"type":"line","line":{"name":"bench","waiting":[%s]}}' % b",".join(
    b'{"number":"+7495000%04d","position":%d,"since":"2026-11-21T22:42:09.490Z"}' % (i, i)
    for i in range(1, 13)
)
BOARD_MARK = b'"type":"line"'


def login_of(tab: int) -> str:
    return f"a{tab}"


def card_of(tab: int, number: int) -> Card:
    """A card as it rings: a known caller with contracts, orders, tickets, and ten calls before."""
    now = datetime.now(UTC)
    past = [
        {
            "call_id": f"main-17953.{i}",
            "at": now - timedelta(days=i),
            "direction": "inbound",
            "end_reason": "completed",
            "agent": "101",
            "queue": "support",
            "talk_seconds": 60 + i,
        }
        for i in range(10)
    ]
    return Card.model_validate(
        {
            "call_id": f"b-{number}",
            "rev": number * 32,
            "state": "ringing",
            "agent": login_of(tab),
            "call": {"pbx": "main", "direction": "inbound", "state": "ringing", "started_at": now},
            "match": "one",
            "caller": {
                "name": "Иванов Пётр Сергеевич",
                "customer_id": "c1",
                "display_number": "+7 900 111-22-33",
                "accounts": [{"number": f"77-00{i}", "status": "active", "source": "crm"} for i in range(2)],
            },
            "greeting": "Добрый день, Пётр Сергеевич!",
            "history": past,
            "tickets": [{"number": "T-1", "subject": "Нет связи", "status": "open", "source": "crm"}] * 2,
            "orders": [{"number": "O-1", "title": "Роутер", "amount": "1990.00 RUB", "source": "crm"}] * 2,
            "expires_at": now + timedelta(minutes=10),
            "timings": {"arrived": now, "rang": now},
        }
    )


@dataclass
class Server:
    """`hello(tab)`: what a tab says first; `push(tab, card)`: send the tab its card; `note(tab, json)`: something else
    that stays on no desk; `broadcast()`: the board to everybody. One without any of them is not measured in it.
    `hang_up()`: of who tells it."""

    name: str
    process: asyncio.subprocess.Process
    port: int
    path: str
    hello: Callable[[int], bytes | None]
    ready_when: bytes
    push: Callable[[int, Card], Awaitable[None]] | None = None
    note: Callable[[int, bytes], Awaitable[None]] | None = None
    broadcast: Callable[[], Awaitable[None]] | None = None
    hang_up: Callable[[], Awaitable[None]] | None = None
    tabs: list[Tab] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)
    board: Tally = field(default_factory=lambda: Tally(BOARD_MARK))

    async def open(self, tabs: int) -> float:
        """Have so many tabs, all ready. Returns kB of the server's memory for each of them."""
        await self._open(0)
        before = self.memory()
        waiting = iter(range(1, tabs))

        async def some() -> None:
            for tab in waiting:
                await self._open(tab)

        await asyncio.gather(*(some() for _ in range(_AT_ONCE)))
        self.tabs.sort(key=lambda tab: tab.number)
        return (self.memory() - before) / (tabs - 1)

    async def _open(self, number: int) -> Tab:
        tab = await open_tab(
            lambda: Tab(self.path, _ID, self.seen, self.hello(number), self.ready_when, self.board, number),
            self.port,
        )
        self.tabs.append(tab)
        return tab

    async def reopen(self, number: int) -> Tab:
        """The tab once more, at the end of `tabs`."""
        return await self._open(number)

    def memory(self) -> float:
        """Resident, kB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return float(re.findall(r"VmRSS:\s+(\d+) kB", status)[0])

    async def close(self) -> None:
        for tab in self.tabs:
            tab.close()
        if self.hang_up is not None:
            await self.hang_up()
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


async def start(log: Path, *command: str, **env: str) -> asyncio.subprocess.Process:
    with log.open("ab") as out:
        return await asyncio.create_subprocess_exec(*command, env=os.environ | env, stdout=out, stderr=out)


async def gateway(redis: Redis, redis_url: str, folder: Path) -> Server:
    """Ours, as `callcard run gateway` starts it."""
    port = free_port()
    process = await start(
        folder / "gateway.log",
        *(sys.executable, "-m", "services.cli.main", "run", "gateway"),
        CALLCARD_HTTP__PORT=str(port),
        CALLCARD_REDIS__URL=redis_url,
        CALLCARD_AUTH__SECRET=SECRET,
        CALLCARD_LOG_LEVEL="warning",
    )
    await until_ready(port)
    publisher = PushPublisher(redis)
    await publisher.rebuild_desk([], [])

    def hello(tab: int) -> bytes:
        token = issue_token(SECRET, login_of(tab), "agent", datetime.now(UTC), timedelta(hours=1), [LINE])
        connect = orjson.dumps({"id": 1, "connect": {"token": token}})
        return connect + b"\n" + orjson.dumps({"id": 2, "subscribe": {"channel": LINE}})

    async def push(tab: int, card: Card) -> None:
        await publisher.publish_cards([card])

    async def note(tab: int, data: bytes) -> None:
        await publisher.publish(agent_channel(login_of(tab)), data)

    async def broadcast() -> None:
        await publisher.publish(LINE, BOARD)

    return Server(
        "Callcard", process, port, "/connection/websocket", hello, b'"subscribe":{', push, note, broadcast
    )


async def echo(folder: Path) -> Server:
    """A bare uvicorn WebSocket: the tab sends the card, and gets it back."""
    port = free_port()
    process = await start(folder / "echo.log", sys.executable, "-m", "bench.push_floors", "echo", str(port))
    server = Server("bare echo", process, port, "/", lambda tab: b"ready", b"ready")

    async def push(tab: int, card: Card) -> None:
        server.tabs[tab].send(b'{"type":"card","card":' + card.to_json() + b"}")

    server.push = push
    return server


async def raw(folder: Path) -> Server:
    """Nothing but writes of one frame that was built before."""
    port = free_port()
    text = folder / "board"
    text.write_bytes(b'{"push":{"channel":"line:bench","pub":{"data":' + BOARD + b',"offset":1}}}')
    process = await start(
        folder / "raw.log", sys.executable, "-m", "bench.push_floors", "raw", str(port), str(text)
    )
    server = Server("raw frames", process, port, "/", lambda tab: None, b"ready")

    async def broadcast() -> None:
        server.tabs[0].send(b"go")

    server.broadcast = broadcast
    return server


async def socketio(redis: Redis, redis_url: str, folder: Path) -> Server | None:
    """socket.io as its documentation shows it, fed through the same Redis; None where there is no Node for it."""
    try:
        node = find_node()
    except BuildError as error:
        print(f"socket.io is NOT measured: {error}", file=sys.stderr)
        return None
    if not (_SOCKETIO / "node_modules").is_dir():
        command = [*node.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        await asyncio.to_thread(subprocess.run, command, cwd=_SOCKETIO, check=True)
    port = free_port()
    script = str(_SOCKETIO / "server.js")
    process = await start(folder / "socketio.log", str(node.node), script, str(port), redis_url)

    async def push(tab: int, card: Card) -> None:
        await redis.publish(f"bench:{login_of(tab)}", b'{"type":"card","card":' + card.to_json() + b"}")

    async def broadcast() -> None:
        await redis.publish("bench:everybody", BOARD)

    def hello(tab: int) -> bytes:
        return b"40" + orjson.dumps({"login": login_of(tab)})

    path = "/socket.io/?EIO=4&transport=websocket"
    return Server("socket.io", process, port, path, hello, b'40{"sid"', push, None, broadcast)


async def centrifugo(redis: Redis, redis_url: str, folder: Path) -> Server | None:
    """A Centrifugo on the same Redis, told as the card API tells it; None where the command is not (`make centrifugo`).

    The tabs have tokens of its own that name their channels: so there is no card API to ask at the connect.
    """
    command = shutil.which("centrifugo") or shutil.which("centrifugo", path=_TOOLS)
    if command is None:
        print("Centrifugo is NOT measured: no command centrifugo (make centrifugo)", file=sys.stderr)
        return None
    port = free_port()
    kept = {"history_size": 128, "history_ttl": "600s", "force_recovery": True, "force_positioning": True}
    config = folder / "centrifugo.json"
    config.write_bytes(
        orjson.dumps(
            {
                "http_server": {"address": "127.0.0.1", "port": port},
                "http_api": {"key": SECRET},
                "log": {"level": "error"},
                "client": {"token": {"hmac_secret_key": SECRET}},
                "engine": {"type": "redis", "redis": {"address": redis_url}},
                "channel": {"namespaces": [{"name": "agent", **kept}, {"name": "line", **kept}]},
            }
        )
    )
    process = await start(folder / "centrifugo.log", command, "--config", str(config))
    told = Centrifugo(f"http://127.0.0.1:{port}", SECRET)

    async def publish_to(channel: str, data: bytes) -> None:
        (refusal,) = await told.send([publish(channel, data)])
        if refusal is not None:
            raise SystemExit(f"Centrifugo refuses a publication: {refusal}")

    async def push(tab: int, card: Card) -> None:
        await publish_to(agent_channel(login_of(tab)), b'{"type":"card","card":' + card.to_json() + b"}")

    async def broadcast() -> None:
        await publish_to(LINE, BOARD)

    def hello(tab: int) -> bytes:
        channels = [agent_channel(login_of(tab)), LINE]
        token = issue_token(SECRET, login_of(tab), "agent", datetime.now(UTC), timedelta(hours=1), channels)
        return orjson.dumps({"id": 1, "connect": {"token": token}})

    path = "/connection/websocket"
    return Server("Centrifugo", process, port, path, hello, b'"connect":{', push, None, broadcast, told.close)


def run(
    what: str | None, tabs: int, work: Callable[[int, Path, EmbeddedValkey], Coroutine[None, None, T]]
) -> T:
    """Do the work with a Valkey and a folder of its own. what: for --help. tabs: how many, if --tabs does not say."""
    parser = argparse.ArgumentParser(description=what, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tabs", type=int, default=tabs)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="callcard-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        valkey = EmbeddedValkey(folder).start()
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(work(arguments.tabs, folder, valkey))
        finally:
            valkey.stop()
