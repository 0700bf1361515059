"""Faults in the middle of 50 calls a second: afterwards the record is what happened, as far as it could be seen.

CALLCARD_DRILL_SECONDS makes the traffic before and after the fault longer (2 by default, for a short run of each).
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from services.embedded import EmbeddedValkey
from services.embedded.process import free_port
from services.runtime import Target
from services.simulator import SimCall, Simulator
from services.simulator.config import FULL_ACCOUNT
from shared.bus import connect_redis
from shared.settings import PbxSettings
from tests.e2e.drill import (
    BLUR_BESIDE,
    CALLS_PER_SECOND,
    LOOK_AGAIN,
    PBX,
    Blind,
    Judge,
    busy_pbx,
    enlist,
    hold_one_in_each_phase,
)
from tests.e2e.stack import PIECES, Stack, product

SECONDS = float(os.environ.get("CALLCARD_DRILL_SECONDS", "2"))
CALLS = int(SECONDS * CALLS_PER_SECOND)
START_SECONDS = 45.0
SPEAKS = "calls are told from here on"
"""What a listener logs then."""

pytestmark = pytest.mark.timeout(120 + 10 * SECONDS)


@pytest.fixture
async def pbx() -> AsyncIterator[Simulator]:
    async with Simulator(busy_pbx()) as simulator:
        yield simulator


@pytest.fixture
async def judge(pbx: Simulator, engine: AsyncEngine, redis: Redis) -> AsyncIterator[Judge]:
    await enlist(engine, pbx.config.agents)
    # Of its own: a drill may end the server under the other one.
    client = connect_redis(url_of(redis))
    yield Judge(pbx, engine, client)
    await client.aclose()


def url_of(redis: Redis) -> str:
    options = redis.connection_pool.connection_kwargs
    return f"redis://{options['host']}:{options['port']}/{options.get('db', 0)}"


def account(pbx: Simulator) -> PbxSettings:
    host, port = pbx.address
    return PbxSettings(
        host=host, port=port, username=FULL_ACCOUNT.username, secret=SecretStr(FULL_ACCOUNT.secret)
    )


async def busy(pbx: Simulator) -> Mapping[str, SimCall]:
    """Calls come, one is held in each phase; half of the traffic is over when this returns."""
    held = await hold_one_in_each_phase(pbx)
    pbx.run_traffic(2 * CALLS)
    await pbx.ended(CALLS)
    return held


async def finish(held: Mapping[str, SimCall]) -> None:
    """The held calls end."""
    for call in held.values():
        await call.hang_up()


async def test_redis_killed_and_empty(
    pbx: Simulator, judge: Judge, database_url: str, redis_url: str, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    """The listener sees everything: not one call may be recorded otherwise than it was."""
    async with product(database_url, redis_url, tmp_path, {PBX: account(pbx)}, samples=False) as stack:
        held = await busy(pbx)
        valkey.kill()
        await pbx.ended(CALLS + CALLS // 2)
        valkey.start()
        await pbx.quiet()
        await stack.ready()
        await judge.open_calls_are(list(held.values()))
        await finish(held)
        await judge.record_is_true()
        await judge.open_calls_are([])


async def test_the_link_is_cut(
    pbx: Simulator, judge: Judge, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with product(database_url, redis_url, tmp_path, {PBX: account(pbx)}, samples=False) as stack:
        held = await busy(pbx)
        blind = Blind(pbx.engine.pbx.now)
        pbx.drop_clients()
        await seen_again(pbx, stack)
        blind.ended = pbx.engine.pbx.now
        await pbx.quiet()
        await judge.open_calls_are(list(held.values()))
        await finish(held)
        await judge.record_is_true(blind)
        await judge.open_calls_are([])


async def test_the_pbx_restarts(
    pbx: Simulator, judge: Judge, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with product(database_url, redis_url, tmp_path, {PBX: account(pbx)}, samples=False) as stack:
        await busy(pbx)
        blind = Blind(pbx.engine.pbx.now)
        pbx.restart()
        await seen_again(pbx, stack)
        blind.ended = pbx.engine.pbx.now
        await pbx.quiet()
        await judge.record_is_true(blind)
        await judge.open_calls_are([])


async def test_the_listener_is_killed(
    pbx: Simulator, judge: Judge, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    targets = [one for one in PIECES if one is not Target.LISTENER]
    async with product(database_url, redis_url, tmp_path, {}, samples=False, targets=targets):
        async with listener(pbx, redis_url, database_url, tmp_path):
            held = await busy(pbx)
        blind = Blind(pbx.engine.pbx.now, blur=BLUR_BESIDE)  # it was killed just now
        async with listener(pbx, redis_url, database_url, tmp_path):
            blind.ended = pbx.engine.pbx.now
            await pbx.quiet()
            await judge.open_calls_are(list(held.values()))
            await finish(held)
            await judge.record_is_true(blind)
            await judge.open_calls_are([])


async def test_the_listener_that_speaks_is_killed_beside_another(
    pbx: Simulator, judge: Judge, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """The other one has seen everything: not one call may be recorded otherwise than it was."""
    targets = [one for one in PIECES if one is not Target.LISTENER]
    async with (
        product(database_url, redis_url, tmp_path, {}, samples=False, targets=targets),
        AsyncExitStack() as running,
    ):
        begun = (listener(pbx, redis_url, database_url, tmp_path / name) for name in ("one", "two"))
        both = await asyncio.gather(*(running.enter_async_context(one) for one in begun))
        speaker, standby = sorted(both, key=Listener.speaks, reverse=True)
        assert (speaker.speaks(), standby.speaks()) == (True, False)
        held = await busy(pbx)
        speaker.kill()
        await pbx.quiet()
        await judge.open_calls_are(list(held.values()))
        assert standby.speaks()
        await finish(held)
        await judge.record_is_true()
        await judge.open_calls_are([])


async def seen_again(pbx: Simulator, stack: Stack) -> None:
    """Wait until a client has logged in anew and the product says that it sees the PBX."""
    await pbx.watched()
    await stack.ready()


@dataclass(frozen=True)
class Listener:
    """A listener that is a process of its own."""

    process: asyncio.subprocess.Process
    log: Path

    def speaks(self) -> bool:
        """Has it become the one that speaks for the PBX?"""
        return SPEAKS in self.log.read_text()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)


@asynccontextmanager
async def listener(
    pbx: Simulator, redis_url: str, database_url: str, folder: Path
) -> AsyncIterator[Listener]:
    """`callcard run listener`, a process of its own; it sees the PBX when this yields, and is killed in the end."""
    settings, port = account(pbx), free_port()
    env = {
        "CALLCARD_REDIS__URL": redis_url,
        "CALLCARD_DATABASE__URL": database_url,
        "CALLCARD_AUTH__SECRET": "a secret of the tests, long enough",
        "CALLCARD_DATA_DIR": str(folder),
        "CALLCARD_HTTP__PORT": str(port),
        "CALLCARD_PBX__MAIN__HOST": settings.host,
        "CALLCARD_PBX__MAIN__PORT": str(settings.port),
        "CALLCARD_PBX__MAIN__USERNAME": settings.username,
        "CALLCARD_PBX__MAIN__SECRET": settings.secret.get_secret_value(),
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CALLCARD_")}
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    log = folder / "listener.log"
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.cli.main", "run", "listener",
            env={**inherited, **env}, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(START_SECONDS):
            while True:
                try:
                    if (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200:
                        break
                except httpx.HTTPError:
                    assert process.returncode is None, log.read_text()[-3000:]
                await asyncio.sleep(LOOK_AGAIN)
        yield Listener(process, log)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
