"""A CRM's client of a running card API with an empty database."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.api_keys.repository import ApiKeyRepository
from card_api.api_keys.service import ApiKeyService
from card_api.app import card_api, now_utc
from shared.settings import Settings
from tests.card_api.conftest import SECRET

CUSTOMERS = "/api/v1/customers"
NUMBER = "+79001112233"


async def key_of(engine: AsyncEngine, *scopes: str) -> dict[str, str]:
    """Headers of a new key with these scopes."""
    made = await ApiKeyService(ApiKeyRepository(engine), now_utc).create("CRM", list(scopes))
    return {"Authorization": f"Bearer {made}"}


def peter(external_id: str = "C-1", **fields: Any) -> dict[str, Any]:
    return {
        "source": "crm",
        "external_id": external_id,
        "name": "Иванов Пётр",
        "phones": ["8 (900) 111-22-33"],
        **fields,
    }


@pytest.fixture
async def address(database_url: str, redis_url: str) -> AsyncIterator[httpx.ASGITransport]:
    async with card_api(
        Settings(), database_url=database_url, redis_url=redis_url, auth_secret=SECRET
    ) as app:
        yield httpx.ASGITransport(app)


@pytest.fixture
async def crm(address: httpx.ASGITransport, engine: AsyncEngine) -> AsyncIterator[httpx.AsyncClient]:
    """May read and write customers."""
    headers = await key_of(engine, "customers:read", "customers:write")
    async with httpx.AsyncClient(transport=address, base_url="http://test", headers=headers) as client:
        yield client


async def made(crm: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    """A customer as the answer to its POST shows it."""
    answer = await crm.post(CUSTOMERS, json=peter(**fields))
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body
