"""Reading the audit log over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx import AsyncClient
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.api_keys.repository import ApiKeyRepository
from card_api.api_keys.service import ApiKeyService
from card_api.app import now_utc
from card_api.audit.query import AuditFilter, statement
from card_api.audit.repository import AuditEntry, AuditRepository
from card_api.audit.service import AuditService
from tests.card_api.conftest import sign_in, until

AUDIT = "/api/v1/audit"
NUMBER = "+79001112233"
THEN = datetime(2126, 11, 21, 9, 0, tzinfo=UTC)


@pytest.fixture
async def admin(engine: AsyncEngine) -> dict[str, str]:
    return {"X-API-Key": await ApiKeyService(ApiKeyRepository(engine), now_utc).create("boss", ["admin"])}


@pytest.fixture
async def customer(client: AsyncClient, engine: AsyncEngine) -> str:
    async with engine.connect() as connection:
        found = text("select customer_id from customer_phones where e164 = :e")
        return str((await connection.execute(found, {"e": NUMBER})).scalar_one())


@pytest.fixture
async def entries(engine: AsyncEngine, customer: str) -> None:
    """Of a day far ahead, so that what the tests themselves do is told apart by time."""
    said: list[tuple[Any, str, str, str | None]] = [
        ("api_key", "cck_crm000", "lookup", NUMBER),
        ("agent", "101", "card.read", NUMBER),
        ("agent", "102", "customer.changed", customer),
        ("api_key", "cck_crm000", "lookup", "+79005556677"),
        ("system", "command line", "apikey.created", "cck_crm000"),
    ]
    await AuditRepository(engine).add(
        [AuditEntry(THEN + timedelta(minutes=n), *entry, {"n": n}) for n, entry in enumerate(said)]
    )


async def found(client: AsyncClient, headers: dict[str, str], **query: Any) -> list[int]:
    answer = await client.get(AUDIT, params={"since": THEN.isoformat(), **query}, headers=headers)
    assert answer.status_code == 200, answer.text
    return [item["detail"]["n"] for item in answer.json()["items"]]


async def test_each_filter(client: AsyncClient, admin: dict[str, str], customer: str, entries: None) -> None:
    for query, wanted in [
        ({}, [4, 3, 2, 1, 0]),
        ({"subject": "8 (900) 111-22-33"}, [1, 0]),
        ({"subject": customer}, [2, 1, 0]),
        ({"subject": "cck_crm000"}, [4]),
        ({"actor": "cck_crm000"}, [3, 0]),
        ({"actor": "101", "action": "card.read"}, [1]),
        ({"action": "lookup", "subject": NUMBER}, [0]),
        ({"until": (THEN + timedelta(minutes=2)).isoformat()}, [1, 0]),
    ]:
        assert await found(client, admin, **query) == wanted, query


async def test_pages(client: AsyncClient, admin: dict[str, str], entries: None) -> None:
    query: dict[str, Any] = {"since": THEN.isoformat(), "limit": 2}
    seen: list[int] = []
    for _ in range(3):
        body = (await client.get(AUDIT, params=query, headers=admin)).json()
        seen += [item["detail"]["n"] for item in body["items"]]
        query["cursor"] = body["next"]
    assert (seen, query["cursor"]) == ([4, 3, 2, 1, 0], None)


async def test_an_entry_as_it_is_shown(client: AsyncClient, admin: dict[str, str], entries: None) -> None:
    query = {"subject": NUMBER, "actor": "101", "since": THEN.isoformat()}
    [item] = (await client.get(AUDIT, params=query, headers=admin)).json()["items"]
    assert item.pop("id") > 0
    assert item == {
        "at": "2126-11-21T09:01:00.000Z",
        "actor_kind": "agent",
        "actor": "101",
        "action": "card.read",
        "subject": NUMBER,
        "detail": {"n": 1},
    }


async def test_a_text_that_was_searched_is_not_kept(
    client: AsyncClient, admin: dict[str, str], engine: AsyncEngine
) -> None:
    """It may be a name, and an erasure looks for names nowhere else than in the whole of a field."""
    for subject in (NUMBER, "Иванов Петя"):
        assert (await client.get(AUDIT, params={"subject": subject}, headers=admin)).status_code == 200

    async def read() -> list[Any]:
        async with engine.connect() as connection:
            rows = await connection.execute(
                text(
                    "select subject, detail -> 'text' from audit_log where action = 'audit.read' order by id"
                )
            )
            return [tuple(row) for row in rows]

    async def both() -> bool:
        return len(await read()) == 2

    await until(both)
    assert await read() == [(NUMBER, None), (None, True)]


async def test_for_supervisors_and_administrators_only(
    client: AsyncClient, api_key: str, admin: dict[str, str], entries: None
) -> None:
    boss = {"Authorization": f"Bearer {await sign_in(client, '104')}"}
    assert await found(client, boss) == [4, 3, 2, 1, 0]
    for headers, code in [
        ({"Authorization": f"Bearer {await sign_in(client, '101')}"}, 403),
        ({"X-API-Key": api_key}, 403),
        ({}, 401),
    ]:
        assert (await client.get(AUDIT, headers=headers)).status_code == code

    async def read() -> list[Any]:
        query = {"action": "audit.read", "actor": "104"}
        return list((await client.get(AUDIT, params=query, headers=admin)).json()["items"])

    assert (await until(read))[0]["actor_kind"] == "agent"


async def test_questions_that_make_no_sense(client: AsyncClient, admin: dict[str, str]) -> None:
    wrong: list[dict[str, Any]] = [
        {"cursor": "x"},
        {"limit": 0},
        {"since": "9999-12-31T23:59:59-10:00"},
        {"subject": "a\0"},
    ]
    wrong += [{"since": "9999-12-31T23:59:59-10:00"}]
    for query in wrong:
        answer = await client.get(AUDIT, params=query, headers=admin)
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:callcard:error:invalid"), query


async def test_a_subject_is_found_by_its_index(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "insert into audit_log (at, actor_kind, actor, action, subject)"
                " select now(), 'system', 'x', 'x', 's' || n from generate_series(1, 5000) n"
            )
        )
        await connection.execute(text("analyze audit_log"))
        wanted = statement(AuditFilter(subject="s7"), 101)
        compiled = wanted.compile(dialect=postgresql.asyncpg.dialect())  # type: ignore[no-untyped-call]
        values = tuple(compiled.params[name] for name in compiled.positiontup or [])
        plan = await connection.exec_driver_sql(f"explain {compiled}", values)
        assert "audit_log_subject_idx" in "\n".join(plan.scalars())


async def test_an_entry_the_table_refuses_keeps_no_other_out(engine: AsyncEngine) -> None:
    audit = AuditService(AuditRepository(engine))
    for action, detail in (
        ("first", {}),
        ("refused", {"half": ["\ud800"]}),
        ("nul", {"x": "\0"}),
        ("last", {}),
    ):
        audit.note(AuditEntry(THEN, "system", "test", action, "NUL\0", detail))
    await audit.write()
    async with engine.connect() as connection:
        kept = await connection.execute(
            text("select action, subject from audit_log where actor = 'test' order by id")
        )
        assert [tuple(row) for row in kept] == [("first", "NUL"), ("nul", "NUL"), ("last", "NUL")]
