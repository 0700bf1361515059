"""A gateway on a port of its own, and who publishes to it."""

import asyncio
import contextlib
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from shared.push import PushPublisher
from tests.push_gateway.helpers import Running, running_gateway
from tests.push_gateway.js_tab import NoNode, install

StartGateway = Callable[..., Awaitable[Running]]


@pytest.fixture
async def start_gateway(redis_url: str) -> AsyncIterator[StartGateway]:
    async with contextlib.AsyncExitStack() as stack:

        async def start(**settings: Any) -> Running:
            gateway = await stack.enter_async_context(running_gateway(redis_url, **settings))
            async with httpx.AsyncClient(verify=False) as http, asyncio.timeout(10):
                # A tab that is quicker than the link to Redis is told to try again: not what a test is about.
                while (await http.get(f"{gateway.http}/readyz")).status_code != 200:
                    pass
            return gateway

        yield start


@pytest.fixture
async def gateway(start_gateway: StartGateway) -> Running:
    return await start_gateway()


@pytest.fixture
async def publisher(redis: Redis) -> PushPublisher:
    """A publisher whose desks are whole."""
    publisher = PushPublisher(redis)
    await publisher.rebuild_desk([], [])
    return publisher


@pytest.fixture(scope="session")
def node(request: pytest.FixtureRequest) -> str:
    """The command `node`, ready to run `js_tab`."""
    cache = request.config.cache
    assert cache is not None
    try:
        return install(Path(cache.mkdir("centrifuge-js")))
    except NoNode as why:
        warnings.warn(f"centrifuge-js was NOT tested: {why}", stacklevel=1)
        pytest.skip(f"centrifuge-js was NOT tested: {why}")
