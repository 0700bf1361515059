"""Scripts over REST, and on the cards."""

from typing import Any

import pytest
from httpx import AsyncClient, Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.api_keys.repository import ApiKeyRepository
from card_api.api_keys.service import ApiKeyService
from card_api.app import now_utc
from card_api.audit.models import audit_log
from card_api.scripts.schemas import ScriptWrite
from card_api.scripts.service import ScriptService
from card_api.transaction import transaction
from tests.card_api.conftest import Send, sign_in, until
from tests.card_api.makers import ringing

SCRIPTS = "/api/v1/scripts"


@pytest.fixture
async def admin(client: AsyncClient, engine: AsyncEngine) -> dict[str, str]:
    return {"X-API-Key": await ApiKeyService(ApiKeyRepository(engine), now_utc).create("boss", ["admin"])}


async def add(client: AsyncClient, headers: dict[str, str], **script: Any) -> Response:
    return await client.post(SCRIPTS, json={"text": "Здравствуйте", **script}, headers=headers)


async def test_a_script_is_kept_changed_and_deleted(
    client: AsyncClient, admin: dict[str, str], engine: AsyncEngine
) -> None:
    made = await add(client, admin, did="8 800 000-00-03", queue="support", category="vip", language="ru")
    kept = made.json()
    assert (made.status_code, made.headers["location"]) == (201, f"{SCRIPTS}/{kept['id']}")
    assert (kept["did"], kept["queue"], kept["category"], kept["language"]) == (
        "+78000000003",
        "support",
        "vip",
        "ru",
    )

    one = f"{SCRIPTS}/{kept['id']}"
    assert (await client.get(one, headers=admin)).json() == kept
    assert (await client.get(SCRIPTS, headers=admin)).json() == {"items": [kept]}

    changed = await client.put(one, json={"text": "{greeting}", "queue": "sales"}, headers=admin)
    assert changed.status_code == 200
    assert (changed.json()["did"], changed.json()["queue"], changed.json()["text"]) == (
        None,
        "sales",
        "{greeting}",
    )

    assert (await client.delete(one, headers=admin)).status_code == 204
    for answer in (
        await client.get(one, headers=admin),
        await client.put(one, json={"text": "x"}, headers=admin),
        await client.delete(one, headers=admin),
    ):
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:callcard:error:not-found")
    async with engine.connect() as connection:
        done = select(audit_log.c.action).where(audit_log.c.subject == kept["id"]).order_by(audit_log.c.id)
        assert list(await connection.scalars(done)) == ["script.created", "script.changed", "script.deleted"]


async def test_what_somebody_else_has_changed_is_not_overwritten(
    client: AsyncClient, admin: dict[str, str]
) -> None:
    made, again = [await add(client, {**admin, "Idempotency-Key": "a"}) for _ in range(2)]
    assert (again.status_code, again.content, again.headers["etag"], again.headers["location"]) == (
        201,
        made.content,
        made.headers["etag"],
        made.headers["location"],
    ), "a retry, and no complaint that there is one"
    one, tag = f"{SCRIPTS}/{made.json()['id']}", made.headers["etag"]
    assert (await client.get(one, headers=admin)).headers["etag"] == tag
    same = await client.get(one, headers={**admin, "If-None-Match": tag})
    assert (same.status_code, same.content) == (304, b"")
    first = await client.put(one, json={"text": "A"}, headers={**admin, "If-Match": tag})
    assert (first.status_code, first.headers["etag"] != tag) == (200, True)
    late = await client.put(one, json={"text": "B"}, headers={**admin, "If-Match": tag})
    assert (late.status_code, late.json()["type"]) == (412, "urn:callcard:error:changed-meanwhile")
    assert first.headers["etag"] in late.json()["detail"]
    assert (await client.delete(one, headers={**admin, "If-Match": tag})).status_code == 412
    assert (await client.get(one, headers=admin)).json()["text"] == "A"
    gone = await client.delete(one, headers={**admin, "If-Match": first.headers["etag"]})
    assert gone.status_code == 204
    missing = await client.put(one, json={"text": "B"}, headers={**admin, "If-Match": "*"})
    assert missing.status_code == 404


async def test_one_script_a_place(client: AsyncClient, admin: dict[str, str]) -> None:
    assert (await add(client, admin)).status_code == 201
    second = await add(client, admin, queue="support")
    assert second.status_code == 201
    again = await add(client, admin)
    assert (again.status_code, again.json()["type"]) == (409, "urn:callcard:error:conflict")
    moved = await client.put(f"{SCRIPTS}/{second.json()['id']}", json={"text": "x"}, headers=admin)
    assert moved.status_code == 409


async def test_what_is_wrong_is_said(client: AsyncClient, admin: dict[str, str]) -> None:
    for wrong in (
        {"category": "none-such"},
        {"text": ""},
        {"text": "NUL\0"},
        {"queue": "NUL\0"},
        {"text": "x" * 4001},
        {"language": "de"},
        {"txet": "x"},
    ):
        answer = await add(client, admin, **wrong)
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:callcard:error:invalid"), wrong
    assert (await client.get(SCRIPTS, headers=admin)).json() == {"items": []}


async def test_it_is_for_supervisors_and_admins(client: AsyncClient, api_key: str, token: str) -> None:
    for headers, status in (
        ({}, 401),
        ({"X-API-Key": api_key}, 403),
        ({"Authorization": f"Bearer {token}"}, 403),
        ({"Authorization": f"Bearer {await sign_in(client, '104')}"}, 201),
    ):
        assert (await add(client, headers)).status_code == status, headers


async def test_it_is_on_the_cards_of_the_next_calls(
    client: AsyncClient, admin: dict[str, str], token: str, send: Send
) -> None:
    await add(client, admin, text="Общий")
    await add(client, admin, did="+78000000003", category="vip", text="{name}, чем помочь?")

    async def script(call_id: str, **more: Any) -> str | None:
        await send(ringing(call_id, **more))

        async def card() -> dict[str, Any] | None:
            answer = await client.get(
                f"/api/v1/cards/{call_id}", headers={"Authorization": f"Bearer {token}"}
            )
            body: dict[str, Any] = answer.json()
            return body if answer.status_code == 200 and body["timings"]["looked_up"] else None

        said: str | None = (await until(card))["script"]
        return said

    assert await script("main-1.1", number="+79001112233") == "Пётр Сергеевич, чем помочь?"
    assert await script("main-1.2", number="+79990000000") == "Общий"


async def test_another_process_has_it_when_it_reads_the_table(engine: AsyncEngine, database_url: str) -> None:
    one, two = (ScriptService(engine, "RU", now_utc) for _ in range(2))
    async with transaction(engine) as connection:
        await one.add(connection, ScriptWrite(text="A"), ("api_key", "cck_x"))
    await one.changed()
    assert (one.find(None, None, None, "ru"), two.find(None, None, None, "ru")) == ("A", None)
    await two.refresh()
    assert two.find(None, None, None, "ru") == "A"


async def test_a_body_that_python_cannot_read_is_a_problem_document(
    client: AsyncClient, admin: dict[str, str]
) -> None:
    headers = {**admin, "Content-Type": "application/json"}
    for body in (b'{"text": "\xff\xde"}', b'{"text": %s}' % (b"9" * 6000), b"[" * 100_000):
        answer = await client.post(SCRIPTS, content=body, headers=headers)
        assert answer.status_code == 422, body[:20]
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"].startswith("The body cannot be read: send JSON in UTF-8")
