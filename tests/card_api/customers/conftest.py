"""A CRM's client of a running card API with an empty database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.agents.repository import AgentRepository
from card_api.agents.service import AgentDirectory
from card_api.api_keys.gate import KeyGate
from card_api.api_keys.repository import ApiKeyRepository
from card_api.api_keys.service import ApiKeyService
from card_api.app import now_utc
from card_api.audit.repository import AuditRepository
from card_api.audit.service import AuditService
from card_api.auth.access import Access
from card_api.auth.endings import TokenEndings
from card_api.background import running
from card_api.body_limit import BodyLimit
from card_api.customers.wiring import customers
from card_api.idempotency.service import Idempotency
from card_api.webhooks.book import HookBook
from card_api.webhooks.outbox import HookOutbox
from shared.errors import install_error_handlers
from shared.jwks import Tokens
from shared.settings import Settings
from tests.card_api.conftest import SECRET

CUSTOMERS = "/api/v1/customers"
NUMBER = "+79001112233"
FORGOTTEN = "told to forget callers"
"""Key in Redis: every process was told so."""


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


@asynccontextmanager
async def customers_api(engine: AsyncEngine, redis: Redis) -> AsyncIterator[httpx.ASGITransport]:
    """The routes of customers with all that is behind them, and nothing else of the API: it starts in no time."""
    app = FastAPI()
    install_error_handlers(app)
    audit = AuditService(AuditRepository(engine))
    directory = AgentDirectory(AgentRepository(engine), redis)
    keys = KeyGate(ApiKeyService(ApiKeyRepository(engine), now_utc), per_second=10_000)
    tokens = Tokens(Settings().auth, SECRET)
    endings = TokenEndings(AgentRepository(engine), redis, now_utc)
    access = Access(tokens.verify, directory, endings, keys, now_utc)
    outbox = HookOutbox(HookBook(engine))
    idempotency = Idempotency(engine)

    async def forget() -> None:
        await redis.set(FORGOTTEN, 1)

    for router in customers(engine, audit, access, outbox, idempotency, redis, forget, "RU", now_utc):
        app.include_router(router)
    app.add_middleware(BodyLimit)
    async with running(audit.run):
        yield httpx.ASGITransport(app)


@pytest.fixture
async def address(engine: AsyncEngine, redis: Redis) -> AsyncIterator[httpx.ASGITransport]:
    async with customers_api(engine, redis) as transport:
        yield transport


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
