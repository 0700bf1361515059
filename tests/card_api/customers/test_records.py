"""One customer over REST: added, replaced, changed, taken away."""

import asyncio
from typing import Any

import httpx
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.audit.models import audit_log
from tests.card_api.conftest import until
from tests.card_api.customers.conftest import CUSTOMERS, NUMBER, key_of, made, peter
from tests.card_api.test_rest import assert_problem

WHOLE = peter(
    kind="company",
    greet_as="Пётр",
    category="vip",
    manager="101",
    country="RU",
    url="https://crm.example/1",
    tags=["new", "new", "old"],
    attributes={"tariff": {"name": "500"}, "since": 2019},
    preferences={"call after": "18:00"},
    phones=[
        "8 (900) 111-22-33, факс 8 495 123-00-01 доб. 12",
        {"number": "+44 20 7946 0123", "purpose": "work"},
        "101",
        "8-900-111-22-33",
    ],
    names=["Ваня", "Иванов Пётр"],
    people=[{"name": "Анна", "role": "бухгалтер"}],
    accounts=[{"number": "Д-1", "status": "active"}, {"number": "Д-2", "external_id": "x"}],
    orders=[{"number": "7", "title": "Роутер", "amount": "4500.00", "currency": "RUB"}],
    tickets=[
        {"number": "T-1", "subject": "Нет связи", "status": "open", "opened_at": "2026-11-20T09:00:00+03:00"}
    ],
)


async def stored(engine: AsyncEngine, statement: str, **values: Any) -> list[Any]:
    async with engine.connect() as connection:
        return list((await connection.execute(text(statement), values)).all())


class TestCreate:
    async def test_all_that_is_said_is_there(self, crm: httpx.AsyncClient) -> None:
        answer = await crm.post(CUSTOMERS, json=WHOLE)
        assert answer.status_code == 201, answer.text
        body = answer.json()
        assert answer.headers["location"] == f"{CUSTOMERS}/{body['id']}"
        assert answer.headers["etag"] == '"1"'
        assert (await crm.get(answer.headers["location"])).json() == body
        assert {k: body[k] for k in ("source", "external_id", "kind", "name", "greet_as", "category")} == {
            k: WHOLE[k] for k in ("source", "external_id", "kind", "name", "greet_as", "category")
        }
        assert (body["tags"], body["attributes"]) == (["new", "old"], WHOLE["attributes"])
        assert [(p["e164"], p["purpose"], p["kind"], p["extension"]) for p in body["phones"]] == [
            (NUMBER, "contact", "phone", None),
            ("+74951230001", "fax", "phone", "12"),
            ("+442079460123", "work", "phone", None),
            (None, "contact", "service", None),
        ]
        assert body["names"][0]["name"] == "Ваня" and len(body["names"]) == 1
        assert body["people"] == [{"name": "Анна", "role": "бухгалтер", "source": "crm"}]
        assert [(a["number"], a["external_id"]) for a in body["accounts"]] == [("Д-1", "Д-1"), ("Д-2", "x")]
        assert body["orders"][0]["amount"] == "4500.00"
        assert body["tickets"][0]["opened_at"] == "2026-11-20T06:00:00.000Z"

    async def test_the_same_once_more_is_a_conflict_that_names_the_customer(
        self, crm: httpx.AsyncClient
    ) -> None:
        first = await made(crm)
        answer = await crm.post(CUSTOMERS, json=peter(name="Somebody else"))
        assert_problem(answer, 409, "conflict")
        assert first["id"] in answer.json()["detail"]
        assert (await crm.get(f"{CUSTOMERS}/{first['id']}")).json() == first

    async def test_a_number_is_of_the_customers_country(self, crm: httpx.AsyncClient) -> None:
        body = await made(crm, country="GB", phones=["020 7946 0123"])
        assert body["phones"][0]["e164"] == "+442079460123"

    async def test_no_number_is_no_row(self, crm: httpx.AsyncClient) -> None:
        assert (await made(crm, phones=["нет", "anonymous", " "]))["phones"] == []


class TestUpsert:
    async def test_added_then_replaced_then_the_same(self, crm: httpx.AsyncClient) -> None:
        body = {k: v for k, v in WHOLE.items() if k not in ("source", "external_id")}
        first = await crm.put(f"{CUSTOMERS}/crm/a%2Fb", json=body)
        assert (first.status_code, first.json()["external_id"]) == (201, "a/b"), first.text
        less = {
            "name": "Новый",
            "phones": ["+7 900 111-22-34"],
            "accounts": [{"number": "Д-2", "external_id": "x"}],
        }
        second = await crm.put(f"{CUSTOMERS}/crm/a%2Fb", json=less)
        assert (second.status_code, second.headers["etag"]) == (200, '"2"')
        now = second.json()
        assert now["id"] == first.json()["id"]
        assert [p["e164"] for p in now["phones"]] == ["+79001112234"]
        assert [(a["number"], a["status"]) for a in now["accounts"]] == [("Д-2", None)]
        assert (now["names"], now["people"], now["orders"], now["tickets"]) == ([], [], [], [])
        assert (now["category"], now["attributes"]) == (None, {})
        again = await crm.put(f"{CUSTOMERS}/crm/a%2Fb", json=less)
        assert (again.status_code, again.json()) == (200, now)

    async def test_what_others_added_stays(self, crm: httpx.AsyncClient, engine: AsyncEngine) -> None:
        body = await made(crm, names=["Ваня"])
        async with engine.begin() as connection:
            for statement in (
                "insert into customer_names (customer_id, name, source) values (:id, 'Пётр П.', 'callcard')",
                "insert into customer_phones (customer_id, e164, as_typed) values (:id, '+79005550000', '900')",
                "insert into accounts (customer_id, source, external_id, number) values (:id, 'callcard', '1', '1')",
            ):
                await connection.execute(text(statement), {"id": body["id"]})
        answer = await crm.put(f"{CUSTOMERS}/crm/C-1", json={"name": "N"})
        now = answer.json()
        assert [n["name"] for n in now["names"]] == ["Пётр П."]
        assert [p["e164"] for p in now["phones"]] == ["+79005550000"]
        assert [a["source"] for a in now["accounts"]] == ["callcard"]

    async def test_a_contract_of_two_customers_stays_with_both(self, crm: httpx.AsyncClient) -> None:
        contract = [{"number": "Д-1"}]
        his = await made(crm, external_id="1", accounts=contract)
        await made(crm, external_id="2", accounts=contract)
        assert (await crm.get(f"{CUSTOMERS}/{his['id']}")).json()["accounts"] == his["accounts"]

    async def test_if_match_is_kept_to(self, crm: httpx.AsyncClient) -> None:
        body = {"name": "N"}
        none = await crm.put(f"{CUSTOMERS}/crm/1", json=body, headers={"If-Match": '"1"'})
        assert_problem(none, 412, "changed-meanwhile")
        assert (await crm.put(f"{CUSTOMERS}/crm/1", json=body)).status_code == 201
        old = await crm.put(f"{CUSTOMERS}/crm/1", json={"name": "M"}, headers={"If-Match": '"7"'})
        assert_problem(old, 412, "changed-meanwhile")
        right = await crm.put(f"{CUSTOMERS}/crm/1", json={"name": "M"}, headers={"If-Match": '"7", "1"'})
        assert (right.status_code, right.json()["name"]) == (200, "M")

    async def test_the_same_after_somebody_elses_change_counts_again(self, crm: httpx.AsyncClient) -> None:
        body = await made(crm, manager="101")
        patched = await crm.patch(
            f"{CUSTOMERS}/{body['id']}", json={"manager": "102"}, headers={"If-Match": '"1"'}
        )
        assert patched.json()["manager"] == "102"
        said = {k: v for k, v in peter(manager="101").items() if k not in ("source", "external_id")}
        assert (await crm.put(f"{CUSTOMERS}/crm/C-1", json=said)).json()["manager"] == "101"

    async def test_many_at_once_are_one(self, crm: httpx.AsyncClient, engine: AsyncEngine) -> None:
        answers = await asyncio.gather(
            *(crm.put(f"{CUSTOMERS}/crm/1", json={"name": f"N{n}", "phones": [NUMBER]}) for n in range(4))
        )
        assert sorted(a.status_code for a in answers) == [200] * 3 + [201]
        assert len({a.json()["id"] for a in answers}) == 1
        assert len(await stored(engine, "select 1 from customer_phones")) == 1


class TestRead:
    async def test_not_modified(self, crm: httpx.AsyncClient) -> None:
        at = f"{CUSTOMERS}/{(await made(crm))['id']}"
        for header in ('"1"', 'W/"1"', '"0", "1"', "*"):
            answer = await crm.get(at, headers={"If-None-Match": header})
            assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", '"1"'), header
        assert (await crm.get(at, headers={"If-None-Match": '"2"'})).status_code == 200

    async def test_unknown(self, crm: httpx.AsyncClient) -> None:
        nobody = f"{CUSTOMERS}/0b7e5a0e-3d2c-4f6e-9d65-0b2f0e6c7a11"
        assert_problem(await crm.get(nobody), 404, "not-found")
        assert_problem(await crm.get(f"{CUSTOMERS}/no-id"), 422, "invalid")
        assert_problem(await crm.patch(nobody, json={}, headers={"If-Match": "*"}), 404, "not-found")
        assert_problem(await crm.delete(nobody), 404, "not-found")
        assert_problem(await crm.get(f"{nobody}/notes"), 404, "not-found")

    async def test_who_looked_at_whom(self, crm: httpx.AsyncClient, engine: AsyncEngine) -> None:
        id_ = (await made(crm))["id"]
        await crm.get(f"{CUSTOMERS}/{id_}")
        await crm.get(CUSTOMERS)
        looked = select(
            audit_log.c.actor_kind, audit_log.c.subject, audit_log.c.action, audit_log.c.detail
        ).where(audit_log.c.actor_kind == "api_key")

        async def written() -> list[Any]:
            async with engine.connect() as connection:
                rows = list((await connection.execute(looked.order_by(audit_log.c.id))).all())
            return rows if len(rows) == 3 else []

        assert [tuple(row) for row in await until(written)] == [
            ("api_key", id_, "customer.created", {}),
            ("api_key", id_, "customer.read", {}),
            ("api_key", None, "customers.listed", {"ids": [id_]}),
        ]


class TestPatch:
    async def test_what_is_named_changes_and_nothing_else(self, crm: httpx.AsyncClient) -> None:
        answer = await crm.post(CUSTOMERS, json=WHOLE)
        before, at = answer.json(), answer.headers["location"]
        patch = {
            "manager": None,
            "attributes": {"tariff": {"speed": 1000}, "since": None},
            "preferences": {"language": "ru"},
            "accounts": [{"number": "Д-9"}],
        }
        headers = {"If-Match": '"1"', "Content-Type": "application/merge-patch+json"}
        patched = await crm.patch(at, json=patch, headers=headers)
        assert patched.status_code == 200, patched.text
        now = patched.json()
        assert patched.headers["etag"] == '"2"'
        assert now["manager"] is None
        assert now["attributes"] == {"tariff": {"name": "500", "speed": 1000}}
        assert now["preferences"] == {"call after": "18:00", "language": "ru"}
        assert [a["number"] for a in now["accounts"]] == ["Д-9"]
        changed = {"manager", "attributes", "preferences", "accounts", "revision", "updated_at"}
        assert {k: v for k, v in now.items() if k not in changed} == {
            k: v for k, v in before.items() if k not in changed
        }

    async def test_without_a_version_or_with_an_old_one(self, crm: httpx.AsyncClient) -> None:
        at = f"{CUSTOMERS}/{(await made(crm))['id']}"
        assert_problem(await crm.patch(at, json={"name": "N"}), 428, "precondition-required")
        for old in ('"0"', 'W/"1"', "1", ""):
            answer = await crm.patch(at, json={"name": "N"}, headers={"If-Match": old})
            assert_problem(answer, 412, "changed-meanwhile")
        assert (await crm.patch(at, json={"name": "N"}, headers={"If-Match": "*"})).status_code == 200

    async def test_of_two_at_once_one_is_told(self, crm: httpx.AsyncClient) -> None:
        at = f"{CUSTOMERS}/{(await made(crm))['id']}"
        answers = await asyncio.gather(
            *(crm.patch(at, json={"manager": str(n)}, headers={"If-Match": '"1"'}) for n in range(4))
        )
        assert sorted(a.status_code for a in answers) == [200, 412, 412, 412]
        [done] = [a.json() for a in answers if a.status_code == 200]
        assert (await crm.get(at)).json() == done

    async def test_what_comes_out_must_be_a_customer(self, crm: httpx.AsyncClient) -> None:
        at = f"{CUSTOMERS}/{(await made(crm))['id']}"
        for patch, field in [
            ({"name": None}, "body.name"),
            ({"nme": "N"}, "body.nme"),
            ({"id": "x"}, "body.id"),
            ({"attributes": {"x": "y" * 20_000}}, "body.attributes"),
        ]:
            answer = await crm.patch(at, json=patch, headers={"If-Match": "*"})
            assert_problem(answer, 422, "invalid")
            assert [e["field"] for e in answer.json()["errors"]] == [field]


class TestDelete:
    async def test_gone_with_all_that_was_theirs(self, crm: httpx.AsyncClient, engine: AsyncEngine) -> None:
        at = (await crm.post(CUSTOMERS, json=WHOLE)).headers["location"]
        assert_problem(await crm.delete(at, headers={"If-Match": '"7"'}), 412, "changed-meanwhile")
        assert (await crm.delete(at, headers={"If-Match": '"1"'})).status_code == 204
        assert_problem(await crm.get(at), 404, "not-found")
        assert (await crm.get(CUSTOMERS, params={"number": NUMBER})).json()["items"] == []
        for table in ("customer_phones", "customer_names", "accounts", "orders", "tickets"):
            assert await stored(engine, f"select 1 from {table}") == [], table


class TestScopes:
    async def test_only_who_may(self, crm: httpx.AsyncClient, engine: AsyncEngine) -> None:
        at = f"{CUSTOMERS}/{(await made(crm))['id']}"
        for scope in ("customers:read", "lookup", "calls:read"):
            await self.may_read_at_most(crm, at, await key_of(engine, scope), scope == "customers:read")

    async def may_read_at_most(
        self, crm: httpx.AsyncClient, at: str, headers: dict[str, str], may_read: bool
    ) -> None:
        reads = [crm.get(at, headers=headers), crm.get(CUSTOMERS, headers=headers)]
        for answer in await asyncio.gather(*reads):
            assert answer.status_code == (200 if may_read else 403), answer.text
        writes = [
            crm.post(CUSTOMERS, json=peter("2"), headers=headers),
            crm.put(f"{CUSTOMERS}/crm/1", json={"name": "N"}, headers=headers),
            crm.patch(at, json={}, headers={**headers, "If-Match": "*"}),
            crm.delete(at, headers=headers),
            crm.post(f"{at}/merge", json={"duplicates": [at[-36:]]}, headers=headers),
            crm.post(f"{at}/unmerge", headers=headers),
            crm.post(f"{at}/notes", json={"text": "x"}, headers=headers),
            crm.put("/api/v1/categories/vip", json={"label": "VIP"}, headers=headers),
            crm.put("/api/v1/black-list/+79001112233", json={}, headers=headers),
        ]
        for answer in await asyncio.gather(*writes):
            assert_problem(answer, 403, "forbidden")
