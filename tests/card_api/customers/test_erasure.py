"""Erasing a person leaves nothing of them, and everything of others."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.calls.repository import CallRepository
from card_api.calls.row import call_row
from card_api.customers.erasure import service as erasure_service
from card_api.customers.erasure import subject
from card_api.customers.erasure.scrub import scrubbed
from card_api.ingest.repository import RecordedCalls
from card_api.ingest.schemas import CallEvent
from card_api.ingest.service import IngestService
from card_api.ingest.store import TOLD, TOLD_DUE
from shared.bus import CALLS_STREAM, decode_update
from shared.contracts.call import Call, Caller, CallUpdate, Digits, Hold, Leg, TimelineEntry, Transfer
from shared.push import PushPublisher, log_key
from tests.card_api.conftest import until
from tests.card_api.customers.conftest import CUSTOMERS, FORGOTTEN, NUMBER, key_of, made, peter
from tests.card_api.makers import DIRECTORY, at, call, ended, leg, ringing
from tests.card_api.test_rest import assert_problem

NAME = "Квасницкий"
CONTRACT = "Д-777001"
OTHER_NUMBER = "+79005550000"
SHARED = "+78432223344"
TRACES = (NAME, NUMBER, NUMBER[1:], OTHER_NUMBER, CONTRACT, "1122334455", "secret wish")


@pytest.fixture
async def admin(address: httpx.ASGITransport, engine: AsyncEngine) -> AsyncIterator[httpx.AsyncClient]:
    headers = await key_of(engine, "admin")
    async with httpx.AsyncClient(transport=address, base_url="http://test", headers=headers) as client:
        yield client


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure_service, "_QUEUED_SECONDS", 0.3)


async def keep(engine: AsyncEngine, *updates: CallUpdate) -> None:
    rows = [call_row(update, update.to_json(), DIRECTORY, lambda _: "RU") for update in updates]
    await CallRepository(engine).store(rows)


async def run(engine: AsyncEngine, statement: str, **values: Any) -> list[Any]:
    async with engine.begin() as connection:
        answer = await connection.execute(text(statement), values)
        return list(answer.all()) if answer.returns_rows else []


async def places_of(engine: AsyncEngine, word: str) -> dict[str, int]:
    """Tables with rows in which this word is, in any column of any type."""
    tables = await run(engine, "select tablename from pg_tables where schemaname = 'public'")
    found = {}
    for (table,) in tables:
        [(count,)] = await run(
            engine,
            f"""select count(*) from "{table}" t where strpos(t::text, :word) > 0 or strpos(t::text, :hex) > 0""",
            word=word,
            hex=word.encode().hex(),
        )
        if count:
            found[table] = count
    return found


def talk(call_id: str, number: str, **more: Any) -> CallUpdate:
    """A call with all that a listener may say of a caller."""
    return ended(
        call_id,
        caller=Caller(number=number, name=NAME, endpoint=f"Local/{number[1:]}@trunk"),
        digits=[Digits(digits="1122334455", menu="contract", at=at(0))],
        variables={"NAME": NAME, "CRM": "secret wish"},
        recording=f"/rec/{number}.wav",
        transfers=[Transfer(kind="blind", by=f"SIP/{number}", to=number, at=at(20))],
        holds=[Hold(by=f"SIP/{number}", started_at=at(10), ended_at=at(12))],
        timeline=[TimelineEntry(at=at(0), what="arrived", who=number, detail=NAME)],
        **more,
    )


async def a_known_person(crm: httpx.AsyncClient, engine: AsyncEngine) -> str:
    """With traces in every table; returns the id of a record that is merged into another one."""
    body = peter(
        name=f"{NAME} Пётр",
        greet_as=f"{NAME}",
        names=[f"{NAME} Ваня"],
        people=[{"name": f"{NAME} Анна"}],
        accounts=[{"number": CONTRACT}],
        orders=[{"number": "1", "title": "secret wish"}],
        tickets=[{"number": "1", "subject": "secret wish", "status": "open"}],
        attributes={"x": [NAME]},
    )
    first = await crm.post(CUSTOMERS, json=body, headers={"Idempotency-Key": "one"})
    id_ = first.json()["id"]
    other = await made(crm, external_id="C-2", name=NAME, phones=[OTHER_NUMBER, SHARED])
    merged = await crm.post(f"{CUSTOMERS}/{other['id']}/merge", json={"duplicates": [id_]})
    assert merged.status_code == 200, merged.text
    noted = await crm.post(
        f"{CUSTOMERS}/{id_}/notes",
        json={"text": f"{NAME}: secret wish"},
        headers={"Idempotency-Key": "two"},
    )
    assert noted.status_code == 201, noted.text
    for path in (f"do-not-call/{NUMBER}", f"do-not-call/{SHARED}"):
        put = await crm.put(f"/api/v1/{path}", json={"reason": "asked", "comment": NAME})
        assert put.status_code == 200, put.text
    await crm.put(f"/api/v1/black-list/{OTHER_NUMBER}", json={"reason": NAME})
    await crm.get(f"/api/v1/do-not-call/{NUMBER}")
    await keep(
        engine,
        talk("main-1", NUMBER),
        talk("main-2", OTHER_NUMBER),
        ended("main-3", direction="outbound", did=NUMBER, caller=Caller(number="101")),
        talk("main-4", SHARED),
        ended("main-5", number=SHARED),
    )
    await run(
        engine,
        "insert into notes (call_id, text, author_kind, author) values ('main-1', :t, 'agent', '101')",
        t=NAME,
    )
    await run(
        engine,
        "insert into call_identities (call_id, customer_id, person, account, by_kind, by) "
        "values ('main-4', :id, :name, :account, 'agent', '101')",
        id=other["id"],
        name=NAME,
        account=CONTRACT,
    )
    await run(
        engine,
        "insert into audit_log (at, actor_kind, actor, action, subject, detail) values "
        "(now(), 'api_key', 'x', 'lookup', :number, '{\"match\": \"one\"}'), "
        "(now(), 'api_key', 'x', 'lookup', null, cast(:detail as jsonb))",
        number=NUMBER,
        detail=json.dumps({"account": CONTRACT}),
    )
    [(hook,)] = await run(
        engine,
        "insert into webhooks (name, url, events) values ('h', 'https://x', '{call.ended}') returning id",
    )
    await run(
        engine,
        "insert into webhook_deliveries (webhook_id, event_id, type, subject, number, payload) values "
        "(:hook, gen_random_uuid(), 'call.ended', 'main-1', :number, cast(:payload as jsonb)), "
        "(:hook, gen_random_uuid(), 'call.ended', 'main-4', :shared, cast(:payload as jsonb))",
        hook=hook,
        number=NUMBER,
        shared=SHARED,
        payload=json.dumps({"name": NAME, "number": NUMBER}),
    )
    return str(id_)


class TestErase:
    async def test_nothing_is_left_but_the_audit_entry(
        self, crm: httpx.AsyncClient, admin: httpx.AsyncClient, engine: AsyncEngine
    ) -> None:
        id_ = await a_known_person(crm, engine)
        # The other one of the shared number: their calls and what is said of the number stay.
        await made(crm, external_id="C-3", name="Жена", phones=[SHARED])
        await run(engine, "update do_not_call set comment = null where e164 = :number", number=SHARED)
        before = {word: await places_of(engine, word) for word in TRACES}
        assert all(before.values()), before
        assert {
            *(
                "customers",
                "customer_phones",
                "customer_names",
                "customer_people",
                "accounts",
                "orders",
                "tickets",
            ),
            *("calls", "call_identities", "notes", "do_not_call", "black_list", "audit_log"),
            *("idempotency_keys", "webhook_deliveries"),
        } <= {table for places in before.values() for table in places}
        answer = await admin.post(f"{CUSTOMERS}/{id_}/erase")
        assert answer.status_code == 200, answer.text
        removed = answer.json()["removed"]
        assert (removed["customers"], removed["calls"], removed["notes"]) == (2, 4, 2)
        assert (removed["do_not_call"], removed["black_list"], removed["answers"]) == (1, 1, 2)
        assert removed["webhook_deliveries"] == 2
        after = {word: await places_of(engine, word) for word in TRACES}
        assert after == {word: {} for word in TRACES}
        erased = await run(
            engine, "select actor_kind, subject from audit_log where action = 'customer.erased'"
        )
        assert len(erased) == 1 and erased[0].actor_kind == "api_key"
        assert erased[0].subject != id_, "the record that stood for both"
        looked = await run(
            engine, "select subject from audit_log where action in ('lookup', 'do_not_call.put')"
        )
        assert sorted(str(row.subject) for row in looked) == sorted(
            ["None", erased[0].subject, erased[0].subject, SHARED]
        ), "who looked is known for ever, and at whom by an id that leads nowhere"
        assert (await crm.get(f"{CUSTOMERS}/{id_}")).status_code == 404
        assert (await crm.get(CUSTOMERS, params={"number": SHARED})).json()["items"][0]["name"] == "Жена"
        assert (await crm.get(f"/api/v1/do-not-call/{SHARED}")).status_code == 200
        left = await run(engine, "select call_id, customer_number from calls order by call_id")
        assert [tuple(row) for row in left] == [
            ("main-1", None),
            ("main-2", None),
            ("main-3", None),
            ("main-4", None),
            ("main-5", SHARED),
        ], "the call somebody said was theirs, and not the other's"

    async def test_what_is_being_written_down_at_that_moment_goes_too(
        self, crm: httpx.AsyncClient, admin: httpx.AsyncClient, engine: AsyncEngine
    ) -> None:
        id_ = (await made(crm))["id"]
        await crm.get(f"/api/v1/do-not-call/{NUMBER}")
        await crm.put(f"/api/v1/do-not-call/{NUMBER}", json={"reason": "asked"})
        assert (await crm.get(f"/api/v1/do-not-call/{NUMBER}")).status_code == 200
        assert (await admin.post(f"{CUSTOMERS}/{id_}/erase")).status_code == 200

        async def written() -> list[Any]:
            return await run(engine, "select 1 from audit_log where action = 'do_not_call.read'")

        await until(written)
        assert await places_of(engine, NUMBER) == {}

    async def test_not_while_they_are_on_the_phone(
        self, crm: httpx.AsyncClient, admin: httpx.AsyncClient, engine: AsyncEngine
    ) -> None:
        id_ = (await made(crm))["id"]
        await keep(engine, ringing("main-1"))
        assert_problem(await admin.post(f"{CUSTOMERS}/{id_}/erase"), 409, "conflict")
        assert (await crm.get(f"{CUSTOMERS}/{id_}")).status_code == 200
        await keep(engine, ended("main-1"))
        assert (await admin.post(f"{CUSTOMERS}/{id_}/erase")).status_code == 200

    async def test_by_number_who_is_no_customer(
        self, crm: httpx.AsyncClient, admin: httpx.AsyncClient, engine: AsyncEngine
    ) -> None:
        """Their record was deleted, or never was; calls, notes and lists have their number."""
        id_ = (await made(crm))["id"]
        await keep(engine, talk("main-1", NUMBER), ended("main-2", number=OTHER_NUMBER))
        await run(
            engine,
            "insert into notes (call_id, text, author_kind, author) values ('main-1', 'x', 'agent', '101')",
        )
        await crm.put(f"/api/v1/do-not-call/{NUMBER}", json={"reason": "asked"})
        other = (await made(crm, external_id="C-4", name="Other", phones=[OTHER_NUMBER]))["id"]
        [(hook,)] = await run(
            engine,
            "insert into webhooks (name, url, events) values ('h', 'https://x', '{call.ended}') returning id",
        )
        for one, payload in ((id_, {"name": NAME, "e164": NUMBER}), (other, {"once": [NUMBER]})):
            await run(
                engine,
                "insert into webhook_deliveries (webhook_id, event_id, type, subject, payload) values "
                "(:hook, gen_random_uuid(), 'customer.changed', :subject, cast(:payload as jsonb))",
                hook=hook,
                subject=one,
                payload=json.dumps(payload),
            )
        given = {"number": "8 (900) 111-22-33"}
        theirs = await admin.post("/api/v1/erase", json=given)
        assert_problem(theirs, 409, "conflict")
        assert id_ in theirs.json()["detail"]
        await crm.delete(f"{CUSTOMERS}/{id_}")
        assert (await crm.post("/api/v1/erase", json=given)).status_code == 403
        answer = await admin.post("/api/v1/erase", json=given)
        assert answer.status_code == 200, answer.text
        removed = answer.json()["removed"]
        assert (removed["calls"], removed["notes"], removed["do_not_call"]) == (1, 1, 1)
        assert await places_of(engine, NAME) == {}
        assert await places_of(engine, NUMBER) == {"webhook_deliveries": 1}, "what was told of the other one"
        assert (await crm.get(f"{CUSTOMERS}/{other}")).status_code == 200
        assert len(await run(engine, "select 1 from audit_log where action = 'number.erased'")) == 1
        assert_problem(await admin.post("/api/v1/erase", json={"number": "101"}), 422, "invalid")

    async def test_only_who_may(self, crm: httpx.AsyncClient) -> None:
        id_ = (await made(crm))["id"]
        assert_problem(await crm.post(f"{CUSTOMERS}/{id_}/erase"), 403, "forbidden")

    async def test_the_last_cards_of_agents_and_what_processes_remember_are_forgotten(
        self, crm: httpx.AsyncClient, admin: httpx.AsyncClient, redis: Redis
    ) -> None:
        await PushPublisher(redis).publish("agent:101", json.dumps({"name": NAME}).encode())
        history = log_key("agent:101")
        assert await redis.exists(history)
        await admin.post(f"{CUSTOMERS}/{(await made(crm))['id']}/erase")
        assert not await redis.exists(history)
        assert await redis.exists(FORGOTTEN)

    async def test_what_is_told_late_brings_nobody_back(
        self, crm: httpx.AsyncClient, admin: httpx.AsyncClient, engine: AsyncEngine, redis: Redis
    ) -> None:
        """By a listener that says a call again, and by one who tells calls over HTTP."""
        id_ = (await made(crm))["id"]
        ingest = IngestService(redis, RecordedCalls(engine), (), lambda _: "RU", lambda: at(60))
        said = [
            CallEvent.model_validate(
                {"pbx": "kazan", "call_id": "1", "type": type_, "at": at(n), "from": NUMBER}
            )
            for n, type_ in enumerate(("started", "ended", "answered"))
        ]
        await ingest.take(said[:2])
        entries: Any = await redis.xrange(CALLS_STREAM)
        await keep(engine, talk("main-1", NUMBER), decode_update(entries[-1][1]))
        assert (await admin.post(f"{CUSTOMERS}/{id_}/erase")).json()["removed"]["calls"] == 2
        assert (await redis.hlen(TOLD), await redis.zcard(TOLD_DUE)) == (0, 0)

        [late] = await ingest.take(said[2:])
        assert late.status == "late"
        again = talk("main-1", NUMBER)
        await keep(engine, again.model_copy(update={"version": 10**14}))
        assert await places_of(engine, NUMBER) == {}

    async def test_a_call_whose_end_nobody_heard_is_over(
        self, crm: httpx.AsyncClient, admin: httpx.AsyncClient, engine: AsyncEngine
    ) -> None:
        """Nothing comes back with its end, if that is heard after all."""
        id_ = (await made(crm))["id"]
        await keep(engine, ringing("main-1"))
        await run(engine, "update calls set started_at = now() - interval '1 day'")
        assert (await admin.post(f"{CUSTOMERS}/{id_}/erase")).json()["removed"]["calls"] == 1
        await keep(engine, ended("main-1"))
        assert await places_of(engine, NUMBER) == {}
        left = await CallRepository(engine).get("main-1")
        assert left is not None
        assert (left.call.state, left.call.end_reason, left.call.gap) == ("ended", "unknown", True)
        assert await run(engine, "select 1 from calls where state = 'ended' and ended_at is not null")


class TestExport:
    async def test_all_that_is_kept(self, crm: httpx.AsyncClient, engine: AsyncEngine) -> None:
        id_ = await a_known_person(crm, engine)
        answer = await crm.get(f"{CUSTOMERS}/{id_}/export")
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert {c["external_id"] for c in body["customers"]} == {"C-1", "C-2"}
        assert [n["text"] for n in body["notes"]] == [f"{NAME}: secret wish", NAME]
        assert {c["document"]["call_id"] for c in body["calls"]} == {
            "main-1",
            "main-2",
            "main-3",
            "main-4",
            "main-5",
        }
        assert [row["e164"] for row in body["do_not_call"]] == sorted([NUMBER, SHARED])
        assert [row["e164"] for row in body["black_list"]] == [OTHER_NUMBER]
        assert [row["call_id"] for row in body["call_identities"]] == ["main-4"]
        assert {"customer.created", "customer.exported", "lookup"} <= {e["action"] for e in body["audit"]}

    async def test_it_waits_for_nobody_who_changes_the_customer_and_calls_come_in_pieces(
        self, crm: httpx.AsyncClient, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(subject, "_AT_ONCE", 2)
        id_ = await a_known_person(crm, engine)
        async with engine.begin() as changing:
            await changing.execute(text("select from customers for update"))
            answer = await crm.get(f"{CUSTOMERS}/{id_}/export", timeout=5)
        calls = [c["document"]["call_id"] for c in answer.json()["calls"]]
        assert sorted(calls) == ["main-1", "main-2", "main-3", "main-4", "main-5"]

    async def test_unknown(self, crm: httpx.AsyncClient) -> None:
        assert_problem(
            await crm.get(f"{CUSTOMERS}/0b7e5a0e-3d2c-4f6e-9d65-0b2f0e6c7a11/export"), 404, "not-found"
        )


def test_a_scrubbed_call_is_a_call_of_our_people() -> None:
    outbound = call(
        "main-1",
        "ended",
        (
            leg("101", "ended", "hangup", answered=3, ended=60),
            Leg(endpoint="SIP/79001112233", channel="SIP/x-1"),
        ),
        direction="outbound",
        did=NUMBER,
        caller=Caller(number="101", endpoint="PJSIP/agent101"),
        ended_at=at(60),
    )
    left = Call.model_validate(scrubbed({**outbound.to_dict(), "said_by_a_newer_listener": NUMBER}))
    assert "79001112233" not in left.model_dump_json()
    assert [x.endpoint for x in left.legs] == ["PJSIP/agent101", "erased"] or left.legs[0].agent is None
    assert (left.ended_at, left.direction, left.call_id) == (at(60), "outbound", "main-1")
    inbound = Call.model_validate(scrubbed(talk("main-2", NUMBER).call.to_dict()))
    assert (inbound.did, inbound.caller.number, inbound.caller.name) == ("+78000000003", None, None)
    assert [(entry.what, entry.who) for entry in inbound.timeline] == [("arrived", None)]
