"""The list of customers: filters, pages, and an order that can be followed."""

from datetime import UTC, datetime
from typing import Any

import httpx
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.customers.search import Filters, statement
from tests.card_api.customers.conftest import CUSTOMERS, NUMBER, made
from tests.card_api.test_rest import assert_problem


async def listed(crm: httpx.AsyncClient, **filters: Any) -> list[str]:
    answer = await crm.get(CUSTOMERS, params=filters)
    assert answer.status_code == 200, answer.text
    assert answer.json()["next"] is None
    return [item["external_id"] for item in answer.json()["items"]]


async def followed(crm: httpx.AsyncClient, limit: int, **filters: Any) -> list[str]:
    """All pages."""
    found: list[str] = []
    place: dict[str, Any] = {}
    while True:
        answer = await crm.get(CUSTOMERS, params={"limit": limit, **filters, **place})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) <= limit
        found += [item["external_id"] for item in page["items"]]
        if page["next"] is None:
            return found
        place = {"cursor": page["next"]}


class TestFilters:
    async def test_each_finds_its_own(self, crm: httpx.AsyncClient) -> None:
        await made(
            crm,
            external_id="1",
            category="vip",
            tags=["новый", "b"],
            manager="101",
            accounts=[{"number": "Д-1"}],
        )
        later = await made(
            crm, external_id="2", source="billing", name="100% Ёлкин_O'Neil", phones=["+442079460123"]
        )
        third = await made(crm, external_id="3", name="Елена", phones=[], country="GB")
        await crm.post(f"{CUSTOMERS}/{later['id']}/merge", json={"duplicates": [third["id"]]})
        cases: list[tuple[dict[str, Any], list[str]]] = [
            ({"source": "billing"}, ["2"]),
            ({"external_id": "3"}, ["3"]),
            ({"source": "billing", "external_id": "3"}, []),
            ({"number": "8-900-111-22-33"}, ["1"]),
            ({"number": "+44 (20) 7946-0123"}, ["2"]),
            ({"number": "+79990000000"}, []),
            ({"account": "Д-1"}, ["1"]),
            ({"account": "Д"}, []),
            ({"category": "vip"}, ["1"]),
            ({"tag": "новый"}, ["1"]),
            ({"tag": "нов"}, []),
            ({"manager": "101"}, ["1"]),
            ({"q": "иВАН"}, ["1"]),
            ({"q": "100% ё"}, ["2"]),
            ({"q": "1%"}, []),
            ({"q": "_"}, []),
            ({"q": "100% ёлкин_o'n"}, ["2"]),
            ({"q": "Пётр"}, []),
            ({"merged": True}, ["3"]),
            ({"merged": False}, ["1", "2"]),
            ({"updated_since": later["updated_at"]}, ["3", "2"]),
            ({"updated_since": "2100-01-01T00:00:00Z"}, []),
        ]
        for filters, expected in cases:
            assert sorted(await listed(crm, **filters)) == sorted(expected), filters

    async def test_what_cannot_be_meant_is_refused(self, crm: httpx.AsyncClient) -> None:
        for params in (
            {"number": "101"},
            {"number": "hello"},
            {"cursor": "x"},
            {"cursor": "WzEsMl0"},
            {"limit": "0"},
            {"limit": "201"},
            {"limit": "a"},
            {"updated_since": "yesterday"},
            {"updated_since": "0001-01-01T00:00:00+14:00"},
            {"source": "A B"},
            {"merged": "perhaps"},
            {"tag": "x" * 101},
        ):
            assert_problem(await crm.get(CUSTOMERS, params=params), 422, "invalid")

    async def test_whatever_is_asked_for_is_a_value(self, crm: httpx.AsyncClient) -> None:
        await made(crm)
        for hostile in (
            "' or '1'='1",
            "\0",
            "%",
            "\U0010ffff",
            "\ud7ff",
            "; drop table customers",
            "📞" * 90,
        ):
            for name in ("external_id", "account", "category", "tag", "manager", "q"):
                answer = await crm.get(CUSTOMERS, params={name: hostile})
                assert answer.status_code in (200, 422), (name, hostile, answer.text)
                assert answer.status_code == 422 or answer.json()["items"] == [], (name, hostile)


class TestPages:
    async def test_each_once_in_the_order_of_their_last_change(self, crm: httpx.AsyncClient) -> None:
        for n in range(7):
            await made(crm, external_id=str(n))
        await crm.put(f"{CUSTOMERS}/crm/2", json={"name": "N"})
        expected = ["0", "1", "3", "4", "5", "6", "2"]
        for limit in (1, 3, 7, 200):
            assert await followed(crm, limit) == expected, limit
        assert await followed(crm, 2, number=NUMBER) == ["0", "1", "3", "4", "5", "6"]

    async def test_who_follows_misses_no_change_that_is_committed_late(
        self, crm: httpx.AsyncClient, engine: AsyncEngine
    ) -> None:
        """A long load has changed a customer and goes on; others come and go meanwhile."""
        late = await made(crm, external_id="late")
        async with engine.connect() as load:
            change = "update customers set name = 'New', updated_at = clock_timestamp() where id = :id"
            await load.execute(text(change), {"id": late["id"]})
            await made(crm, external_id="early")
            first = await crm.get(CUSTOMERS, params={"limit": 1})
            seen = [item["external_id"] for item in first.json()["items"]]
            assert seen == ["late"]
            assert first.json()["next"] is None, "what is newer than the load waits for it"
            await load.commit()
        since = first.json()["items"][0]["updated_at"]
        assert await listed(crm, updated_since=since) == ["late", "early"]

    async def test_a_row_that_changes_under_a_reader_comes_again(self, crm: httpx.AsyncClient) -> None:
        for n in range(3):
            await made(crm, external_id=str(n))
        page = (await crm.get(CUSTOMERS, params={"limit": 2})).json()
        await crm.put(f"{CUSTOMERS}/crm/0", json={"name": "Changed"})
        rest = (await crm.get(CUSTOMERS, params={"limit": 200, "cursor": page["next"]})).json()
        assert [item["external_id"] for item in rest["items"]] == ["2", "0"]


class TestPlans:
    async def test_few_are_found_by_their_index_whatever_is_asked_for(self, engine: AsyncEngine) -> None:
        async with engine.connect() as connection:
            for filling in (
                "insert into customers (source, external_id, name, updated_at) "
                "select 'crm', n, 'N' || n, now() - n * interval '1 s' from generate_series(1, 3000) n",
                "insert into customer_phones (customer_id, e164, as_typed) "
                "select id, '+7' || external_id, '' from customers",
                "insert into accounts (customer_id, source, external_id, number) "
                "select id, 'crm', external_id, external_id from customers",
                "analyze",
            ):
                await connection.execute(text(filling))
            for filters, index in [
                (Filters(), "customers_updated_at_idx"),
                (Filters(number="+71"), "customer_phones_e164_idx"),
                (Filters(account="1"), "accounts_number_idx"),
                (Filters(begins="n17"), "customers_name_idx"),
            ]:
                assert index in await plan_of(connection, filters)


async def plan_of(connection: AsyncConnection, filters: Filters) -> str:
    """The one plan that serves every value (shared.db)."""
    compiled = statement(filters, None, datetime.now(UTC), 50).compile(dialect=connection.dialect)
    await connection.exec_driver_sql(f"prepare listing as {compiled}")
    values = [compiled.params[name] for name in compiled.positiontup or ()]
    await connection.exec_driver_sql("set local plan_cache_mode = force_generic_plan")
    literals = ", ".join(f"'{value}'" for value in values)
    rows = await connection.exec_driver_sql(f"explain execute listing({literals})")
    found = "\n".join(row[0] for row in rows)
    await connection.exec_driver_sql("deallocate listing")
    return found
