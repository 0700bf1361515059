"""The domain of customers, put together: what card_api/app.py mounts."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from fastapi import APIRouter
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.audit.service import AuditService
from card_api.auth.access import Access
from card_api.customers.categories_router import categories_router
from card_api.customers.category_service import CategoryService
from card_api.customers.erasure.redis import RedisTraces
from card_api.customers.erasure.router import erasure_router
from card_api.customers.erasure.service import ErasureService
from card_api.customers.erasure.subject import SubjectExport
from card_api.customers.note_service import NoteService
from card_api.customers.notes_router import notes_router
from card_api.customers.number_service import NumberList
from card_api.customers.numbers import BLACK_LIST, DO_NOT_CALL
from card_api.customers.numbers_router import black_list_router, do_not_call_router
from card_api.customers.router import customers_router
from card_api.customers.service import CustomerService
from card_api.events.outbox import Outbox
from card_api.idempotency.service import Idempotency


def customers(
    engine: AsyncEngine,
    audit: AuditService,
    access: Access,
    outbox: Outbox,
    idempotency: Idempotency,
    redis: Redis,
    forget: Callable[[], Awaitable[None]],
    country: str,
    now: Callable[[], datetime],
) -> tuple[APIRouter, ...]:
    """Mount these after the bulk router. `forget`: tells all processes to forget what they remember of callers.
    `country`: of numbers without a country code."""
    service = CustomerService(engine, audit, outbox, country, now)
    erasure = ErasureService(engine, outbox, RedisTraces(redis), forget, now)
    return (
        customers_router(service, idempotency, access, country),
        notes_router(NoteService(engine, audit, now), idempotency, access),
        erasure_router(erasure, SubjectExport(engine, now), idempotency, access, country),
        categories_router(CategoryService(engine, now), access),
        do_not_call_router(NumberList(engine, DO_NOT_CALL, audit, country, now), access),
        black_list_router(NumberList(engine, BLACK_LIST, audit, country, now), access),
    )
