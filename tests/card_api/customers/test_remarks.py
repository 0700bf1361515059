"""Notes, categories, and what is said about numbers."""

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from tests.card_api.conftest import sign_in
from tests.card_api.customers.conftest import CUSTOMERS, NUMBER, key_of, made
from tests.card_api.test_rest import assert_problem, bearer

PHONE = "/api/v1/do-not-call/8%20(900)%20111-22-33"


@pytest.fixture
async def agent(client: httpx.AsyncClient) -> tuple[httpx.AsyncClient, dict[str, str]]:
    """The API with samples, and agent 101's headers."""
    return client, bearer(await sign_in(client, "101"))


class TestNotes:
    async def test_written_read_in_pages_and_taken_away(self, crm: httpx.AsyncClient) -> None:
        id_ = (await made(crm))["id"]
        at = f"{CUSTOMERS}/{id_}/notes"
        for n in range(5):
            answer = await crm.post(at, json={"text": f"  note\0 {n} ", "call_id": "main-1"})
            assert answer.status_code == 201, answer.text
        last = answer.json()
        assert (last["text"], last["author"], last["call_id"]) == ("note 4", "CRM", "main-1")
        assert answer.headers["location"] == f"{at}/{last['id']}"
        first = (await crm.get(at, params={"limit": 3})).json()
        rest = (await crm.get(at, params={"limit": 3, "cursor": first["next"]})).json()
        assert [n["text"] for n in first["items"] + rest["items"]] == [f"note {n}" for n in (4, 3, 2, 1, 0)]
        assert rest["next"] is None
        assert (await crm.delete(f"{at}/{last['id']}")).status_code == 204
        assert_problem(await crm.delete(f"{at}/{last['id']}"), 404, "not-found")
        assert len((await crm.get(at)).json()["items"]) == 4

    async def test_of_all_records_that_are_one_customer(self, crm: httpx.AsyncClient) -> None:
        a, b = [(await made(crm, external_id=str(n)))["id"] for n in range(2)]
        await crm.post(f"{CUSTOMERS}/{b}/notes", json={"text": "before"})
        await crm.post(f"{CUSTOMERS}/{a}/merge", json={"duplicates": [b]})
        assert [n["text"] for n in (await crm.get(f"{CUSTOMERS}/{a}/notes")).json()["items"]] == ["before"]

    async def test_an_agent_writes(
        self, agent: tuple[httpx.AsyncClient, dict[str, str]], engine: AsyncEngine
    ) -> None:
        client, headers = agent
        async with engine.connect() as connection:
            id_ = await connection.scalar(text("select id from customers limit 1"))
        answer = await client.post(f"{CUSTOMERS}/{id_}/notes", json={"text": "x"}, headers=headers)
        assert answer.status_code == 201, answer.text
        assert (answer.json()["author"], answer.json()["login"]) == ("Анна Смирнова", "101")
        assert_problem(await client.get(f"{CUSTOMERS}/{id_}", headers=headers), 401, "unauthorised")


class TestCategories:
    async def test_made_changed_and_taken_away(self, crm: httpx.AsyncClient, engine: AsyncEngine) -> None:
        id_ = (await made(crm, category="постоянный клиент"))["id"]
        assert (await crm.get("/api/v1/categories")).json()["items"] == [
            {"code": "постоянный клиент", "label": "постоянный клиент", "colour": None, "priority": 0}
        ], "one that a customer names is there"
        body = {"label": "VIP", "colour": "#b8860b", "priority": 5}
        put = await crm.put("/api/v1/categories/vip", json=body)
        assert (put.status_code, put.json()) == (200, {"code": "vip", **body})
        got = await crm.get("/api/v1/categories/vip")
        assert (got.json(), got.headers["etag"]) == (put.json(), put.headers["etag"])
        old = {"If-None-Match": got.headers["etag"], "If-Match": got.headers["etag"]}
        assert (await crm.get("/api/v1/categories/vip", headers=old)).status_code == 304
        other = await crm.put("/api/v1/categories/vip", json={**body, "priority": 9}, headers=old)
        assert (other.status_code, other.headers["etag"] != old["If-Match"]) == (200, True)
        for late in (
            await crm.put("/api/v1/categories/vip", json=body, headers=old),
            await crm.put("/api/v1/categories/nobodys", json=body, headers=old),
        ):
            assert_problem(late, 412, "changed-meanwhile")
        assert (await crm.get("/api/v1/categories/vip")).json()["priority"] == 9
        assert (await crm.get("/api/v1/categories")).json()["items"][0]["code"] == "vip"
        assert_problem(await crm.put("/api/v1/categories/x", json={**body, "colour": "red"}), 422, "invalid")
        assert_problem(await crm.delete("/api/v1/categories/vip"), 403, "forbidden")
        admin = await key_of(engine, "admin")
        late = await crm.delete("/api/v1/categories/vip", headers={**admin, **old})
        assert_problem(late, 412, "changed-meanwhile")
        gone = await crm.delete("/api/v1/categories/постоянный клиент", headers=admin)
        assert gone.status_code == 204
        assert_problem(await crm.delete("/api/v1/categories/nothing", headers=admin), 404, "not-found")
        assert_problem(await crm.get("/api/v1/categories/nothing"), 404, "not-found")
        now = (await crm.get(f"{CUSTOMERS}/{id_}")).json()
        assert (now["category"], now["revision"]) == (None, 2)


class TestNumbers:
    async def test_not_to_be_called(self, crm: httpx.AsyncClient) -> None:
        put = await crm.put(PHONE, json={"reason": "asked", "comment": "Moved"})
        assert put.status_code == 200, put.text
        assert {k: put.json()[k] for k in ("number", "reason", "comment", "by")} == {
            "number": NUMBER,
            "reason": "asked",
            "comment": "Moved",
            "by": "CRM",
        }
        assert (await crm.get(PHONE)).json() == put.json()
        again = await crm.put(PHONE, json={"reason": "wrong_number"})
        assert (again.json()["reason"], again.json()["comment"]) == ("wrong_number", None)
        for n in range(3):
            await crm.put(f"/api/v1/do-not-call/+7900111220{n}", json={"reason": "hung_up"})
        first = (await crm.get("/api/v1/do-not-call", params={"limit": 3})).json()
        rest = (await crm.get("/api/v1/do-not-call", params={"limit": 3, "cursor": first["next"]})).json()
        numbers = [i["number"] for i in first["items"] + rest["items"]]
        assert numbers == sorted(numbers) and len(numbers) == 4 and rest["next"] is None
        wrong = (await crm.get("/api/v1/do-not-call", params={"reason": "wrong_number"})).json()["items"]
        assert [i["number"] for i in wrong] == [NUMBER]
        assert (await crm.delete(PHONE)).status_code == 204
        assert_problem(await crm.delete(PHONE), 404, "not-found")
        assert_problem(await crm.get(PHONE), 404, "not-found")

    async def test_on_the_black_list(self, crm: httpx.AsyncClient) -> None:
        at = f"/api/v1/black-list/{NUMBER}"
        put = await crm.put(at, json={"reason": "Threats", "until": "2027-01-01T03:00:00+03:00"})
        assert put.json()["until"] == "2027-01-01T00:00:00.000Z"
        assert (await crm.get("/api/v1/black-list")).json() == {"items": [put.json()], "next": None}
        assert (await crm.delete(at)).status_code == 204
        assert (await crm.get("/api/v1/black-list")).json()["items"] == []

    async def test_what_is_no_number_or_no_reason(self, crm: httpx.AsyncClient) -> None:
        for number in ("101", "anonymous", "%00", "x" * 65, "📞"):
            for place in ("do-not-call", "black-list"):
                answer = await crm.put(f"/api/v1/{place}/{number}", json={"reason": "asked"})
                assert_problem(answer, 422, "invalid")
        assert_problem(await crm.put(PHONE, json={"reason": "because"}), 422, "invalid")
        assert_problem(await crm.put(PHONE, json={}), 422, "invalid")

    async def test_an_agent_says_it_with_one_of_four_reasons(
        self, agent: tuple[httpx.AsyncClient, dict[str, str]], engine: AsyncEngine
    ) -> None:
        client, headers = agent
        for reason in ("hung_up", "asked", "wrong_number", "foreign_number"):
            put = await client.put(PHONE, json={"reason": reason}, headers=headers)
            assert (put.status_code, put.json()["by"]) == (200, "101"), put.text
        assert_problem(await client.delete(PHONE, headers=headers), 401, "unauthorised")
        assert_problem(
            await client.put("/api/v1/black-list/+79001112233", json={}, headers=headers), 401, "unauthorised"
        )
        async with engine.connect() as connection:
            entries = text("select actor, subject from audit_log where action = 'do_not_call.put'")
            assert {tuple(row) for row in await connection.execute(entries)} == {("101", NUMBER)}
