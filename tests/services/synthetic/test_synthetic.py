"""Synthetic customers and calls: the same for the same seed, as the product would have stored them."""

from array import array
from collections import Counter
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import asyncpg
import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.customers.bulk.load import load
from card_api.customers.bulk.rows import How, check_rows
from card_api.customers.bulk.store import Status, Store
from card_api.customers.bulk.text import RawRow
from card_api.customers.schemas import CustomerWrite
from card_api.events.outbox import NobodyListens
from services.synthetic.calls import calls
from services.synthetic.people import customers
from services.synthetic.tables import (
    count_synthetic,
    open_connection,
    other_sources,
    put_calls,
    put_customers,
    remove,
    tidy,
)
from shared.contracts.call import Call
from shared.numbers import numbers_in

NOW = datetime(2026, 11, 22, tzinfo=UTC)
SOME = 400


def test_the_same_seed_gives_the_same() -> None:
    first, again = list(islice(customers(7, NOW), 50)), list(islice(customers(7, NOW), 200))
    assert first == again[:50]
    assert list(islice(customers(8, NOW), 50)) != first


def test_each_is_a_customer_the_product_takes_and_its_numbers_are_found() -> None:
    for one in islice(customers(1, NOW), SOME):
        CustomerWrite.model_validate(one.as_json())
        for number in one.phones:
            (entry,) = numbers_in(number.field, "RU")
            assert (entry.e164, entry.typed, entry.extension, entry.purpose, entry.remark or None) == (
                number.e164,
                number.typed,
                number.extension,
                number.purpose,
                number.remark,
            ), number.field


def test_there_is_something_of_everything() -> None:
    many = list(islice(customers(1, NOW), 4000))
    numbers = Counter(phone.e164 for one in many for phone in one.phones)
    assert 1.35 < sum(numbers.values()) / len(many) < 1.65, "numbers a customer"
    assert sum(times > 1 for times in numbers.values()) > 20, "shared ones"
    assert {one.fields.get("category") for one in many} == {None, "vip", "debtor", "partner"}
    assert {one.fields["kind"] for one in many} == {"person", "company"}
    for part in ("people", "names", "orders", "tickets", "tags", "attributes", "preferences", "greet_as"):
        assert any(one.fields.get(part) for one in many), part


def test_calls_are_whole_and_before_now() -> None:
    made = list(islice(calls(1, array("Q", [79031234567]), NOW), 300))
    for one in made:
        call = Call.model_validate_json(one.document)
        assert (call.call_id, call.started_at, call.answered_at, call.ended_at) == (
            one.call_id,
            one.started_at,
            one.answered_at,
            one.ended_at,
        )
        assert (call.direction, call.end_reason, call.missed) == (one.direction, one.end_reason, one.missed)
        assert one.ended_at < NOW
    assert sum(one.customer_number == "+79031234567" for one in made) > 200
    assert {one.end_reason for one in made} == {"completed", "abandoned", "no_answer"}
    assert next(calls(1, array("Q"), NOW)).customer_number.startswith("+79")


TABLES: dict[str, str] = {
    "customers": "id, source, external_id, kind, name, greet_as, category, manager, tags, attributes, preferences",
    "customer_phones": "customer_id, e164, as_typed, purpose, kind, extension, remark, source",
    "customer_names": "customer_id, name, source",
    "customer_people": "customer_id, name, role, source",
    "accounts": "customer_id, source, external_id, number, status, product",
    "orders": "customer_id, source, external_id, number, title, status, amount, currency, ordered_at",
    "tickets": "customer_id, source, external_id, number, subject, status, opened_at, closed_at",
}


async def contents(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[str, list[Any]]:
    return {
        table: [
            tuple(row) for row in await connection.fetch(f"select {columns} from {table} order by {columns}")
        ]
        for table, columns in TABLES.items()
    }


async def test_copied_into_the_tables_they_are_as_if_a_crm_had_loaded_them(
    engine: AsyncEngine, database_url: str
) -> None:
    connection = await open_connection(database_url)
    numbers = array("Q")
    assert [n async for n in put_customers(connection, islice(customers(1, NOW), SOME), numbers)] == [SOME]
    copied = await contents(connection)
    assert len(copied["customer_phones"]) == len(numbers)

    async def rows() -> Any:
        for line, one in enumerate(islice(customers(1, NOW), SOME), 1):
            yield [RawRow(line, orjson.dumps(one.as_json()))]

    async def check(batch: Any) -> Any:
        return check_rows(batch, How("RU"))

    reports = [r async for some in load(rows(), check, Store(engine, NobodyListens())) for r in some]
    assert {r.status for r in reports} == {Status.UPDATED}, (
        "there, and said by their source for the first time"
    )
    assert await contents(connection) == copied

    assert [n async for n in put_calls(connection, islice(calls(1, numbers, NOW), 500))] == [500]
    await tidy(connection)
    assert (await count_synthetic(connection), await other_sources(connection)) == (SOME, [])
    with pytest.raises(asyncpg.UniqueViolationError):
        [n async for n in put_customers(connection, islice(customers(1, NOW), 3), numbers)]
    assert [n async for n in remove(connection)] == [SOME, SOME + 500]
    assert await count_synthetic(connection) == 0
    await connection.close()
