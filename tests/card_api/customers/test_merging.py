"""Several records, one customer."""

import asyncio
from typing import Any

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from tests.card_api.customers.conftest import CUSTOMERS, NUMBER, made
from tests.card_api.test_rest import assert_problem


async def merge(crm: httpx.AsyncClient, into: str, *duplicates: str) -> httpx.Response:
    return await crm.post(f"{CUSTOMERS}/{into}/merge", json={"duplicates": list(duplicates)})


async def get(crm: httpx.AsyncClient, id_: str) -> dict[str, Any]:
    body: dict[str, Any] = (await crm.get(f"{CUSTOMERS}/{id_}")).json()
    return body


class TestMerge:
    async def test_never_a_chain_and_back_again(self, crm: httpx.AsyncClient) -> None:
        a, b, c = [(await made(crm, external_id=str(n)))["id"] for n in range(3)]
        assert (await merge(crm, b, c)).json()["merged"] == [c]
        merged = await merge(crm, a, b)
        assert (merged.status_code, merged.headers["etag"]) == (200, '"2"')
        assert sorted(merged.json()["merged"]) == sorted([b, c]), "what stood behind the duplicate, too"
        assert [(await get(crm, x))["merged_into"] for x in (a, b, c)] == [None, a, a]
        assert (await merge(crm, a, b, c)).json() == merged.json(), "once more changes nothing"
        unmerged = await crm.post(f"{CUSTOMERS}/{c}/unmerge")
        assert (unmerged.status_code, unmerged.json()["merged_into"]) == (200, None)
        assert (await get(crm, a))["merged"] == [b]

    async def test_what_cannot_be(self, crm: httpx.AsyncClient) -> None:
        a, b, c = [(await made(crm, external_id=str(n)))["id"] for n in range(3)]
        await merge(crm, a, b)
        nobody = "0b7e5a0e-3d2c-4f6e-9d65-0b2f0e6c7a11"
        for answer, says in [
            (await merge(crm, b, c), a),
            (await merge(crm, c, b), a),
            (await merge(crm, c, c), "itself"),
            (await crm.post(f"{CUSTOMERS}/{a}/unmerge"), "nobody"),
        ]:
            assert_problem(answer, 409, "conflict")
            assert says in answer.json()["detail"]
        assert_problem(await merge(crm, a, nobody), 404, "not-found")
        assert_problem(await merge(crm, nobody, a), 404, "not-found")
        assert_problem(await merge(crm, a), 422, "invalid")

    async def test_its_source_goes_on_with_a_merged_record(self, crm: httpx.AsyncClient) -> None:
        a, b = [(await made(crm, external_id=str(n)))["id"] for n in range(2)]
        await merge(crm, a, b)
        answer = await crm.put(f"{CUSTOMERS}/crm/1", json={"name": "N"})
        assert (answer.status_code, answer.json()["merged_into"]) == (200, a)

    async def test_without_the_survivor_they_are_customers_of_their_own(self, crm: httpx.AsyncClient) -> None:
        a, b = [(await made(crm, external_id=str(n)))["id"] for n in range(2)]
        await merge(crm, a, b)
        before = await get(crm, b)
        await crm.delete(f"{CUSTOMERS}/{a}")
        after = await get(crm, b)
        assert (after["merged_into"], after["revision"]) == (None, before["revision"] + 1)

    async def test_into_each_other_at_once_is_no_ring(self, crm: httpx.AsyncClient) -> None:
        a, b = [(await made(crm, external_id=str(n)))["id"] for n in range(2)]
        answers = await asyncio.gather(merge(crm, a, b), merge(crm, b, a))
        assert sorted(x.status_code for x in answers) == [200, 409]
        assert sorted([(await get(crm, x))["merged_into"] is None for x in (a, b)]) == [False, True]


async def test_web_hooks_hear_of_each_change_once(crm: httpx.AsyncClient, engine: AsyncEngine) -> None:
    events = ["customer.created", "customer.changed", "customer.deleted"]
    hook = {"url": "https://crm.example/hook", "events": events}
    async with engine.begin() as connection:
        await connection.execute(
            text("insert into webhooks (name, url, events) values ('CRM', :url, :events)"), hook
        )
    first = await made(crm, external_id="1")
    at = f"{CUSTOMERS}/{first['id']}"
    said = {"name": first["name"], "phones": [NUMBER]}
    for _ in range(2):
        assert (await crm.put(f"{CUSTOMERS}/crm/1", json=said)).headers["etag"] == '"2"'
        assert (await crm.patch(at, json={"manager": None}, headers={"If-Match": '"2"'})).status_code == 200
    await crm.patch(at, json={"manager": "101"}, headers={"If-Match": '"2"'})
    other = await made(crm, external_id="2")
    await crm.post(f"{at}/merge", json={"duplicates": [other["id"]]})
    assert (await crm.delete(at)).status_code == 204
    told = "select type, subject, payload -> 'data' ->> 'revision' from webhook_deliveries order by id"
    async with engine.connect() as connection:
        found = [tuple(row) for row in await connection.execute(text(told))]
    assert found == [
        ("customer.created", first["id"], "1"),
        ("customer.changed", first["id"], "2"),
        ("customer.changed", first["id"], "3"),
        ("customer.created", other["id"], "1"),
        ("customer.changed", first["id"], "4"),
        ("customer.changed", other["id"], "2"),
        ("customer.deleted", first["id"], None),
        ("customer.changed", other["id"], "3"),
    ]
