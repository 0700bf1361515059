"""Finding a caller by number, in the table and over HTTP."""

from typing import Any

from httpx import AsyncClient
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.api_keys.repository import ApiKeyRepository
from card_api.api_keys.service import ApiKeyService
from card_api.app import now_utc
from card_api.audit.models import audit_log
from card_api.calls.repository import CallRepository
from card_api.calls.row import call_row
from card_api.customers.records import upsert_customers
from card_api.customers.rows import CustomerRows, rows_of
from card_api.customers.schemas import CustomerWrite
from card_api.lookup.ranking import rank
from card_api.lookup.repository import LookupRepository
from card_api.lookup.schemas import LookupAnswer, Question
from services.samples import SHARED_NUMBER, load_samples, sample_callers
from tests.card_api.conftest import until
from tests.card_api.makers import DIRECTORY, ended

HOSTILE = [
    "' or '1'='1",
    "'; drop table customers; --",
    "+79001112233' union select 1 --",
    "%",
    "_",
    "📞",
    "\u202e33221110097+",
    "x" * 10_000,
    "9" * 10_000,
]


def add(number: str, name: str) -> CustomerRows:
    return rows_of(CustomerWrite(source="crm", external_id="1", name=name, phones=[number]), "RU")


class TestStatement:
    async def test_nobody_has_the_number(self, engine: AsyncEngine) -> None:
        found = await LookupRepository(engine).find(Question("+79990000000"))
        assert (found.customers, found.history) == ([], [])

    async def test_one_customer_whole(self, engine: AsyncEngine, samples: None) -> None:
        found = await LookupRepository(engine).find(Question("+79001112233"))
        [peter] = found.customers
        assert peter.name == "Иванов Пётр Сергеевич"
        assert peter.category is not None
        assert (peter.category.code, peter.category.label) == ("vip", "VIP")
        assert [a.number for a in peter.accounts] == ["Д-100201"]
        assert [t.number for t in peter.tickets] == ["T-4001"]
        assert [(o.number, o.amount, o.source) for o in peter.orders] == [("70001", "4500.00 RUB", "sample")]
        assert peter.purpose == "mobile"
        assert found.history
        assert [c.at for c in found.history] == sorted((c.at for c in found.history), reverse=True)

    async def test_a_company_with_its_people(self, engine: AsyncEngine, samples: None) -> None:
        [company] = (await LookupRepository(engine).find(Question("+74951230001"))).customers
        assert (company.kind, [p.name for p in company.people]) == ("company", ["Рябова Инна Львовна"])

    async def test_closed_tickets_are_not_shown(self, engine: AsyncEngine, samples: None) -> None:
        [customer] = (await LookupRepository(engine).find(Question("+79001112266"))).customers
        assert [t.status for t in customer.tickets] == ["открыта"]
        async with engine.connect() as connection:
            every = text("select count(*) from tickets where customer_id = cast(:id as uuid)")
            assert await connection.scalar(every, {"id": customer.id}) == 2

    async def test_several_share_a_number_and_keep_their_own_things(
        self, engine: AsyncEngine, samples: None
    ) -> None:
        found = await LookupRepository(engine).find(Question(SHARED_NUMBER))
        assert {c.name for c in found.customers} == {
            "Гайнутдинов Рамиль Маратович",
            "Гайнутдинова Лилия Фаридовна",
        }
        assert rank(found.customers, None, now_utc())[0].customer.tickets, "an open ticket ranks first"

    async def test_history_of_one_customer_is_by_all_their_numbers(
        self, engine: AsyncEngine, samples: None
    ) -> None:
        past = ended("other-number", number="+78432100001")
        row = call_row(past, past.to_json(), DIRECTORY, lambda _: "RU")
        await CallRepository(engine).store([row])
        found = await LookupRepository(engine).find(Question("+79001112233"))
        [call] = [c for c in found.history if c.call_id == "other-number"]
        assert (call.agent, call.talk_seconds) == ("101", 57)

    async def test_history_of_a_shared_number_tells_nothing_of_other_numbers(
        self, engine: AsyncEngine, samples: None
    ) -> None:
        past = ended("own-number", number="+79172340010")
        row = call_row(past, past.to_json(), DIRECTORY, lambda _: "RU")
        await CallRepository(engine).store([row])
        found = await LookupRepository(engine).find(Question(SHARED_NUMBER))
        assert "own-number" not in [c.call_id for c in found.history]

    async def test_whatever_is_asked_for_is_a_value_and_matches_nobody(
        self, engine: AsyncEngine, samples: None
    ) -> None:
        repository = LookupRepository(engine)
        for number in [*HOSTILE, "+7900111223\u0663", "", "null"]:
            assert (await repository.find(Question(number))).customers == [], number[:50]
        assert (await repository.find(Question("+79001112233"))).customers, "the table is still there"

    async def test_a_source_says_anew_what_it_knows(self, engine: AsyncEngine) -> None:
        async with engine.begin() as connection:
            [first] = await upsert_customers(connection, [add("+79000000001", name="Old")])
            [again] = await upsert_customers(connection, [add("+79000000002", name="New")])
        assert first.id == again.id
        repository = LookupRepository(engine)
        assert (await repository.find(Question("+79000000001"))).customers == []
        assert [c.name for c in (await repository.find(Question("+79000000002"))).customers] == ["New"]

    async def test_samples_may_be_loaded_twice(self, engine: AsyncEngine, samples: None) -> None:
        count = text("select (select count(*) from customers), (select count(*) from calls)")
        async with engine.connect() as connection:
            before = (await connection.execute(count)).one()
        await load_samples(engine)
        async with engine.connect() as connection:
            assert (await connection.execute(count)).one() == before
        assert before[0] >= 40
        assert len({number for number, _ in sample_callers()}) == len(sample_callers())


class TestHttp:
    async def test_one(self, client: AsyncClient, api_key: str, engine: AsyncEngine) -> None:
        headers = {"Authorization": f"Bearer {api_key}"}
        answer = await client.get("/api/v1/lookup", params={"number": "8 (900) 111-22-33"}, headers=headers)
        body = answer.json()
        assert (answer.status_code, body["number"], body["match"]) == (200, "+79001112233", "one")
        assert body["caller"]["name"] == "Иванов Пётр Сергеевич"
        assert body["sources"][0]["status"] == "ok"
        assert answer.text == LookupAnswer.model_validate_json(answer.text).model_dump_json()

        async def audited() -> list[Any]:
            async with engine.connect() as connection:
                return list(await connection.execute(select(audit_log).where(audit_log.c.action == "lookup")))

        [row] = await until(audited)
        detail = {"match": "one", "customer_id": body["caller"]["customer_id"]}
        assert (row.actor_kind, row.subject, row.detail) == ("api_key", "+79001112233", detail)
        assert row.actor == api_key[:10]

    async def test_several_and_none_and_withheld(self, client: AsyncClient, api_key: str) -> None:
        async def ask(number: str) -> tuple[str, str | None, int]:
            answer = await client.get(
                "/api/v1/lookup", params={"number": number}, headers={"X-API-Key": api_key}
            )
            body = answer.json()
            return body["match"], body["caller"]["name"], len(body["candidates"])

        assert await ask(SHARED_NUMBER) == ("several", None, 2)
        assert await ask("+79990000000") == ("none", None, 0)
        assert await ask("Anonymous") == ("withheld", None, 0)

    async def test_an_account_says_more_than_the_number(
        self, client: AsyncClient, api_key: str, engine: AsyncEngine
    ) -> None:
        async def ask(**params: str) -> dict[str, Any]:
            answer = await client.get("/api/v1/lookup", params=params, headers={"X-API-Key": api_key})
            assert answer.status_code == 200, answer.text
            body: dict[str, Any] = answer.json()
            return body

        peter = await ask(account=" Д-100201 ")
        assert (peter["number"], peter["match"]) == (None, "one")
        assert (peter["caller"]["name"], peter["caller"]["matched_by"]) == (
            "Иванов Пётр Сергеевич",
            "account",
        )
        of_several = await ask(number=SHARED_NUMBER, account="Д-100201")
        assert (of_several["match"], of_several["caller"]["name"]) == ("one", "Иванов Пётр Сергеевич")
        assert len(of_several["candidates"]) == 2
        hidden = await ask(number="anonymous", account="Д-100201")
        assert (hidden["match"], hidden["number"]) == ("one", None)
        assert (await ask(number="+79001112233", account="none-such"))["caller"][
            "name"
        ] == "Иванов Пётр Сергеевич"
        nobody = await ask(account="none-such")
        assert (nobody["match"], nobody["caller"]["display_number"]) == ("none", None), "nothing was withheld"

        async def audited() -> list[Any]:
            async with engine.connect() as connection:
                rows = (
                    select(audit_log.c.detail).where(audit_log.c.action == "lookup").order_by(audit_log.c.id)
                )
                found = list(await connection.scalars(rows))
                return found if len(found) == 5 else []

        first, *_, last = await until(audited)
        assert first == {
            "match": "one",
            "account": "Д-100201",
            "customer_id": peter["caller"]["customer_id"],
        }
        assert last == {"match": "none", "account": "none-such"}

    async def test_what_is_no_number_is_a_problem_document(self, client: AsyncClient, api_key: str) -> None:
        for number in [*HOSTILE, "", "101", "NUL\0"]:
            answer = await client.get(
                "/api/v1/lookup", params={"number": number}, headers={"X-API-Key": api_key}
            )
            assert answer.status_code == 422, number[:50]
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["type"] == "urn:callcard:error:invalid"

    async def test_what_is_asked_for_is_answered_by_its_kind(self, client: AsyncClient, api_key: str) -> None:
        async def ask(**params: str) -> tuple[int, str]:
            answer = await client.get("/api/v1/lookup", params=params, headers={"X-API-Key": api_key})
            body = answer.json()
            return answer.status_code, body.get("detail") or body["match"]

        assert await ask(number="unavailable") == (200, "withheld"), "missing: the card says the same"
        assert await ask(number="скрыт") == (200, "withheld")
        for asked, says in (
            ({"number": "101"}, "is a short number of a service in RU"),
            ({"number": "2101"}, "is an extension"),
            ({"number": "*97"}, "is an extension"),
            ({"number": "223-33-44"}, "is no phone number: write it with the country code"),
            ({"number": "8 (495) 123-45-67/68"}, "one number, not several"),
            ({}, "give a number, an account, or both"),
            ({"number": " ", "account": " "}, "give a number, an account, or both"),
            ({"account": "A\0"}, "holds a NUL"),
        ):
            status, detail = await ask(**asked)
            assert (status, says in detail) == (422, True), (asked, detail)

    async def test_etag(self, client: AsyncClient, api_key: str, engine: AsyncEngine) -> None:
        async def ask(etag: str = "") -> tuple[int, str]:
            answer = await client.get(
                "/api/v1/lookup",
                params={"number": "+79001112233"},
                headers={"X-API-Key": api_key, "If-None-Match": etag},
            )
            return answer.status_code, answer.headers["etag"]

        status, etag = await ask()
        assert status == 200
        assert await ask(etag) == (304, etag)
        assert await ask(f'"other", W/{etag}') == (304, etag)
        async with engine.begin() as connection:
            await connection.execute(
                text("update customers set name = 'Другой' where external_id = 'C-0001'")
            )
        assert (await ask(etag))[0] == 200

    async def test_without_a_key(self, client: AsyncClient) -> None:
        for headers in [
            {},
            {"Authorization": "Bearer cck_wrong"},
            {"Authorization": "Bearer no-key-at-all"},
            {"Authorization": "Basic Zm9v"},
            {"X-API-Key": "cck_" + "x" * 10_000},
        ]:
            answer = await client.get("/api/v1/lookup", params={"number": "+79001112233"}, headers=headers)
            assert answer.status_code == 401, headers
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.json()["type"] == "urn:callcard:error:unauthorised"
            assert "Иванов" not in answer.text

    async def test_a_key_without_the_scope(self, client: AsyncClient, engine: AsyncEngine) -> None:
        key = await ApiKeyService(ApiKeyRepository(engine), now_utc).create("other", ["calls:read"])
        answer = await client.get(
            "/api/v1/lookup", params={"number": "+79001112233"}, headers={"X-API-Key": key}
        )
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:callcard:error:forbidden")
