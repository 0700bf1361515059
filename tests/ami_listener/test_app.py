"""The whole listener: a simulated PBX on one side, a real Valkey on the other."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
from pydantic import SecretStr
from redis.asyncio import Redis

from ami_listener.app import ami_listener
from services.embedded import EmbeddedValkey
from services.simulator import FULL_ACCOUNT, LEAST_ACCOUNT, SimAccount, Simulator, SimulatorConfig, Stage
from shared import bus
from shared.contracts.call import CallState, CallUpdate, PbxLink, PbxStatus
from shared.settings import PbxSettings, Settings


def settings(folder: Path, port: int, account: SimAccount = FULL_ACCOUNT) -> Settings:
    pbx = PbxSettings(port=port, username=account.username, secret=SecretStr(account.secret))
    return Settings(pbx={"main": pbx}, data_dir=folder)


@asynccontextmanager
async def running(configured: Settings, redis_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        ami_listener(configured, redis_url=redis_url) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://listener") as client,
    ):
        yield client


class Stream:
    """Reads updates in order; keeps the newest of each call."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._last = "0"
        self.newest: dict[str, CallUpdate] = {}

    async def until(self, state: CallState, call_id: str | None = None) -> CallUpdate:
        """Until some call, or this one, is in this state."""
        while True:
            for update in self.newest.values():
                if update.call.state is state and call_id in (None, update.call_id):
                    return update
            for _, entries in await self._redis.xread({bus.CALLS_STREAM: self._last}, block=5000) or []:
                for entry, fields in entries:
                    self._last = entry
                    if bus.decode_roster(fields) is not None:
                        continue
                    update = bus.decode_update(fields)
                    known = self.newest.get(update.call_id)
                    assert known is None or known.version < update.version
                    self.newest[update.call_id] = update


async def readiness(client: httpx.AsyncClient, says: Callable[[httpx.Response], bool]) -> httpx.Response:
    """Ask until the answer is so."""
    # HTTP has no event to wait for.
    while not says(answer := await client.get("/readyz")):  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    return answer


async def ready(client: httpx.AsyncClient) -> None:
    await readiness(client, lambda answer: answer.status_code == 200)


async def test_a_call_goes_through_and_the_gauges_follow(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    async with (
        Simulator(SimulatorConfig(seed=1)) as pbx,
        running(settings(tmp_path, pbx.address[1]), redis_url) as client,
    ):
        await ready(client)
        call = await pbx.place("answered_queue_call", pace="manual")
        stream = Stream(redis)
        while Stage.RINGING not in call.stages:
            await call.proceed()
        ringing = await stream.until(CallState.RINGING)
        assert ringing.call_id == f"main-{call.uniqueid}"
        assert {leg.endpoint for leg in ringing.call.legs} == set(call.ringing)
        assert 'callcard_open_calls{pbx="main"} 1.0' in (await client.get("/metrics")).text
        while Stage.ENDED not in call.stages:
            await call.proceed()
        ended = await stream.until(CallState.ENDED)
        assert ended.call_id == ringing.call_id
        assert ended.call.end_reason == call.truth.end_reason
        raw = await redis.get(bus.pbx_status_key("main"))
        assert PbxStatus.model_validate_json(raw).link is PbxLink.UP
        metrics = (await client.get("/metrics")).text
        assert 'callcard_pbx_up{pbx="main"} 1.0' in metrics
        assert "callcard_updates_lost_total 0.0" in metrics
        assert (await client.get("/healthz")).json() == {"status": "ok"}


async def test_the_least_privileged_account_is_enough(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    async with (
        Simulator(SimulatorConfig(seed=1)) as pbx,
        running(settings(tmp_path, pbx.address[1], LEAST_ACCOUNT), redis_url) as client,
    ):
        await ready(client)
        call = await pbx.place("answered_queue_call", pace="manual")
        while Stage.ENDED not in call.stages:
            await call.proceed()
        ended = await Stream(redis).until(CallState.ENDED)
        assert ended.call.end_reason == call.truth.end_reason


async def test_readiness_says_what_is_missing(redis_url: str, tmp_path: Path) -> None:
    wrong = SimAccount("callcard", "wrong")
    async with (
        Simulator(SimulatorConfig(seed=1)) as pbx,
        running(settings(tmp_path, pbx.address[1], wrong), redis_url) as client,
    ):
        answer = await readiness(client, lambda answer: "refused" in answer.text)
        assert answer.status_code == 503
        assert "manager.conf" in answer.json()["reasons"][0]
        assert "wrong" not in answer.text
        assert (await client.get("/healthz")).status_code == 200


async def test_neither_redis_nor_the_pbx_need_be_there_at_the_start(
    tmp_path: Path, server_folder: Path
) -> None:
    folder = server_folder / f"late-{tmp_path.name}"
    folder.mkdir(mode=0o755)
    valkey = EmbeddedValkey(folder, durable=False)
    await asyncio.to_thread(valkey.start)
    valkey.kill()
    async with running(settings(tmp_path, 1), valkey.url) as client:
        reasons = (await client.get("/readyz")).json()["reasons"]
        assert len(reasons) == 2
        assert "Redis does not answer" in reasons[1]


async def test_calls_that_end_while_redis_is_away_are_delivered_after_its_return(
    tmp_path: Path, server_folder: Path
) -> None:
    folder = server_folder / f"away-{tmp_path.name}"
    folder.mkdir(mode=0o755)
    valkey = EmbeddedValkey(folder, durable=False)
    await asyncio.to_thread(valkey.start)
    redis = bus.connect_redis(valkey.url)
    try:
        async with (
            Simulator(SimulatorConfig(seed=1)) as pbx,
            running(settings(tmp_path, pbx.address[1]), valkey.url) as client,
        ):
            await ready(client)
            going_on = await pbx.place("answered_queue_call", pace="manual")
            while Stage.RINGING not in going_on.stages:
                await going_on.proceed()
            await Stream(redis).until(CallState.RINGING)
            valkey.kill()
            over = await pbx.place("direct_did", pace="manual")
            while Stage.ENDED not in over.stages:
                await over.proceed()
            await readiness(client, lambda answer: answer.status_code == 503)
            await asyncio.to_thread(valkey.start)
            stream = Stream(redis)
            assert (await stream.until(CallState.ENDED)).call_id == f"main-{over.uniqueid}"
            # This Valkey forgot everything, so the call that goes on is told again.
            assert (await stream.until(CallState.RINGING)).call_id == f"main-{going_on.uniqueid}"
            assert not (tmp_path / "spool" / "ended-calls.jsonl").exists()
    finally:
        await redis.aclose()
        await asyncio.to_thread(valkey.stop)


async def test_of_two_listeners_one_speaks_and_the_other_is_ready_too(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    async with (
        Simulator(SimulatorConfig(seed=1)) as pbx,
        running(settings(tmp_path / "two", pbx.address[1]), redis_url) as two,
    ):
        # Before it is known to see the PBX it would make way for one that does.
        while await redis.hget(bus.lease_key("main"), "seeing") != b"1":
            await ready(two)
        async with running(settings(tmp_path / "one", pbx.address[1]), redis_url) as one:
            standby = await readiness(one, lambda answer: answer.json()["pbx"] == {"main": "standby"})
            await readiness(one, lambda answer: answer.json()["status"] == "standby")
            assert standby.status_code in (200, 503)
            assert 'callcard_pbx_speaker{pbx="main"} 0.0' in (await one.get("/metrics")).text
            assert 'callcard_pbx_speaker{pbx="main"} 1.0' in (await two.get("/metrics")).text
            assert 'callcard_pbx_takeovers_total{pbx="main"} 1.0' in (await two.get("/metrics")).text
        assert await redis.exists(bus.lease_key("main")), "a standby that ends takes nothing with it"
    assert not await redis.exists(bus.lease_key("main")), "given back, so that nobody waits for its end"


async def test_two_listeners_share_pbxs_each_with_settings_of_its_own(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    """One follows main and north, the other main and south: main is told once, the others by whoever has them."""
    async with AsyncExitStack() as stack:
        pbxs = {
            name: await stack.enter_async_context(Simulator(SimulatorConfig(seed=1)))
            for name in ("main", "north", "south")
        }
        for folder, names in (("one", ("main", "north")), ("two", ("main", "south"))):
            accounts = {
                name: PbxSettings(
                    port=pbxs[name].address[1],
                    username=FULL_ACCOUNT.username,
                    secret=SecretStr(FULL_ACCOUNT.secret),
                )
                for name in names
            }
            configured = Settings(pbx=accounts, data_dir=tmp_path / folder)
            client = await stack.enter_async_context(running(configured, redis_url))
            await ready(client)
        stream = Stream(redis)
        for name, pbx in pbxs.items():
            call = await pbx.place("direct_did", pace="manual")
            while Stage.ENDED not in call.stages:
                await call.proceed()
            ended = await stream.until(CallState.ENDED, f"{name}-{call.uniqueid}")
            assert ended.call.end_reason == call.truth.end_reason
        ends = [
            update.call_id
            for _, fields in await redis.xrange(bus.CALLS_STREAM)
            if bus.decode_roster(fields) is None
            and (update := bus.decode_update(fields)).call.state is CallState.ENDED
        ]
        assert len(ends) == len(set(ends)) == 3
