"""The engine on a real PostgreSQL: each rule of a load."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.customers.bulk.load import Report, load
from card_api.customers.bulk.rows import Checked, How, check_rows
from card_api.customers.bulk.store import Status, Store
from card_api.customers.bulk.text import RawRow
from card_api.customers.bulk.worker import Worker
from card_api.events.outbox import Event, EventType, NobodyListens
from shared.db import create_engine

HOW = How("RU")
Load = Callable[..., Any]


def customer(external_id: str, **fields: Any) -> dict[str, Any]:
    return {"source": "crm", "external_id": external_id, "name": f"Иванов {external_id}"} | fields


async def here(rows: Sequence[RawRow]) -> list[Checked]:
    return check_rows(rows, HOW)


async def feed(*customers: dict[str, Any] | bytes) -> AsyncIterator[list[RawRow]]:
    for line, one in enumerate(customers, 1):
        yield [RawRow(line, one if isinstance(one, bytes) else orjson.dumps(one))]


async def loaded(
    engine: AsyncEngine, *customers: dict[str, Any] | bytes, batch: int = 1000, **store: Any
) -> list[Report]:
    keeper = Store(engine, store.pop("outbox", NobodyListens()), **store)
    return [r async for reports in load(feed(*customers), here, keeper, batch) for r in reports]


def statuses(reports: Sequence[Report]) -> str:
    return "".join(report.status[0:2] for report in reports)


async def column(engine: AsyncEngine, statement: str) -> list[Any]:
    async with engine.connect() as connection:
        return list((await connection.execute(text(statement))).scalars())


FULL = customer(
    "1",
    category="gold",
    tags=["a", "b"],
    attributes={"floor": 3, "none": None},
    preferences={"call after": "18:00"},
    phones=["8 903 123-45-67 / 8 (495) 123-45-68", {"number": "101", "purpose": "work"}],
    names=["Пётр"],
    people=[{"name": "Инна", "role": "бухгалтер"}],
    accounts=[{"number": "Д-1", "status": "ok"}],
    orders=[
        {
            "number": "7",
            "title": "Роутер",
            "amount": "3990.5",
            "ordered_at": "2026-01-02T03:04:05.678901+03:00",
        }
    ],
    tickets=[
        {"number": "T-1", "subject": "Нет связи", "status": "открыта", "opened_at": "2026-01-02T03:04:05Z"}
    ],
)


async def test_created_then_unchanged_then_updated(engine: AsyncEngine) -> None:
    assert statuses(await loaded(engine, FULL, customer("2"))) == "crcr"
    before = await column(
        engine, "select revision || ' ' || updated_at || ' ' || xmin from customers order by external_id"
    )
    (first, second) = await loaded(engine, FULL, customer("2"))
    assert (first.status, second.status) == (Status.UNCHANGED, Status.UNCHANGED)
    assert first.id is not None
    assert before == await column(
        engine, "select revision || ' ' || updated_at || ' ' || xmin from customers order by external_id"
    ), "an unchanged row writes nothing"
    assert statuses(await loaded(engine, FULL | {"orders": []}, customer("2"))) == "upun"
    assert await column(engine, "select revision from customers order by external_id") == [2, 1]
    assert await column(engine, "select count(*) from orders") == [0]
    assert await column(engine, "select count(*) from tickets") == [1]
    assert await column(engine, "select label from categories") == ["gold"]


async def test_what_others_said_stays(engine: AsyncEngine) -> None:
    await loaded(engine, FULL)
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "insert into customer_phones (customer_id, e164, as_typed, source) "
                "select id, '+79990000001', 'x', 'callcard' from customers"
            )
        )
    await loaded(engine, FULL | {"phones": ["+7 903 000-00-01"]})
    assert sorted(await column(engine, "select e164 from customer_phones")) == [
        "+79030000001",
        "+79990000001",
    ]


async def test_a_bad_row_never_stops_the_others(engine: AsyncEngine) -> None:
    reports = await loaded(engine, customer("1"), b"{broken", customer("3", name=""), customer("4"))
    assert [(r.line, str(r.status)) for r in reports] == [
        (1, "created"),
        (2, "failed"),
        (3, "failed"),
        (4, "created"),
    ]
    assert reports[2].errors and reports[2].external_id == "3"
    assert sorted(await column(engine, "select external_id from customers")) == ["1", "4"]


async def test_a_value_the_database_refuses_fails_its_own_row_only(engine: AsyncEngine) -> None:
    # Longer than an index takes, and nothing that packs well: the validation has no reason to refuse it.
    long = "".join(chr(0x4E00 + n * 7919 % 20000) for n in range(990))
    rows = [customer(str(n)) for n in range(9)]
    rows[5] = customer("5", phones=[long])
    reports = await loaded(engine, *rows)
    assert [r.status for r in reports].count(Status.CREATED) == 8
    assert reports[5].status is Status.FAILED and "the database refuses it" in reports[5].errors[0]
    assert long not in reports[5].errors[0]


async def test_of_one_customer_in_two_rows_the_last_counts(engine: AsyncEngine) -> None:
    first, last = await loaded(engine, customer("1", name="Old"), customer("1", name="New"))
    assert (first.status, last.status) == (Status.UNCHANGED, Status.CREATED)
    assert first.note == "line 2 says this customer again"
    assert await column(engine, "select name from customers") == ["New"]
    assert statuses(await loaded(engine, customer("1", name="A"), customer("1", name="B"), batch=1)) == "upup"


async def test_a_dry_run_says_the_same_and_does_nothing(engine: AsyncEngine) -> None:
    await loaded(engine, customer("1"), customer("2"))
    reports = await loaded(
        engine, customer("1"), customer("2", name="B"), customer("3", category="new"), dry_run=True
    )
    assert statuses(reports) == "unupcr"
    assert await column(engine, "select count(*) from customers") == [2]
    assert await column(engine, "select count(*) from categories") == [0]


class Heard:
    def __init__(self) -> None:
        self.events: list[Event] = []

    async def add(self, connection: AsyncConnection, events: Sequence[Event]) -> None:
        assert connection.in_transaction()
        self.events += events

    async def wanted(self, *types: EventType) -> bool:
        return True


async def test_an_event_for_each_record_that_was_made_or_changed(engine: AsyncEngine) -> None:
    await loaded(engine, customer("1"), customer("2"))
    heard = Heard()
    await loaded(engine, customer("1"), customer("2", name="B"), FULL | {"external_id": "3"}, outbox=heard)
    assert {(e.type, e.data["external_id"]) for e in heard.events} == {
        (EventType.CUSTOMER_CHANGED, "2"),
        (EventType.CUSTOMER_CREATED, "3"),
    }
    heard.events.clear()
    await loaded(engine, customer("2", name="C"), outbox=heard, dry_run=True)
    assert heard.events == []


async def test_two_loads_of_the_same_customers_at_once(engine: AsyncEngine, database_url: str) -> None:
    other = create_engine(database_url)
    rows = [customer(str(n), phones=[f"+7903{n:07}"]) for n in range(120)]
    try:
        here_, there = await asyncio.gather(
            loaded(engine, *rows, batch=40), loaded(other, *rows[::-1], batch=30)
        )
    finally:
        await other.dispose()
    assert {r.status for r in [*here_, *there]} <= {Status.CREATED, Status.UNCHANGED}
    assert sum(r.status is Status.CREATED for r in [*here_, *there]) == 120
    assert await column(engine, "select count(*) from customer_phones") == [120]


async def test_memory_is_that_of_some_batches_and_stopping_stops_behind_a_batch(engine: AsyncEngine) -> None:
    given_out = 0

    async def endless() -> AsyncIterator[list[RawRow]]:
        nonlocal given_out
        while True:
            given_out += 10
            yield [RawRow(given_out - 10 + n, orjson.dumps(customer(str(given_out + n)))) for n in range(10)]

    reports = load(endless(), here, Store(engine, NobodyListens()), 20)
    assert len(await anext(reports)) == 20
    assert given_out <= 60, "whoever does not take reports is given no rows"
    await reports.aclose()
    assert await column(engine, "select count(*) from customers") == [20]


async def test_a_pause_stores_what_is_there(engine: AsyncEngine) -> None:
    more = asyncio.Event()

    async def slowly() -> AsyncIterator[list[RawRow]]:
        yield [RawRow(1, orjson.dumps(customer("1")))]
        yield []
        await more.wait()
        yield [RawRow(2, orjson.dumps(customer("2")))]

    reports = load(slowly(), here, Store(engine, NobodyListens()), 20)
    assert [r.line for r in await anext(reports)] == [1]
    more.set()
    assert [r.line for r in await anext(reports)] == [2]
    await reports.aclose()


async def test_the_worker_answers_as_here_and_a_new_one_takes_over_from_a_killed_one() -> None:
    worker = Worker()
    rows = [RawRow(1, orjson.dumps(FULL)), RawRow(2, b"{broken")]
    try:
        assert await worker.check(rows, HOW) == check_rows(rows, HOW)
        (process,) = worker._ready()._processes.values()
        process.kill()
        assert await worker.check(rows, HOW) == check_rows(rows, HOW)
    finally:
        await worker.close()


words = st.text("abЖё,;\" '", min_size=1, max_size=12).filter(str.strip)
numbers = st.sampled_from(
    ["8 903 123-45-67", "8(495)1234568 доб 3", "101", "нет", "моб +79991112233, Анна", "x"]
)
anybody = st.fixed_dictionaries(
    {"external_id": st.sampled_from("ABCDEF"), "name": words},
    optional={
        "phones": st.lists(numbers, max_size=3),
        "names": st.lists(words, max_size=3),
        "people": st.lists(st.fixed_dictionaries({"name": words}), max_size=3),
        "tags": st.lists(words, max_size=3),
        "category": words,
        "accounts": st.lists(st.fixed_dictionaries({"number": st.sampled_from("123")}), max_size=3),
        "attributes": st.dictionaries(words, st.none() | st.integers(-5, 5) | words, max_size=2),
    },
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(anybody, min_size=1, max_size=12))
def test_the_same_file_again_changes_nothing(rows: list[dict[str, Any]], database_url: str) -> None:
    async def twice() -> None:
        engine = create_engine(database_url)
        try:
            said = [{"source": "crm"} | row for row in rows]
            await loaded(engine, *said)
            assert {r.status for r in await loaded(engine, *said)} == {Status.UNCHANGED}
        finally:
            await engine.dispose()

    asyncio.run(twice())


@pytest.mark.parametrize("country", ["RU", "GB"])
async def test_numbers_are_read_in_the_country_of_the_customer(engine: AsyncEngine, country: str) -> None:
    await loaded(engine, customer("1", country=country, phones=["020 7946 0123"]))
    (e164,) = await column(engine, "select e164 from customer_phones")
    assert (e164 == "+442079460123") == (country == "GB")
