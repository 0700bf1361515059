"""Calls of every kind at full speed through the whole product: what is recorded is what was."""

from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from ami_listener.invariants import of_call
from bench.soak import configuration
from bench.soak_product import Soak, save_agents
from bench.soak_verdict import Verdict
from card_api.calls.models import calls
from services.simulator import Simulator
from services.simulator.config import FULL_ACCOUNT
from shared.contracts.call import Call
from shared.settings import PbxSettings
from tests.e2e.stack import product

CALLS = 300


async def test_every_kind_of_call_is_recorded_as_it_was(
    engine: AsyncEngine, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    config = configuration(seed=2, time_scale=float("inf"))
    await save_agents(engine, config.agents)
    async with Simulator(config) as pbx:
        host, port = pbx.address
        account = PbxSettings(
            host=host, port=port, username=FULL_ACCOUNT.username, secret=SecretStr(FULL_ACCOUNT.secret)
        )
        async with product(database_url, redis_url, tmp_path, {"soak": account}, samples=False):
            verdict = Verdict()
            await Soak(pbx, "soak", engine, verdict).slice(CALLS)
            broken = [found for call in await _stored(engine) for found in of_call(call)]
    assert verdict.good, "\n".join(map(str, verdict.shown))
    assert verdict.compared >= CALLS
    assert not broken, "\n".join(map(str, broken[:10]))


async def _stored(engine: AsyncEngine) -> list[Call]:
    async with engine.connect() as connection:
        documents = (await connection.execute(select(calls.c.document))).scalars()
        return [Call.model_validate(document) for document in documents]
