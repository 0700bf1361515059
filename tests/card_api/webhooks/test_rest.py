"""/api/v1/webhooks as CRM teams use it."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.api_keys.repository import ApiKeyRepository
from card_api.api_keys.service import ApiKeyService
from card_api.app import card_api, now_utc
from card_api.webhooks.models import webhook_deliveries
from shared.settings import Settings
from tests.card_api.conftest import SECRET, Send, until
from tests.card_api.makers import ended, ringing
from tests.card_api.webhooks.receiver import Receiver, always
from tests.card_api.webhooks.test_delivery import signatures

HOOKS = "/api/v1/webhooks"


@pytest.fixture
async def api(database_url: str, redis_url: str, engine: AsyncEngine) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a key for web hooks."""
    key = await ApiKeyService(ApiKeyRepository(engine), now_utc).create("CRM", ["webhooks"])
    async with card_api(
        Settings(), database_url=database_url, redis_url=redis_url, auth_secret=SECRET
    ) as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test", headers={"X-API-Key": key}
        ) as client:
            yield client


async def test_a_retry_makes_no_second_hook_and_no_second_secret(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    body, key = {"name": "CRM", "url": "https://crm.example/"}, {"Idempotency-Key": "a"}
    first, again = [await api.post(HOOKS, json=body, headers=key) for _ in range(2)]
    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    assert len((await api.get(HOOKS)).json()["items"]) == 1
    one = f"{HOOKS}/{first.json()['id']}"
    rotated, twice = [
        await api.post(f"{one}/rotate-secret", headers=key | {"Idempotency-Key": "b"}) for _ in range(2)
    ]
    assert rotated.json() == twice.json() != {"secret": first.json()["secret"]}
    async with engine.connect() as connection:
        kept = (
            await connection.execute(text("select convert_from(body, 'UTF8') from idempotency_keys"))
        ).scalars()
        assert "whsec_" not in "".join(kept)


async def test_of_two_who_change_a_hook_the_first_wins(api: httpx.AsyncClient) -> None:
    made = await create(api, "https://crm.example/")
    one = f"{HOOKS}/{made['id']}"
    old = {"If-Match": (await api.get(one)).headers["etag"]}
    changed = await api.patch(one, json={"name": "ERP"}, headers=old)
    assert (changed.status_code, changed.headers["etag"] != old["If-Match"]) == (200, True)
    for late in (await api.patch(one, json={"name": "BI"}, headers=old), await api.delete(one, headers=old)):
        assert (late.status_code, late.json()["type"]) == (412, "urn:callcard:error:changed-meanwhile")
    assert (await api.get(one)).json()["name"] == "ERP"
    assert (await api.delete(one, headers={"If-Match": changed.headers["etag"]})).status_code == 204


async def create(api: httpx.AsyncClient, url: str, **more: Any) -> dict[str, Any]:
    answer = await api.post(HOOKS, json={"name": "CRM", "url": url, **more})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == f"{HOOKS}/{made['id']}"
    return made


async def test_a_hook_is_made_seen_changed_and_deleted(api: httpx.AsyncClient, receiver: Receiver) -> None:
    made = await create(api, receiver.url, events=["call.ended", "call.started", "call.ended"])
    assert made["secret"].startswith("whsec_")
    assert made["events"] == ["call.started", "call.ended"]
    seen = (await api.get(f"{HOOKS}/{made['id']}")).json()
    assert seen == {k: v for k, v in made.items() if k != "secret"}, "the secret is not shown again"
    assert (await api.get(HOOKS)).json() == {"items": [seen]}
    changed = (await api.patch(f"{HOOKS}/{made['id']}", json={"name": "ERP", "active": False})).json()
    assert (changed["name"], changed["active"], changed["events"]) == ("ERP", False, seen["events"])
    rotated = (await api.post(f"{HOOKS}/{made['id']}/rotate-secret")).json()
    assert rotated["secret"] != made["secret"]
    assert (await api.delete(f"{HOOKS}/{made['id']}")).status_code == 204
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/test"), ("GET", "/deliveries")):
        answer = await api.request(method, f"{HOOKS}/{made['id']}{path}")
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:callcard:error:not-found")


_WRONG: tuple[dict[str, Any], ...] = (
    {"url": "ftp://crm.example/"},
    {"url": "crm.example/hook"},
    {"url": "http://"},
    {"url": "https://crm.example/#top"},
    {"url": "https://crm.example/\u0000"},
    {"url": "http://[::1"},
    {"url": "http://169.254.169.254/latest/meta-data/"},
    {"url": "http://[::ffff:a9fe:a9fe]:8080/"},
    {"events": []},
    {"events": ["call.rang"]},
    {"format": "xml"},
    {"format": "zammad", "events": ["call.missed"]},
    {"name": " "},
    {"name": "a\u0000b"},
    {"evnts": ["call.ended"]},
)


async def test_what_is_wrong_is_said(api: httpx.AsyncClient) -> None:
    for wrong in _WRONG:
        answer = await api.post(HOOKS, json={"name": "CRM", "url": "https://crm.example/", **wrong})
        said = (answer.status_code, answer.json()["type"])
        assert said == (422, "urn:callcard:error:invalid"), (wrong, answer.text)


async def test_a_zammad_hook_is_not_changed_into_what_it_cannot_say(api: httpx.AsyncClient) -> None:
    made = await create(api, "https://zammad.example/api/v1/cti/x", format="zammad")
    assert made["events"] == ["call.started", "call.answered", "call.ended"]
    answer = await api.patch(f"{HOOKS}/{made['id']}", json={"events": ["customer.created"]})
    assert (answer.status_code, "Zammad" in answer.json()["detail"]) == (422, True)


async def test_a_trial_says_what_came_of_it(api: httpx.AsyncClient, receiver: Receiver) -> None:
    made = await create(api, receiver.url)
    answer = (await api.post(f"{HOOKS}/{made['id']}/test")).json()
    assert (answer["delivered"], answer["status_code"], answer["error"]) == (True, 204, None)
    (request,) = receiver.got
    assert (request.json["type"], request.json["data"]) == ("ping", {"webhook": "CRM"})
    assert signatures(request, UUID(made["id"]), 1)
    receiver.answer = always(401, "who are you?")
    answer = (await api.post(f"{HOOKS}/{made['id']}/test")).json()
    assert (answer["delivered"], answer["error"]) == (False, "Answered 401: who are you?")


async def test_a_call_becomes_deliveries_that_can_be_looked_at_and_replayed(
    api: httpx.AsyncClient, receiver: Receiver, send: Send, engine: AsyncEngine
) -> None:
    made = await create(api, receiver.url)
    path = f"{HOOKS}/{made['id']}/deliveries"
    await send(ringing(version=10), ended(version=20))

    async def listed() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await api.get(path)).json()["items"]
        return items if len(items) == 3 else []

    items = await until(listed)
    assert [item["type"] for item in items] == ["call.ended", "call.answered", "call.started"]
    assert {item["subject"] for item in items} == {"main-1.1"}
    first = (await api.get(path, params={"limit": 2})).json()
    second = (await api.get(path, params={"limit": 2, "cursor": first["next"]})).json()
    assert [*first["items"], *second["items"]] == items
    assert second["next"] is None
    assert (await api.get(path, params={"state": "dead"})).json()["items"] == []
    one = (await api.get(f"{path}/{items[0]['id']}")).json()
    assert one["payload"]["data"]["call_id"] == "main-1.1"
    again = await api.post(f"{path}/{items[0]['id']}/replay")
    assert (again.status_code, "on its way" in again.json()["detail"]) == (409, True)

    async with engine.begin() as connection:
        await connection.execute(update(webhook_deliveries).values(state="dead", next_at=None))
    assert len((await api.get(path, params={"state": "dead"})).json()["items"]) == 3
    assert (await api.post(f"{path}/{items[0]['id']}/replay")).status_code == 202
    assert (await api.post(f"{HOOKS}/{made['id']}/replay-dead")).json() == {"replayed": 2}
    assert (await api.get(path, params={"state": "pending"})).json()["items"][0]["attempts"] == 0
    for wrong in ("0", str(2**63), "x"):
        assert (await api.get(f"{path}/{wrong}")).status_code == 422
    assert (await api.get(path, params={"cursor": "abc"})).status_code == 422
    assert (await api.get(f"{path}/999999")).status_code == 404
    assert (await api.patch(f"{HOOKS}/{made['id']}", json={"active": False})).status_code == 200
    assert (await api.post(f"{HOOKS}/{made['id']}/replay-dead")).status_code == 409


async def test_it_needs_the_scope(api: httpx.AsyncClient, engine: AsyncEngine) -> None:
    other = await ApiKeyService(ApiKeyRepository(engine), now_utc).create("PBX", ["lookup"])
    assert (await api.get(HOOKS, headers={"X-API-Key": other})).status_code == 403
    assert (await api.get(HOOKS, headers={"X-API-Key": ""})).status_code == 401
    admin = await ApiKeyService(ApiKeyRepository(engine), now_utc).create("ops", ["admin"])
    assert (await api.get(HOOKS, headers={"X-API-Key": admin})).status_code == 200


async def test_without_postgresql_it_says_so(api: httpx.AsyncClient, engine: AsyncEngine) -> None:
    assert (await api.get(HOOKS)).status_code == 200
    async with engine.connect() as connection:
        await connection.execute(text("alter table webhooks rename to elsewhere"))
        await connection.commit()
    answer = await api.get(HOOKS)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_hooks_are_not_without_end(api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("card_api.webhooks.service.MOST_HOOKS", 2)
    await create(api, "https://a.example/")
    await create(api, "https://b.example/")
    answer = await api.post(HOOKS, json={"name": str(uuid4()), "url": "https://c.example/"})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:callcard:error:conflict")
