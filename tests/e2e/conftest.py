"""The product against a simulated PBX."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

import pytest
from pydantic import SecretStr

from services.simulator.config import FULL_ACCOUNT, LEAST_ACCOUNT, SimAccount, SimCaller, SimulatorConfig
from services.simulator.simulator import Simulator
from shared.settings import PbxSettings
from tests.e2e.stack import Stack, product

CLIENT = SimCaller("+79001112233")
# Whom the sample customers have at CLIENT.
CLIENT_NAME = "Иванов Пётр Сергеевич"


class Start(Protocol):
    """Starts the product; `wait=False` returns before everything is ready."""

    def __call__(
        self, account: SimAccount = FULL_ACCOUNT, **more: Any
    ) -> AbstractAsyncContextManager[Stack]: ...


@pytest.fixture
async def pbx() -> AsyncIterator[Simulator]:
    """A quiet simulated PBX: calls are placed by the test, at the test's pace."""
    async with Simulator(SimulatorConfig()) as simulator:
        yield simulator


@pytest.fixture
def database_template(request: pytest.FixtureRequest) -> str:
    """With the samples for a test that starts the product by `start`."""
    name: str = request.getfixturevalue("sampled" if "start" in request.fixturenames else "_migrated")
    return name


@pytest.fixture
def start(pbx: Simulator, database_url: str, redis_url: str, tmp_path: Path) -> Start:
    def begin(account: SimAccount = FULL_ACCOUNT, **more: Any) -> AbstractAsyncContextManager[Stack]:
        host, port = pbx.address
        settings = PbxSettings(
            host=host, port=port, username=account.username, secret=SecretStr(account.secret)
        )
        return product(database_url, redis_url, tmp_path, {"main": settings}, samples=False, **more)

    return begin


@pytest.fixture
async def stack(start: Start) -> AsyncIterator[Stack]:
    async with start() as running:
        yield running


@pytest.fixture(params=[FULL_ACCOUNT, LEAST_ACCOUNT], ids=["read=all", "read=call,agent"])
def account(request: pytest.FixtureRequest) -> SimAccount:
    found: SimAccount = request.param
    return found


async def link(stack: Stack, state: str) -> None:
    """Wait until the product says so about its PBX."""
    token = await stack.token("101")
    async with asyncio.timeout(15):
        while True:
            answer = await stack.http.get("/api/v1/pbx", headers={"Authorization": f"Bearer {token}"})
            if any(one["link"] == state for one in _items(answer.json())):
                return
            await asyncio.sleep(0.02)


def _items(body: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body if isinstance(body, list) else next(iter(body.values()))
    return found
