"""Keys over HTTP: two with different scopes, one revoked, one that asks too often; and the routes that make them."""

from typing import Any

import httpx
import pytest
from httpx import AsyncClient
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.api_keys.repository import ApiKeyRepository
from card_api.api_keys.service import ApiKeyService
from card_api.app import now_utc
from card_api.audit.models import audit_log
from card_api.idempotency.models import idempotency_keys

KEYS = "/api/v1/api-keys"


@pytest.fixture
def keys(engine: AsyncEngine) -> ApiKeyService:
    """As the command line has them: another process."""
    return ApiKeyService(ApiKeyRepository(engine), now_utc)


@pytest.fixture
async def admin(keys: ApiKeyService) -> dict[str, str]:
    return {"X-API-Key": await keys.create("administration", ["admin"])}


def headed(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def look_up(client: AsyncClient, key: str) -> httpx.Response:
    return await client.get("/api/v1/lookup", params={"number": "+79001112233"}, headers=headed(key))


async def test_each_scope_opens_its_own_doors(client: AsyncClient, keys: ApiKeyService) -> None:
    lookup, floor = await keys.create("crm", ["lookup"]), await keys.create("wall", ["floor"])
    queues = "/api/v1/pbx/main/queues"
    assert (await look_up(client, lookup)).status_code == 200
    refused = await look_up(client, floor)
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:callcard:error:forbidden")
    assert "--scope lookup" in refused.json()["detail"]
    assert (await client.get(queues, headers=headed(floor))).status_code in (200, 404)
    assert (await client.get(queues, headers=headed(lookup))).status_code == 403
    for key in (lookup, floor):
        assert (await client.get(KEYS, headers=headed(key))).status_code == 403


async def test_admin_opens_all(client: AsyncClient, admin: dict[str, str]) -> None:
    assert (await look_up(client, admin["X-API-Key"])).status_code == 200
    assert (await client.get(KEYS, headers=admin)).status_code == 200


async def test_one_runs_into_its_limit_and_the_others_do_not(
    client: AsyncClient, keys: ApiKeyService
) -> None:
    wild = (await keys.make("wild", ["lookup"], per_second=1)).key
    quiet = await keys.create("quiet", ["lookup"])
    answers = [await look_up(client, wild) for _ in range(4)]
    # Two at once, and perhaps one more if the machine needed a second for them.
    assert [a.status_code for a in answers[:2]] == [200, 200]
    limited = answers[-1]
    assert (limited.status_code, limited.json()["type"]) == (429, "urn:callcard:error:too-many-requests")
    assert int(limited.headers["retry-after"]) >= 1
    assert limited.headers["ratelimit-policy"] == '"key";q=1;w=1'
    assert limited.headers["ratelimit"] == '"key";r=0;t=1'
    assert limited.headers["x-ratelimit-remaining"] == "0"
    assert (await look_up(client, quiet)).status_code == 200


async def test_wrong_keys_are_counted_by_address(client: AsyncClient, keys: ApiKeyService) -> None:
    good = await keys.create("crm", ["lookup"])
    assert (await look_up(client, good)).status_code == 200
    codes = [(await look_up(client, f"cck_guess{n}")).status_code for n in range(60)]
    assert codes[:20] == [401] * 20
    assert 429 in codes[20:]
    assert (await look_up(client, good)).status_code == 200


class TestRoutes:
    async def test_the_life_of_a_key(
        self, client: AsyncClient, admin: dict[str, str], engine: AsyncEngine
    ) -> None:
        given = {
            "name": " crm ",
            "scopes": ["lookup"],
            "per_second": 50,
            "expires_at": "2126-01-01T00:00:00Z",
        }
        answer = await client.post(KEYS, json=given, headers=admin)
        assert answer.status_code == 201, answer.text
        assert answer.headers["cache-control"] == "no-store"
        made = answer.json()
        assert made["key"].startswith(made["prefix"])
        assert (made["name"], made["scopes"], made["per_second"]) == ("crm", ["lookup"], 50)
        assert made["expires_at"] == "2126-01-01T00:00:00.000Z"
        assert (await look_up(client, made["key"])).status_code == 200

        listed = await client.get(KEYS, headers=admin)
        assert made["key"] not in listed.text
        assert [k["name"] for k in listed.json()["items"]] == ["crm", "administration"]

        rotated = await client.post(f"{KEYS}/{made['id']}/rotate", json={"keep_seconds": 3600}, headers=admin)
        assert rotated.status_code == 201, rotated.text
        new = rotated.json()
        assert (new["name"], new["scopes"], new["per_second"]) == ("crm", ["lookup"], 50)
        for key in (made["key"], new["key"]):
            assert (await look_up(client, key)).status_code == 200

        for _ in range(2):
            assert (await client.delete(f"{KEYS}/{new['id']}", headers=admin)).status_code == 204
        assert (await look_up(client, new["key"])).status_code == 401, "at once in this process"
        assert (await look_up(client, made["key"])).status_code == 200
        again = await client.post(f"{KEYS}/{new['id']}/rotate", headers=admin)
        assert (again.status_code, again.json()["type"]) == (409, "urn:callcard:error:conflict")

        async with engine.connect() as connection:
            rows = await connection.execute(
                select(audit_log).where(audit_log.c.actor == admin["X-API-Key"][:10]).order_by(audit_log.c.id)
            )
            assert [(r.actor_kind, r.action, r.subject) for r in rows] == [
                ("api_key", "apikey.created", made["prefix"]),
                ("api_key", "apikey.rotated", new["prefix"]),
                ("api_key", "apikey.revoked", new["prefix"]),
            ]

    async def test_rotated_with_nothing_left_of_the_old_one(
        self, client: AsyncClient, admin: dict[str, str]
    ) -> None:
        made = (await client.post(KEYS, json={"name": "x", "scopes": ["lookup"]}, headers=admin)).json()
        assert (await look_up(client, made["key"])).status_code == 200
        answer = await client.post(f"{KEYS}/{made['id']}/rotate", json={"keep_seconds": 0}, headers=admin)
        assert answer.status_code == 201
        assert (await look_up(client, made["key"])).status_code == 401

    async def test_a_retry_makes_no_second_key_and_no_key_is_kept(
        self, client: AsyncClient, admin: dict[str, str], engine: AsyncEngine
    ) -> None:
        given, once = {"name": "x", "scopes": ["lookup"]}, {**admin, "Idempotency-Key": "a"}
        made, again = [await client.post(KEYS, json=given, headers=once) for _ in range(2)]
        assert (made.status_code, again.status_code) == (201, 409)
        assert {k: again.json()[k] for k in ("id", "prefix")} == {k: made.json()[k] for k in ("id", "prefix")}
        rotate, once = f"{KEYS}/{made.json()['id']}/rotate", {**admin, "Idempotency-Key": "b"}
        new, again = [await client.post(rotate, headers=once) for _ in range(2)]
        assert (new.status_code, again.json()["prefix"]) == (201, new.json()["prefix"])
        assert len((await client.get(KEYS, headers=admin)).json()["items"]) == 3
        async with engine.connect() as connection:
            kept = b"".join((await connection.execute(select(idempotency_keys.c.body))).scalars())
        assert new.json()["prefix"].encode() in kept
        assert not any(one.json()["key"].encode() in kept for one in (made, new))

    async def test_what_is_no_key(self, client: AsyncClient, admin: dict[str, str]) -> None:
        wrong: list[Any] = [
            {},
            {"name": "", "scopes": ["lookup"]},
            {"name": " ", "scopes": ["lookup"]},
            {"name": "a\0", "scopes": ["lookup"]},
            {"name": "a", "scopes": []},
            {"name": "a", "scopes": ["fly"]},
            {"name": "a", "scopes": ["lookup"], "per_second": 0},
            {"name": "a", "scopes": ["lookup"], "expires_at": "2020-01-01T00:00:00Z"},
            {"name": "a", "scopes": ["lookup"], "expires_at": "9999-12-31T23:59:59-10:00"},
            {"name": "a", "scopes": ["lookup"], "colour": "red"},
            [],
        ]
        for given in wrong:
            answer = await client.post(KEYS, json=given, headers=admin)
            assert (answer.status_code, answer.json()["type"]) == (422, "urn:callcard:error:invalid"), given

    async def test_ids_of_nobody(self, client: AsyncClient, admin: dict[str, str]) -> None:
        nobody = f"{KEYS}/00000000-0000-0000-0000-000000000000"
        assert (await client.delete(nobody, headers=admin)).status_code == 404
        assert (await client.post(f"{nobody}/rotate", headers=admin)).status_code == 404
        assert (await client.delete(f"{KEYS}/x", headers=admin)).status_code == 422

    async def test_no_key_and_no_agent_gets_in(self, client: AsyncClient, token: str) -> None:
        for headers in ({}, headed(token)):
            assert (await client.get(KEYS, headers=headers)).status_code == 401

    async def test_the_document_says_what_each_scope_allows(self, client: AsyncClient) -> None:
        schemes = (await client.get("/openapi.json")).json()["components"]["securitySchemes"]
        assert "`calls:write`: tell of calls" in schemes["apiKeyHeader"]["description"]
