"""A POST that is sent twice happens once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.idempotency.repository import sweep
from card_api.idempotency.service import KEPT, Idempotency
from card_api.transaction import transaction
from tests.card_api.conftest import until
from tests.card_api.customers.conftest import CUSTOMERS, customers_api, key_of, peter
from tests.card_api.test_rest import assert_problem


@pytest.fixture
async def crm(engine: AsyncEngine, redis: Redis) -> AsyncIterator[httpx.AsyncClient]:
    headers = await key_of(engine, "customers:read", "customers:write")
    async with (
        customers_api(engine, redis) as transport,
        httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as http,
    ):
        yield http


async def post(crm: httpx.AsyncClient, key: str, body: dict[str, Any], **more: Any) -> httpx.Response:
    return await crm.post(CUSTOMERS, json=body, headers={"Idempotency-Key": key, **more})


async def count(engine: AsyncEngine, table: str) -> int:
    async with engine.connect() as connection:
        found: int = (await connection.execute(text(f"select count(*) from {table}"))).scalar_one()
    return found


async def test_the_same_again_gets_the_same_answer(crm: httpx.AsyncClient, engine: AsyncEngine) -> None:
    first = await post(crm, "a", peter())
    again = await post(crm, "a", peter())
    assert (first.status_code, again.status_code) == (201, 201)
    assert (again.content, again.headers["etag"], again.headers["location"]) == (
        first.content,
        first.headers["etag"],
        first.headers["location"],
    )
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert await count(engine, "audit_log where action = 'customer.created'") == 1
    assert_problem(await post(crm, "a", peter(name="Other")), 422, "invalid")
    assert_problem(await post(crm, "b", peter()), 409, "conflict")


async def test_keys_are_of_who_uses_them(crm: httpx.AsyncClient, engine: AsyncEngine) -> None:
    await post(crm, "a", peter())
    other = await key_of(engine, "customers:write")
    answer = await post(crm, "a", peter("C-2"), **other)
    assert (answer.status_code, answer.json()["external_id"]) == (201, "C-2")


async def test_what_failed_may_be_tried_again(crm: httpx.AsyncClient, engine: AsyncEngine) -> None:
    assert (await post(crm, "a", peter())).status_code == 201
    note = "0b7e5a0e-3d2c-4f6e-9d65-0b2f0e6c7a11/notes"
    for _ in range(2):
        answer = await crm.post(f"{CUSTOMERS}/{note}", json={"text": "x"}, headers={"Idempotency-Key": "n"})
        assert_problem(answer, 404, "not-found")
    assert await count(engine, "idempotency_keys") == 1


async def test_many_at_once_are_done_once(crm: httpx.AsyncClient, engine: AsyncEngine) -> None:
    answers = await asyncio.gather(*(post(crm, "a", peter()) for _ in range(4)))
    done = [a for a in answers if a.status_code == 201]
    assert {a.status_code for a in answers} <= {201, 409}
    assert len({a.content for a in done}) == 1
    assert sum("idempotent-replayed" not in a.headers for a in done) == 1
    assert await count(engine, "customers") == 1
    assert (await post(crm, "a", peter())).headers["idempotent-replayed"] == "true"


async def test_while_the_first_is_being_done(crm: httpx.AsyncClient, engine: AsyncEngine) -> None:
    async with engine.connect() as somebody:
        # Holds a row that the first request needs, so it cannot end yet.
        assert (await post(crm, "a", peter())).status_code == 201
        await somebody.execute(text("select * from customers for update"))
        id_ = await somebody.scalar(text("select id from customers"))
        at = f"{CUSTOMERS}/{id_}/unmerge"
        first = asyncio.create_task(crm.post(at, headers={"Idempotency-Key": "u"}))

        async def waits() -> bool:
            async with engine.connect() as connection:
                statement = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
                return bool(await connection.scalar(text(statement)))

        await until(waits)
        second = await crm.post(at, headers={"Idempotency-Key": "u"})
        assert_problem(second, 409, "conflict")
        assert "going on" in second.json()["detail"]
    assert_problem(await first, 409, "conflict")


async def test_what_is_no_key(crm: httpx.AsyncClient) -> None:
    for key in ("", "x" * 256):
        assert_problem(await post(crm, key, peter()), 422, "invalid")


async def test_old_answers_are_forgotten(crm: httpx.AsyncClient, engine: AsyncEngine) -> None:
    await post(crm, "old", peter())
    await post(crm, "new", peter("C-2"))
    async with transaction(engine) as connection:
        aged = "update idempotency_keys set at = now() - interval '25 hours' where key = 'old'"
        await connection.execute(text(aged))
    assert_problem(await post(crm, "old", peter()), 409, "conflict")
    async with transaction(engine) as connection:
        assert await sweep(connection, KEPT) == 1
    assert await count(engine, "idempotency_keys") == 1


async def test_they_are_swept_by_themselves(engine: AsyncEngine) -> None:
    async with transaction(engine) as connection:
        old = "insert into idempotency_keys values ('c', 'k', '', 200, '{}', '', now() - interval '25 hours')"
        await connection.execute(text(old))
    sweeping = asyncio.create_task(Idempotency(engine).run())

    async def swept() -> bool:
        return await count(engine, "idempotency_keys") == 0

    await until(swept)
    sweeping.cancel()
