"""From the byte on the AMI socket to the frame at the tab, at 50 and 200 calls a second, beside the floor.

Ours: listener, api and gateway as three processes, PostgreSQL, Valkey; a tab for each agent. The floor: the same hops
(AMI socket → stream → one question to PostgreSQL → pub/sub → WebSocket) in three processes that do no work: nothing is
parsed, looked up, stored or rendered. Both get the same simulated calls. Time zero is
when the simulator has given DialBegin to its socket.

The floor carries the same messages, too. Ours sends three updates of such a call (it rings, it is answered, it is
over), each a stream entry, a publication and a frame; so the floor forwards one AMI message for each of the three,
unparsed, and asks PostgreSQL once a call. Both are measured on the ring alone. A floor that forwards DialBegin alone is
spared two thirds of the messages; it is printed beside, so that the difference can be seen, and nothing is judged by
it.
"""

import asyncio
import contextlib
import multiprocessing
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from time import monotonic_ns
from typing import Any

import orjson
import uvloop
from redis.asyncio import Redis
from sqlalchemy import make_url

from bench.tab import Tab, open_tab, until_ready
from bench.table import Row, percentile, show
from services.embedded import EmbeddedPostgres, EmbeddedValkey
from services.embedded.process import free_port
from services.migrate import upgrade
from services.samples import load_samples, sample_callers
from services.simulator.config import SimAccount, SimCaller, SimulatorConfig, make_agents, make_queues
from services.simulator.simulator import Simulator
from shared.db import create_engine
from shared.security import issue_token

AGENTS = 200
WARM_UP_SECONDS = 3.0
MEASURED_SECONDS = 8.0
# Floor and ours in turns, the middle of so many counts: a machine that others use too is twice as fast a minute later.
TURNS = 3
SECRET = "a secret of the benchmark, 32 characters"
ACCOUNT = ("callcard", "callcard-bench")
PBX = "bench"
# The promise: three times the way itself, for parsing, understanding, knowing and rendering.
TARGET = 3.0


@dataclass(frozen=True, slots=True)
class Load:
    calls_per_second: float
    noise: bool

    def __str__(self) -> str:
        return f"{self.calls_per_second:.0f} calls/s{', full noise' if self.noise else ''}"


LOADS = (Load(50, False), Load(200, False), Load(200, True))


# --- the simulated PBX, in a process of its own -----------------------------------------------------------------


def _pbx(load: Load, pipe: Connection) -> None:
    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(_pbx_main(load, pipe))


async def _pbx_main(load: Load, pipe: Connection) -> None:
    sent: dict[str, int] = {}

    def on_sent(event: str, uniqueid: str, at: int) -> None:
        if event == RING:
            sent.setdefault(uniqueid, at)

    people = make_agents(AGENTS)
    config = SimulatorConfig(
        agents=people,
        queues=make_queues(people[:4]),
        callers=tuple(SimCaller(number, name or None) for number, name in sample_callers()),
        accounts=(SimAccount(*ACCOUNT),),
        calls_per_second=load.calls_per_second,
        mix={"direct_did": 1.0},
        ring=(0.05, 0.2),
        talk=(0.2, 0.4),
        noise=load.noise,
        seed=7,
    )
    async with Simulator(config, on_sent) as pbx:
        pipe.send(pbx.address)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, pipe.recv)  # "everybody is connected"
        pbx.run_traffic()
        await loop.run_in_executor(None, pipe.recv)  # "enough"
        pbx.stop_traffic()
    pipe.send(sent)


@contextlib.contextmanager
def simulated_pbx(load: Load) -> Iterator[tuple[tuple[str, int], Connection]]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_pbx, args=(load, theirs), daemon=True)
    process.start()
    try:
        yield ours.recv(), ours
    finally:
        process.terminate()
        process.join()


# --- the floor: the same hops, no work --------------------------------------------------------------------------

# What each call update of ours is made of, once each in every call of this load: it rings, is answered, is over.
RING = "DialBegin"
SAME_MESSAGES = (RING, "DialEnd", "BridgeDestroy")

_FLOOR = {
    "listener": """
import asyncio, sys, uvloop
from redis.asyncio import Redis
async def main(redis_url, host, port, user, secret, *events):
    redis = Redis.from_url(redis_url, protocol=2)
    reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 24)
    writer.write(f"Action: Login\\r\\nUsername: {user}\\r\\nSecret: {secret}\\r\\nEvents: call\\r\\n\\r\\n".encode())
    wanted = tuple(f"Event: {event}\\r\\n".encode() for event in events)
    rest = b""
    while data := await reader.read(65536):
        *messages, rest = (rest + data).split(b"\\r\\n\\r\\n")
        for message in messages:
            if message.startswith(wanted):
                await redis.xadd("floor", {b"m": message})
""",
    "api": """
import asyncio, sys, asyncpg, uvloop
from redis.asyncio import Redis
async def main(redis_url, database_url):
    redis = Redis.from_url(redis_url, protocol=2)
    database = await asyncpg.connect(database_url)
    await redis.xgroup_create("floor", "g", id="$", mkstream=True)
    while True:
        for _, entries in await redis.xreadgroup("g", "c", {"floor": ">"}, count=128, block=5000):
            for entry, fields in entries:
                if fields[b"m"].startswith(b"Event: DialBegin"):
                    await database.fetchval("select $1::text", "+74950000000")
                await redis.publish("floor", fields[b"m"])
                await redis.xack("floor", "g", entry)
""",
    "gateway": """
import asyncio, sys, uvicorn, uvloop
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
async def main(redis_url, port):
    async def tab(socket):
        await socket.accept()
        async with Redis.from_url(redis_url, protocol=2).pubsub() as heard:
            await heard.subscribe("floor")
            await socket.send_text("ready")
            async for message in heard.listen():
                if message["type"] == "message":
                    await socket.send_text(message["data"].decode())
    app = Starlette(routes=[WebSocketRoute("/", tab)])
    await uvicorn.Server(uvicorn.Config(app, port=int(port), ws="websockets-sansio", ws_per_message_deflate=False,
        lifespan="off", access_log=False, log_level="error")).serve()
""",
}
_RUN_FLOOR = "\nasyncio.Runner(loop_factory=uvloop.new_event_loop).run(main(*sys.argv[1:]))\n"


async def _spawn(*command: str, env: dict[str, str] | None = None, log: Path) -> asyncio.subprocess.Process:
    with log.open("ab") as out:
        return await asyncio.create_subprocess_exec(
            *command, env={**os.environ, **(env or {})}, stdout=out, stderr=out
        )


async def _end(processes: list[asyncio.subprocess.Process]) -> None:
    """At once: nothing of theirs is worth keeping, and the floor's gateway would wait for its tab for ever."""
    for process in processes:
        if process.returncode is None:
            process.kill()
    await asyncio.gather(*(process.wait() for process in processes))


async def floor(
    load: Load,
    database_url: str,
    redis_url: str,
    folder: Path,
    events: tuple[str, ...] = SAME_MESSAGES,
) -> list[float]:
    """Milliseconds of each call. `events`: which AMI events are forwarded; RING must be among them."""
    with simulated_pbx(load) as ((host, pbx_port), pipe):
        port = str(free_port())
        log = folder / "floor.log"
        arguments = {
            "api": [redis_url, make_url(database_url).set(drivername="postgresql").render_as_string(False)],
            "gateway": [redis_url, port],
            "listener": [redis_url, host, str(pbx_port), *ACCOUNT, *events],
        }
        processes = [
            await _spawn(sys.executable, "-c", _FLOOR[name] + _RUN_FLOOR, *arguments[name], log=log)
            for name in ("api", "gateway", "listener")
        ]
        seen: dict[str, int] = {}
        try:
            async with asyncio.timeout(20):
                tab = await _open_tab(int(port), "/", re.compile(rb"\r\nUniqueid: ([0-9.]+)\r"), seen)
            sent = await _traffic(pipe)
            tab.close()
        finally:
            await _end(processes)
        return _latencies(sent, seen)


# --- ours -------------------------------------------------------------------------------------------------------


async def ours(load: Load, database_url: str, redis_url: str, folder: Path) -> list[float]:
    """Milliseconds of each call."""
    with simulated_pbx(load) as ((host, pbx_port), pipe):
        ports = {name: free_port() for name in ("api", "gateway", "listener")}
        common = {
            "CALLCARD_DATABASE__URL": database_url,
            "CALLCARD_REDIS__URL": redis_url,
            "CALLCARD_AUTH__SECRET": SECRET,
            "CALLCARD_DATA_DIR": str(folder),
            "CALLCARD_LOG_LEVEL": "warning",
        }
        pbx = {
            "CALLCARD_PBX__BENCH__HOST": host,
            "CALLCARD_PBX__BENCH__PORT": str(pbx_port),
            "CALLCARD_PBX__BENCH__USERNAME": ACCOUNT[0],
            "CALLCARD_PBX__BENCH__SECRET": ACCOUNT[1],
        }
        processes = []
        for name, port in ports.items():
            env = common | {"CALLCARD_HTTP__PORT": str(port)} | (pbx if name == "listener" else {})
            processes.append(
                await _spawn(
                    sys.executable, "-m", "services.cli.main", "run", name, env=env, log=folder / "ours.log"
                )
            )
        seen: dict[str, int] = {}
        tabs: list[Tab] = []
        try:
            for port in ports.values():
                await until_ready(port)
            for agent in make_agents(AGENTS):
                token = issue_token(SECRET, agent.extension, "agent", datetime.now(UTC), timedelta(hours=1))
                hello = orjson.dumps({"id": 1, "connect": {"token": token}})
                # The first card of a call counts, whatever its state: an answer may overtake the ring.
                card = re.compile(rb'"card":\{"call_id":"%s-([0-9.]+)"' % PBX.encode())
                tabs.append(await _open_tab(ports["gateway"], "/connection/websocket", card, seen, hello))
            sent = await _traffic(pipe)
        finally:
            for tab in tabs:
                tab.close()
            await _end(processes)
        return _latencies(sent, seen)


# --- both -------------------------------------------------------------------------------------------------------


async def _open_tab(
    port: int, path: str, call: re.Pattern[bytes], seen: dict[str, int], hello: bytes | None = None
) -> Tab:
    return await open_tab(lambda: Tab(path, call, seen, hello), port)


async def _traffic(pipe: Connection) -> dict[str, int]:
    """Let calls come, measure after the warm-up; Uniqueid → when its DialBegin was sent."""
    pipe.send("go")
    await asyncio.sleep(WARM_UP_SECONDS)
    begin = monotonic_ns()
    await asyncio.sleep(MEASURED_SECONDS)
    end = monotonic_ns()
    await asyncio.sleep(1)  # the last calls' cards are still on their way
    pipe.send("enough")
    sent: dict[str, int] = await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
    return {uniqueid: at for uniqueid, at in sent.items() if begin <= at <= end}


def _latencies(sent: dict[str, int], seen: dict[str, int]) -> list[float]:
    missing = sent.keys() - seen.keys()
    if missing:
        raise SystemExit(f"{len(missing)} of {len(sent)} calls never reached the tab: that is no measurement")
    return [(seen[uniqueid] - at) / 1e6 for uniqueid, at in sent.items()]


@contextlib.asynccontextmanager
async def _data(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    await upgrade(postgres.url)
    engine = create_engine(postgres.url)
    try:
        await load_samples(engine, "not used here")
        await _more_agents(engine)
        yield postgres.url
    finally:
        await engine.dispose()


async def _more_agents(engine: Any) -> None:
    from card_api.agents.directory import Agent
    from card_api.agents.repository import AgentRepository

    repository = AgentRepository(engine)
    for agent in make_agents(AGENTS)[4:]:
        await repository.save(
            Agent(agent.extension, agent.name, agent.extension, endpoints=((agent.endpoint, None),)), None
        )


async def measure(postgres: EmbeddedPostgres, valkey: EmbeddedValkey, folder: Path) -> list[Row]:
    rows = []
    async with _data(postgres) as database_url:
        for load in LOADS:
            below, here = [], []
            for _ in range(TURNS):
                below.append(await floor(load, database_url, await _emptied(valkey), folder))
                here.append(await ours(load, database_url, await _emptied(valkey), folder))
            alone = await floor(load, database_url, await _emptied(valkey), folder, (RING,))
            ratio = _middle(here, 0.5) / _middle(below, 0.5)
            rows.append(
                Row(
                    f"AMI byte → tab, {load}",
                    _figures(here),
                    f"floor, same messages: {_figures(below)}\n(DialBegin alone: {_figures([alone])})",
                    ratio,
                    f"p50 ≤ {TARGET:.0f}× floor",
                    ratio <= TARGET,
                )
            )
    return rows


async def _emptied(valkey: EmbeddedValkey) -> str:
    """Its URL; nothing of the run before is in it."""
    async with Redis.from_url(valkey.url) as redis:
        await redis.flushall()
    return valkey.url


def _figures(turns: list[list[float]]) -> str:
    p50, p99 = _middle(turns, 0.5), _middle(turns, 0.99)
    return f"p50 {p50:.2f} ms, p99 {p99:.2f} ms (n={sum(map(len, turns))})"


def _middle(turns: list[list[float]], share: float) -> float:
    return median(percentile(turn, share) for turn in turns)


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        # Durable, as in production: what a disk costs belongs to the figure.
        postgres, valkey = EmbeddedPostgres(folder).start(), EmbeddedValkey(folder).start()
        try:
            rows = asyncio.Runner(loop_factory=uvloop.new_event_loop).run(measure(postgres, valkey, folder))
        finally:
            valkey.stop()
            postgres.stop()
    return 0 if show(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
