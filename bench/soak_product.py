"""The soak through the real pieces: AMI socket → listener → Valkey → card API → PostgreSQL, each a process."""

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import uvloop
from redis.asyncio import Redis
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from bench.soak_verdict import Verdict
from card_api.agents.directory import Agent
from card_api.agents.repository import AgentRepository
from card_api.calls.models import calls as record
from services.embedded import EmbeddedPostgres, EmbeddedValkey
from services.embedded.process import free_port
from services.migrate import upgrade
from services.simulator import SimAgent, Simulator, SimulatorConfig
from services.simulator.compare import differences
from services.simulator.truth import Truth
from shared.bus import CALLS_STREAM
from shared.contracts.call import Call
from shared.db import create_engine

SLICE = 200
"""Calls that are on their way at once; the next ones come when these are stored, so nothing grows but what leaks."""
STUCK_SECONDS = 30.0
"""With no further call stored for so long, the rest of the slice will not come."""
START_SECONDS = 120.0
"""A piece starts in two seconds; on a machine that does many other things it may take long."""
LOOK_AGAIN = 0.02
"""Seconds between two questions to the record, which tells no event."""
WARM = 0.2
"""Share of the calls after which memory has reached its level: pools are open, caches full ..."""
WARM_SECONDS = 75.0
"""... if that much time has passed too: the listener remembers for a minute which calls have ended."""
FLAT = 1.15
"""Memory at the end over memory when warm; an allocator's fragments are below that, a leak of 1 kB a call is not."""
MIB = 1 << 20


@dataclass
class Piece:
    """One of ours, a process of its own."""

    name: str
    process: asyncio.subprocess.Process
    port: int

    @property
    def memory(self) -> int:
        """Resident bytes now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def cpu(self) -> float:
        """Seconds of CPU used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def ready(self, log: Path) -> None:
        """Wait until it says so. RuntimeError with what it wrote, if it does not."""
        url = f"http://127.0.0.1:{self.port}/readyz"
        said = "nothing"
        async with httpx.AsyncClient(trust_env=False) as client:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(START_SECONDS):
                    while self.process.returncode is None:
                        with contextlib.suppress(httpx.HTTPError):
                            answer = await client.get(url)
                            if answer.status_code == 200:
                                return
                            said = answer.text
                        await asyncio.sleep(LOOK_AGAIN)
        written = await asyncio.to_thread(log.read_text)
        raise RuntimeError(f"{self.name} is not ready: it says {said}\n{written[-2000:]}")


@contextlib.asynccontextmanager
async def piece(name: str, env: dict[str, str], log: Path) -> AsyncIterator[Piece]:
    """`callcard run NAME`; killed in the end, nothing of it is worth keeping."""
    port = free_port()
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.cli.main", "run", name,
            env={**os.environ, **env, "CALLCARD_HTTP__PORT": str(port)}, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        yield Piece(name, process, port)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Soak:
    """Slices of calls, each compared when it is stored."""

    def __init__(self, pbx: Simulator, name: str, engine: AsyncEngine, verdict: Verdict) -> None:
        self._pbx = pbx
        self._name = name
        self._engine = engine
        self._verdict = verdict

    async def slice(self, calls: int) -> None:
        """Make so many calls, wait until they are stored, compare."""
        self._pbx.run_traffic(calls)
        await self._pbx.quiet()
        ended = list(self._pbx.engine.truth)
        self._pbx.engine.truth.clear()
        told = await self._stored(ended)
        self._verdict.compared += len(ended)
        self._verdict.add(differences(self._name, ended, told))

    async def _stored(self, ended: Sequence[Truth]) -> dict[str, Call]:
        """The calls as the record has them, once all have ended there; fewer, if the rest does not come."""
        wanted = [f"{self._name}-{truth.uniqueid}" for truth in ended]
        query = select(func.count()).where(record.c.call_id.in_(wanted), record.c.state == "ended")
        loop = asyncio.get_running_loop()
        seen, since = 0, loop.time()
        while seen < len(wanted) and loop.time() - since < STUCK_SECONDS:
            async with self._engine.connect() as connection:
                now = (await connection.execute(query)).scalar_one()
            if now != seen:
                seen, since = now, loop.time()
            if seen < len(wanted):
                await asyncio.sleep(LOOK_AGAIN)
        found = select(record.c.call_id, record.c.document).where(record.c.call_id.in_(wanted))
        async with self._engine.connect() as connection:
            return {row.call_id: Call.model_validate(row.document) for row in await connection.execute(found)}


async def save_agents(engine: AsyncEngine, agents: Sequence[SimAgent]) -> None:
    """The simulator's phones as people of ours, so that cards are rendered too."""
    repository = AgentRepository(engine)
    for agent in agents:
        person = Agent(agent.extension, agent.name, agent.extension, endpoints=((agent.endpoint, None),))
        await repository.save(person, None)


async def soak(
    postgres: EmbeddedPostgres,
    valkey: EmbeddedValkey,
    folder: Path,
    calls: int,
    config: SimulatorConfig,
    name: str,
    advance: Callable[[int], None] = lambda calls: None,
) -> Verdict:
    """`calls` calls as fast as the pieces take them. name: of the PBX. advance: told of each slice that is done."""
    verdict = Verdict()
    engine = create_engine(postgres.url)
    account = config.accounts[0]
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(engine.dispose)
        await upgrade(postgres.url)
        await save_agents(engine, config.agents)
        redis = await stack.enter_async_context(Redis.from_url(valkey.url))
        sent = 0

        def count(event: str, uniqueid: str, at: int) -> None:
            nonlocal sent
            sent += 1

        pbx = await stack.enter_async_context(Simulator(replace(config, time_scale=float("inf")), count))
        common = {
            "CALLCARD_DATABASE__URL": postgres.url,
            "CALLCARD_REDIS__URL": valkey.url,
            "CALLCARD_AUTH__SECRET": "a secret of the soak, 32 characters long",
            "CALLCARD_DATA_DIR": str(folder),
            "CALLCARD_LOG_LEVEL": "warning",
        }
        line = f"CALLCARD_PBX__{name.upper()}__"
        ami = {
            f"{line}HOST": pbx.address[0],
            f"{line}PORT": str(pbx.address[1]),
            f"{line}USERNAME": account.username,
            f"{line}SECRET": account.secret,
        }
        log = folder / "soak.log"
        api = await stack.enter_async_context(piece("api", common, log))
        listener = await stack.enter_async_context(piece("listener", common | ami, log))
        for one in (api, listener):
            await one.ready(log)
        run = Soak(pbx, name, engine, verdict)
        warm: dict[str, int] = {}
        warm_at = 0.0
        began = time.monotonic()
        done, before, sent_before = 0, listener.cpu, sent
        while done < calls:
            count_now = min(SLICE, calls - done)
            await run.slice(count_now)
            done += count_now
            advance(count_now)
            long_enough = time.monotonic() - began >= WARM_SECONDS
            # After the half, what is left of the run would prove nothing.
            if not warm and long_enough and WARM <= done / calls <= 0.5:
                warm, warm_at = {one.name: one.memory for one in (listener, api)}, done / calls
        spent, events = listener.cpu - before, sent - sent_before
        for one in (listener, api):
            if not warm:
                verdict.lines.append(
                    f"{one.name}: {one.memory / MIB:.0f} MiB at the end; too few calls to see whether it grows"
                )
                continue
            ratio = one.memory / warm[one.name]
            verdict.lines.append(
                f"{one.name}: {warm[one.name] / MIB:.0f} MiB after {warm_at:.0%}, {one.memory / MIB:.0f} MiB at the end"
            )
            if ratio > FLAT:
                verdict.wrong(f"The memory of the {one.name} has grown by {ratio - 1:.0%}.")
        verdict.lines.append(
            f"{verdict.compared} calls, {events} events; listener: {events / max(spent, 0.01) / 1000:.1f}k events/s"
            f" of one core; api: {api.cpu / verdict.compared * 1000:.1f} ms of CPU a call"
        )
        await left_over(engine, redis, verdict)
    return verdict


async def left_over(engine: AsyncEngine, redis: "Redis", verdict: Verdict) -> None:
    """When all is over, nothing may be open in the record or wait on the bus."""
    async with engine.connect() as connection:
        query = select(func.count()).where(record.c.state != "ended")
        open_calls = (await connection.execute(query)).scalar_one()
    waiting = await redis.xlen(CALLS_STREAM)
    if open_calls:
        verdict.wrong(f"{open_calls} calls are still open in the record.")
    if waiting:
        verdict.wrong(f"{waiting} updates still wait in the stream.")


def run(calls: int, config: SimulatorConfig, name: str, advance: Callable[[int], None]) -> Verdict:
    """The soak on servers of its own."""
    with tempfile.TemporaryDirectory(prefix="callcard-soak-") as path:
        folder = Path(path)
        folder.chmod(0o755)  # PostgreSQL's user must reach it
        postgres = EmbeddedPostgres(folder, durable=False).start()
        valkey = EmbeddedValkey(folder, durable=False).start()
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(soak(postgres, valkey, folder, calls, config, name, advance))
        finally:
            valkey.stop()
            postgres.stop()
