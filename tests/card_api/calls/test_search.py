"""The listing of calls and a single one, over HTTP; and that each filter finds its index."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from httpx import AsyncClient
from sqlalchemy import select
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.api_keys.repository import ApiKeyRepository
from card_api.api_keys.service import ApiKeyService
from card_api.app import now_utc
from card_api.audit.models import audit_log
from card_api.calls.repository import CallRepository
from card_api.calls.row import call_row
from card_api.calls.search import CallFilter, statement
from shared.contracts.call import CallUpdate, QueueStay
from tests.card_api.conftest import sign_in, until
from tests.card_api.makers import CUSTOMER, DIRECTORY, NOON, at, call, ended, leg, update

CALLS = "/api/v1/calls"


@pytest.fixture
async def key(engine: AsyncEngine) -> dict[str, str]:
    return {"X-API-Key": await ApiKeyService(ApiKeyRepository(engine), now_utc).create("CRM", ["calls:read"])}


async def store(engine: AsyncEngine, *updates: CallUpdate) -> None:
    rows = [call_row(u, u.to_json(), DIRECTORY, lambda _: "RU") for u in updates]
    await CallRepository(engine).store(rows)


def missed(call_id: str, **more: Any) -> CallUpdate:
    over = {"missed": True, "ended_at": at(90), "end_reason": "abandoned", **more}
    return update(call(call_id, "ended", (leg("102", "ended", "cancelled", ended=90),), **over), 20)


async def ids(client: AsyncClient, headers: dict[str, str], **query: Any) -> list[str]:
    # Those of the samples are older than today; ours are of 2126.
    answer = await client.get(CALLS, params={"since": "2126-01-01T00:00:00Z", **query}, headers=headers)
    assert answer.status_code == 200, answer.text
    return [item["call_id"] for item in answer.json()["items"]]


@pytest.fixture
async def four(engine: AsyncEngine) -> None:
    """Two that agent 101 had, one outbound of 102, one that nobody took."""
    stay = QueueStay(name="support", joined_at=at(1), left_at=at(9), outcome="answered")
    mine = leg("102", "ended", "hangup", answered=205, ended=210)
    await store(
        engine,
        ended("main-1"),
        ended("main-2", started_at=at(100), queue=stay, number="+79005556677", did="+78000000009"),
        update(
            call(
                "main-3", "ended", (mine,), direction="outbound", number="102", did="+79001112233",
                started_at=at(200), answered_at=at(205), ended_at=at(210), end_reason="completed",
            ),
            20,
        ),
        missed("main-4", started_at=at(300), number="+79005556677"),
    )  # fmt: skip


class TestListing:
    async def test_each_filter(self, client: AsyncClient, key: dict[str, str], four: None) -> None:
        assert await ids(client, key) == ["main-4", "main-3", "main-2", "main-1"]
        for query, found in [
            ({"number": "8 (900) 111-22-33"}, ["main-3", "main-1"]),
            ({"agent": "101"}, ["main-2", "main-1"]),
            ({"agent": "102"}, ["main-3"]),
            ({"queue": "support"}, ["main-2"]),
            ({"did": "8 800 000-00-09"}, ["main-2"]),
            ({"direction": "outbound"}, ["main-3"]),
            ({"missed": "true"}, ["main-4"]),
            ({"missed": "false"}, ["main-3", "main-2", "main-1"]),
            ({"end_reason": "abandoned"}, ["main-4"]),
            ({"since": at(200).isoformat()}, ["main-4", "main-3"]),
            ({"until": at(200).isoformat()}, ["main-2", "main-1"]),
            ({"queue": "support", "agent": "102"}, []),
        ]:
            assert [i for i in await ids(client, key, **query) if i.startswith("main-")][:4] == found, query

    async def test_an_item_is_what_the_table_has(
        self, client: AsyncClient, key: dict[str, str], four: None
    ) -> None:
        answer = await client.get(CALLS, params={"queue": "support"}, headers=key)
        assert answer.json()["items"][0] == {
            "call_id": "main-2",
            "pbx": "main",
            "direction": "inbound",
            "state": "ended",
            "caller_number": "+79005556677",
            "caller_name": None,
            "did": "+78000000009",
            "customer_number": "+79005556677",
            "queue": "support",
            "agents": ["101"],
            "started_at": "2126-11-21T09:01:40.000Z",
            "answered_at": "2126-11-21T09:00:03.000Z",
            "ended_at": "2126-11-21T09:01:00.000Z",
            "end_reason": "completed",
            "talk_seconds": 57,
            "missed": False,
        }

    async def test_pages_meet_and_never_overlap(
        self, client: AsyncClient, key: dict[str, str], engine: AsyncEngine
    ) -> None:
        # Several of one moment: only the id tells them apart.
        await store(engine, *(ended(f"main-{n}", started_at=at(n // 3)) for n in range(10)))
        seen: list[str] = []
        after: dict[str, str] = {}
        while True:
            query: dict[str, Any] = {"since": NOON.isoformat(), "limit": 4, **after}
            body = (await client.get(CALLS, params=query, headers=key)).json()
            seen += [item["call_id"] for item in body["items"]]
            if body["next"] is None:
                break
            after = {"cursor": body["next"]}
            if len(seen) == 4:  # one that comes meanwhile moves nobody
                await store(engine, ended("main-new", started_at=at(99)))
        assert seen == [f"main-{n}" for n in range(9, -1, -1)]

    async def test_of_a_customer_by_number_and_by_what_was_said(
        self, client: AsyncClient, key: dict[str, str], four: None, engine: AsyncEngine
    ) -> None:
        async with engine.begin() as connection:
            wanted = (
                await connection.execute(
                    text("select customer_id from customer_phones where e164 = :e"), {"e": CUSTOMER}
                )
            ).scalar_one()
            other = (
                await connection.execute(
                    text("select id from customers where id <> :w limit 1"), {"w": wanted}
                )
            ).scalar_one()
            identified = text(
                "insert into call_identities (call_id, customer_id, by_kind, by) values (:call, :id, 'agent', '101')"
            )
            assert await ids(client, key, customer_id=wanted) == ["main-3", "main-1"]
            # He called from another number, and somebody else from his.
            await connection.execute(identified, {"call": "main-4", "id": wanted})
            await connection.execute(identified, {"call": "main-3", "id": other})
        assert await ids(client, key, customer_id=wanted) == ["main-4", "main-1"]
        async with engine.begin() as connection:
            await connection.execute(
                text("update customers set merged_into = :o where id = :w"), {"w": wanted, "o": other}
            )
        for one in (wanted, other):
            assert {"main-4", "main-3", "main-1"} <= set(await ids(client, key, customer_id=one))

    async def test_agents_see_their_own_supervisors_all(self, client: AsyncClient, four: None) -> None:
        agent = {"Authorization": f"Bearer {await sign_in(client, '102')}"}
        boss = {"Authorization": f"Bearer {await sign_in(client, '104')}"}
        assert await ids(client, agent) == ["main-3"]
        assert await ids(client, agent, agent="102") == ["main-3"]
        refused = await client.get(CALLS, params={"agent": "101"}, headers=agent)
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:callcard:error:forbidden")
        assert len(await ids(client, boss)) == 4

    async def test_questions_that_make_no_sense(self, client: AsyncClient, key: dict[str, str]) -> None:
        wrong: list[dict[str, Any]] = [
            {"number": "101"},
            {"number": "nobody"},
            {"direction": "up"},
            {"limit": 0},
            {"limit": 501},
            {"cursor": "nonsense"},
            {"cursor": "WyIyMDI2Il0"},
            {"queue": "a\0"},
            {"since": "yesterday"},
            {"customer_id": "7"},
        ]
        for query in wrong:
            answer = await client.get(CALLS, params=query, headers=key)
            assert (answer.status_code, answer.json()["type"]) == (422, "urn:callcard:error:invalid"), query


class TestOne:
    async def test_the_whole_call_with_its_etag(
        self, client: AsyncClient, key: dict[str, str], four: None
    ) -> None:
        answer = await client.get(f"{CALLS}/main-1", headers=key)
        assert answer.json() == ended("main-1").call.to_dict()
        tag = answer.headers["etag"]
        again = await client.get(f"{CALLS}/main-1", headers={**key, "If-None-Match": tag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)

    async def test_only_for_those_it_was_for(self, client: AsyncClient, four: None) -> None:
        for login, of_101, of_102, rang in [
            ("101", 200, 404, 404),
            ("102", 404, 200, 200),
            ("104", 200, 200, 200),
        ]:
            headers = {"Authorization": f"Bearer {await sign_in(client, login)}"}
            codes = [(await client.get(f"{CALLS}/main-{n}", headers=headers)).status_code for n in (1, 3, 4)]
            assert codes == [of_101, of_102, rang], login

    async def test_of_nobody(self, client: AsyncClient, key: dict[str, str]) -> None:
        answer = await client.get(f"{CALLS}/nobody", headers=key)
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:callcard:error:not-found")
        assert (await client.get(f"{CALLS}/a%00b", headers=key)).status_code == 422

    async def test_who_read_is_written_down(
        self, client: AsyncClient, key: dict[str, str], four: None, engine: AsyncEngine
    ) -> None:
        await client.get(f"{CALLS}/main-1", headers=key)
        await ids(client, key, number=CUSTOMER)
        await ids(client, key)

        async def entries() -> list[tuple[str, str | None, Any]]:
            wanted = audit_log.c.actor == key["X-API-Key"][:10]
            async with engine.connect() as connection:
                rows = await connection.execute(select(audit_log).where(wanted).order_by(audit_log.c.id))
                found = [(r.action, r.subject, r.detail) for r in rows]
            return found if len(found) > 1 else []

        assert await until(entries) == [
            ("call.read", CUSTOMER, {"call_id": "main-1"}),
            ("calls.read", CUSTOMER, {"calls": 2}),
        ]


async def test_each_filter_finds_its_index(engine: AsyncEngine) -> None:
    """Of 20,000 calls; the first page and one in the middle."""
    fill = """
        insert into calls (call_id, pbx, version, direction, state, did, customer_number, queue, agents, started_at,
                           end_reason, missed, document)
        select 'b-' || n, 'main', 1, 'inbound', 'ended', '+7800' || lpad((n % 200)::text, 7, '0'),
               '+79' || lpad((n % 9000)::text, 9, '0'), 'q' || n % 100, array['a' || n % 500],
               timestamptz '2026-01-01' + n * interval '1 minute', 'completed', n % 300 = 0, '{}'
        from generate_series(1, 20000) n
    """
    someone = UUID("00000000-0000-0000-0000-000000000001")
    async with engine.begin() as connection:
        await connection.execute(text(fill))
        await connection.execute(
            text(
                "insert into customers (id, source, external_id, name)"
                " select case when n = 1 then cast(:id as uuid) else gen_random_uuid() end, 's', n::text, 'x'"
                " from generate_series(1, 2000) n"
            ),
            {"id": someone},
        )
        await connection.execute(
            text(
                "insert into customer_phones (customer_id, e164, as_typed)"
                " select id, '+79' || lpad(external_id, 9, '0'), external_id from customers"
            )
        )
        await connection.execute(text("analyze"))
    middle = (NOON.replace(year=2026, month=1, day=7), "b-9")
    for wanted, index in [
        (CallFilter(), "calls_started_at_idx"),
        (CallFilter(number="+79000000007"), "calls_customer_number_idx"),
        (CallFilter(agent="a7"), "calls_agents_idx"),
        (CallFilter(queue="q7"), "calls_queue_idx"),
        (CallFilter(did="+78000000007"), "calls_did_idx"),
        (CallFilter(missed=True), "calls_missed_idx"),
        (CallFilter(customer_id=someone), "calls_customer_number_idx"),
        (CallFilter(since=middle[0], until=middle[0] + timedelta(hours=1)), "calls_started_at_idx"),
        (CallFilter(after=middle), "calls_started_at_idx"),
        (CallFilter(queue="q7", after=middle), "calls_queue_idx"),
    ]:
        compiled = statement(wanted, 51).compile(dialect=postgresql.asyncpg.dialect())  # type: ignore[no-untyped-call]
        async with engine.connect() as connection:
            rows = await connection.exec_driver_sql(
                f"explain {compiled}", tuple(compiled.params[name] for name in compiled.positiontup or [])
            )
            plan = "\n".join(rows.scalars())
        assert index in plan, f"{wanted}\n{plan}"
        assert "Seq Scan on calls" not in plan, f"{wanted}\n{plan}"
