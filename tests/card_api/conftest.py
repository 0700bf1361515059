"""The card API on real servers, and its samples."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar

import httpx
import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.api_keys.repository import ApiKeyRepository
from card_api.api_keys.service import ApiKeyService
from card_api.app import card_api, now_utc
from shared.bus import CALLS_STREAM, encode_update
from shared.contracts.call import CallUpdate
from shared.security import issue_token
from shared.settings import Settings
from tests.conftest import PASSWORD

SECRET = "a secret of the tests, long enough"

T = TypeVar("T")
Send = Callable[..., Awaitable[None]]
Client = httpx.AsyncClient


async def until(look: Callable[[], Awaitable[T]], seconds: float = 20) -> T:
    """What `look` finds, asked again and again until it finds something."""
    async with asyncio.timeout(seconds):
        while not (found := await look()):  # noqa: ASYNC110 - a server has no event to wait for
            await asyncio.sleep(0.01)
        return found


@pytest.fixture
def database_template(request: pytest.FixtureRequest) -> str:
    """With the samples for a test that asks for them."""
    name: str = request.getfixturevalue("sampled" if "samples" in request.fixturenames else "_migrated")
    return name


@pytest.fixture
def samples(database_url: str) -> None:
    """This test's database has the sample customers, agents and calls."""


@pytest.fixture(scope="session")
def starter() -> ThreadPoolExecutor:
    """A thread to start servers in while a loop runs; it must live as long as they do, so nobody ends it."""
    return ThreadPoolExecutor(1)


@pytest.fixture
def send(redis: Redis) -> Send:
    """Put updates on the bus, as a listener does."""

    async def put(*updates: CallUpdate) -> None:
        async with redis.pipeline(transaction=False) as pipeline:
            for update in updates:
                pipeline.xadd(CALLS_STREAM, encode_update(update))
            await pipeline.execute()

    return put


@pytest.fixture
async def client(database_url: str, redis_url: str, samples: None) -> AsyncIterator[Client]:
    """An HTTP client of a running card API with the samples."""
    settings = Settings(allowed_origins=["https://crm.example"])
    async with card_api(settings, database_url=database_url, redis_url=redis_url, auth_secret=SECRET) as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            # A token of ours for nobody: 503 until the agents are read, 401 then.
            nobody = issue_token(SECRET, "nobody", "agent", now_utc(), timedelta(hours=1))

            async def loaded() -> bool:
                answer = await http.get("/api/v1/me", headers={"Authorization": f"Bearer {nobody}"})
                return answer.status_code == 401

            await until(loaded)
            yield http


@pytest.fixture
async def token(client: Client) -> str:
    """Of agent 101."""
    return await sign_in(client, "101")


async def sign_in(client: Client, login: str) -> str:
    answer = await client.post("/api/v1/auth/sign-in", json={"login": login, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    got: str = answer.json()["token"]
    return got


@pytest.fixture
async def api_key(engine: AsyncEngine) -> str:
    return await ApiKeyService(ApiKeyRepository(engine), now_utc).create("CRM", ["lookup"])
