"""The REST side: signing in, agents, cards, health, and a tidy OpenAPI document."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from httpx import AsyncClient
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text
from structlog.testing import capture_logs

import migrations
from card_api.agents.directory import Agent
from card_api.agents.repository import AgentRepository
from card_api.agents.service import AgentError, AgentService
from card_api.app import card_api
from card_api.audit.models import audit_log
from card_api.health.service import HealthService
from shared.bus import CALLS_STREAM, pbx_status_key
from shared.contracts.call import Caller, PbxLink, PbxStatus
from shared.contracts.card import Card
from shared.security import issue_token, verify_token
from shared.settings import Settings
from tests.card_api.conftest import PASSWORD, SECRET, Send, sign_in, until
from tests.card_api.makers import NOON, call, ended, leg, ringing, update

AGENTS_ROUTES = ["/api/v1/agents", "/api/v1/me", "/api/v1/pbx", "/api/v1/cards/main-1.1"]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def assert_problem(answer: httpx.Response, status: int, name: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["type"], body["status"]) == (f"urn:callcard:error:{name}", status)
    assert body["detail"].endswith((".", ")"))


class TestSignIn:
    async def test_a_password_for_a_token_and_a_token_for_a_fresh_one(self, client: AsyncClient) -> None:
        answer = await client.post("/api/v1/auth/sign-in", json={"login": " 101 ", "password": PASSWORD})
        body = answer.json()
        assert body["agent"] == {
            "login": "101",
            "name": "Анна Смирнова",
            "extension": "101",
            "role": "agent",
            "language": "ru",
        }
        claims = verify_token(SECRET, body["token"], datetime.now(UTC))
        assert (claims.login, claims.role) == ("101", "agent")
        assert claims.expires_at == datetime.fromisoformat(body["expires_at"])
        again = await client.post("/api/v1/auth/refresh", headers=bearer(body["token"]))
        assert again.status_code == 200
        assert (await client.get("/api/v1/me", headers=bearer(again.json()["token"]))).json() == body["agent"]

    async def test_wrong_ones_are_told_nothing(self, client: AsyncClient) -> None:
        said = set()
        with capture_logs() as logs:
            for login, password in [
                ("101", "wrong"),
                ("nobody", PASSWORD),
                ("10\0001", PASSWORD),
                ("' or 1=1", "x"),
            ]:
                given = {"login": login, "password": password}
                answer = await client.post("/api/v1/auth/sign-in", json=given)
                assert_problem(answer, 401, "unauthorised")
                said.add(answer.json()["detail"])
        assert len(said) == 1, "a known login must not be told from an unknown one"
        logged = [entry["login"] for entry in logs if entry["event"] == "sign-in refused"]
        assert logged == ["101", *["(nobody's)"] * 3], "what is typed as a login may be a password"

    async def test_guessing_is_stopped_for_this_login_and_address_only(
        self, client: AsyncClient, redis: Redis
    ) -> None:
        async def guess(login: str, password: str) -> httpx.Response:
            return await client.post("/api/v1/auth/sign-in", json={"login": login, "password": password})

        together = await asyncio.gather(*(guess("101", "wrong") for _ in range(12)))
        assert sorted(answer.status_code for answer in together) == [401] * 10 + [429] * 2
        [key] = await redis.keys("callcard:signin:*")
        assert 0 < await redis.ttl(key) <= 900
        refused = await guess("101", PASSWORD)
        assert_problem(refused, 429, "too-many-requests")
        assert 0 < int(refused.headers["retry-after"]) <= 900
        assert (await guess("102", PASSWORD)).status_code == 200

    async def test_a_right_password_forgives_the_wrong_ones(self, client: AsyncClient, redis: Redis) -> None:
        await client.post("/api/v1/auth/sign-in", json={"login": "101", "password": "wrong"})
        await sign_in(client, "101")
        assert await redis.keys("callcard:signin:*") == []

    async def test_what_is_no_sign_in(self, client: AsyncClient) -> None:
        for body in ({}, {"login": "101"}, {"login": "", "password": "x"}, [], "101"):
            assert_problem(await client.post("/api/v1/auth/sign-in", json=body), 422, "invalid")

    async def test_the_password_does_not_come_back(self, client: AsyncClient) -> None:
        answer = await client.post("/api/v1/auth/sign-in", json={"login": 7, "password": "s3cret-word"})
        assert answer.status_code == 422
        assert "s3cret-word" not in answer.text


class TestToken:
    async def test_every_route_of_agents_wants_one(self, client: AsyncClient) -> None:
        now = datetime.now(UTC)
        hour = timedelta(hours=1)
        others: list[Mapping[str, str]] = [
            {},
            bearer("x.y.z"),
            bearer(issue_token("another secret, also quite long enough", "101", "agent", now, hour)),
            bearer(issue_token(SECRET, "101", "agent", now - 2 * hour, hour)),
            bearer(issue_token(SECRET, "nobody", "admin", now, hour)),
        ]
        for path in AGENTS_ROUTES:
            for headers in others:
                answer = await client.get(path, headers=dict(headers))
                assert_problem(answer, 401, "unauthorised")
                assert answer.headers["www-authenticate"].startswith("Bearer")

    async def test_an_agent_who_is_switched_off_is_out(
        self, client: AsyncClient, token: str, engine: AsyncEngine, redis: Redis
    ) -> None:
        agents = AgentService(AgentRepository(engine), redis)
        await agents.save(Agent("101", "Анна Смирнова", "101", active=False))

        async def out() -> bool:
            return (await client.get("/api/v1/me", headers=bearer(token))).status_code == 401

        await until(out)
        answer = await client.post("/api/v1/auth/sign-in", json={"login": "101", "password": PASSWORD})
        assert_problem(answer, 401, "unauthorised")


class TestAgents:
    async def test_the_list(self, client: AsyncClient, token: str) -> None:
        items = (await client.get("/api/v1/agents", headers=bearer(token))).json()["items"]
        assert [(a["login"], a["role"]) for a in items] == [
            ("101", "agent"),
            ("102", "agent"),
            ("103", "agent"),
            ("104", "supervisor"),
        ]

    async def test_a_new_agent_is_known_at_once(
        self, client: AsyncClient, token: str, engine: AsyncEngine, redis: Redis
    ) -> None:
        agents = AgentService(AgentRepository(engine), redis)
        added = Agent(" 105 ", "Новая", "105", endpoints=(("PJSIP/105", None),))
        assert (await agents.save(added, PASSWORD)).new
        moved = Agent("105", "Новая", "105", endpoints=(("PJSIP/105", "main"),))
        assert not (await agents.save(moved)).new
        assert (
            await client.get("/api/v1/me", headers=bearer(await sign_in(client, "105")))
        ).status_code == 200

        async def listed() -> bool:
            answer = await client.get("/api/v1/agents", headers=bearer(token))
            return "105" in [a["login"] for a in answer.json()["items"]]

        await until(listed)
        [saved] = [a for a in await AgentRepository(engine).all() if a.login == "105"]
        assert saved.endpoints == (("PJSIP/105", "main"),)

    async def test_an_agent_that_makes_no_sense(
        self, engine: AsyncEngine, redis: Redis, samples: None
    ) -> None:
        for agent, password, says in [
            (Agent("Анна", "Анна"), None, "cannot be used"),
            (Agent("a b", "A"), None, "cannot be used"),
            (Agent("a", " "), None, "name is empty"),
            (Agent("a", "A", role="boss"), None, "agent, supervisor or admin"),
            (Agent("a", "A", endpoints=(("101", None),)), None, "technology and name"),
            (Agent("a", "A"), "short", "at least 8"),
            (Agent("a", "A", endpoints=(("PJSIP/agent101", None),)), None, "belongs to another"),
        ]:
            with pytest.raises(AgentError, match=says):
                await AgentService(AgentRepository(engine), redis).save(agent, password)
        assert len(await AgentRepository(engine).all()) == 4


class TestCards:
    async def card(self, client: AsyncClient, token: str, call_id: str, **query: str) -> httpx.Response:
        return await client.get(f"/api/v1/cards/{call_id}", params=query, headers=bearer(token))

    async def test_of_an_open_call_and_of_one_that_is_over(
        self, client: AsyncClient, token: str, send: Send, engine: AsyncEngine
    ) -> None:
        await send(ringing())

        async def there() -> Card | None:
            answer = await self.card(client, token, "main-1.1")
            found = Card.model_validate(answer.json()) if answer.status_code == 200 else None
            return found if found and found.caller.name else None

        card = await until(there)
        assert card is not None
        assert (card.state, card.caller.name) == ("ringing", "Иванов Пётр Сергеевич")
        await send(ended())

        async def over() -> bool:
            answer = await self.card(client, token, "main-1.1")
            return bool(answer.json()["state"] == "closed")

        await until(over)
        closed = Card.model_validate((await self.card(client, token, "main-1.1")).json())
        assert (closed.close_reason, closed.caller.name) == ("ended", "Иванов Пётр Сергеевич")

        async def audited() -> list[Any]:
            async with engine.connect() as connection:
                return list(
                    await connection.execute(select(audit_log).where(audit_log.c.action == "card.read"))
                )

        row = (await until(audited))[0]
        assert (row.actor_kind, row.actor, row.subject) == ("agent", "101", "+79001112233")

    async def test_of_somebody_elses_call_is_as_if_there_were_none(
        self, client: AsyncClient, token: str, send: Send
    ) -> None:
        await send(ringing("main-1.1", login="102"))
        boss = await sign_in(client, "104")

        async def there() -> bool:
            return (await self.card(client, boss, "main-1.1")).status_code == 200

        await until(there)
        for call_id in ("main-1.1", "main-9.9", "'; drop table calls; --", "%00", "📞"):
            answer = await self.card(client, token, call_id)
            assert_problem(answer, 404, "not-found")
            assert "Иванов" not in answer.text
        assert_problem(await self.card(client, token, "main-1.1", agent="102"), 404, "not-found")

    async def test_a_supervisor_sees_any(self, client: AsyncClient, send: Send) -> None:
        legs = (leg("101", "ended", "answered_elsewhere"), leg("102", "answered", answered=3))
        await send(update(call(legs=legs, caller=Caller(number="+79990000000")), 1))
        boss = await sign_in(client, "104")

        async def there() -> bool:
            return (await self.card(client, boss, "main-1.1")).status_code == 200

        await until(there)
        assert (await self.card(client, boss, "main-1.1")).json()["agent"] == "102"
        other = (await self.card(client, boss, "main-1.1", agent="101")).json()
        assert (other["agent"], other["close_reason"]) == ("101", "answered_elsewhere")


class TestHealth:
    async def test_all_is_well(self, client: AsyncClient) -> None:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["ready"]) == (200, True), answer.text

    async def test_an_old_schema_is_said(self, client: AsyncClient, engine: AsyncEngine) -> None:
        async with engine.begin() as connection:
            await connection.execute(text("update alembic_version set version_num = '0000'"))
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert "callcard db upgrade" in answer.json()["checks"]["postgresql"]["detail"]

    async def test_updates_that_wait_too_long_are_said(self, engine: AsyncEngine, redis: Redis) -> None:
        minute_ago = int((datetime.now(UTC) - timedelta(minutes=1)).timestamp() * 1000)
        await redis.xadd(CALLS_STREAM, {"u": "x"}, id=f"{minute_ago}-0")
        said = await HealthService(engine, redis, migrations.newest()).readiness()
        assert not said.ready
        assert said.checks["calls"].detail.startswith("1 updates wait, the oldest for 6")
        assert said.checks["postgresql"].ok

    async def test_it_starts_without_postgresql_and_redis(self) -> None:
        nowhere = "127.0.0.1:1"
        async with (
            card_api(
                Settings(),
                database_url=f"postgresql://callcard@{nowhere}/callcard",
                redis_url=f"redis://{nowhere}/0",
                auth_secret=SECRET,
            ) as app,
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http,
        ):
            assert (await http.get("/healthz")).status_code == 200
            answer = await http.get("/readyz")
            assert answer.status_code == 503
            checks = answer.json()["checks"]
            assert {name: check["ok"] for name, check in checks.items()} == dict.fromkeys(checks, False)
            token = issue_token(SECRET, "101", "agent", datetime.now(UTC), timedelta(hours=1))
            for path in AGENTS_ROUTES:
                assert_problem(await http.get(path, headers=bearer(token)), 503, "unavailable")
            body = {"login": "101", "password": "x"}
            assert_problem(await http.post("/api/v1/auth/sign-in", json=body), 503, "unavailable")
            headers = {"X-API-Key": "cck_x"}
            answer = await http.get("/api/v1/lookup", params={"number": "+79001112233"}, headers=headers)
            assert_problem(answer, 503, "unavailable")
            assert "callcard_open_calls 0.0" in (await http.get("/metrics")).text

    async def test_metrics(self, client: AsyncClient, send: Send) -> None:
        await send(ended())

        async def counted() -> bool:
            page = (await client.get("/metrics")).text
            found = {s.name: s.value for f in text_string_to_metric_families(page) for s in f.samples}
            return found["callcard_calls_stored_total"] == 1 and found["callcard_call_updates_backlog"] == 0

        await until(counted)


class TestPbx:
    async def test_the_links(self, client: AsyncClient, token: str, redis: Redis) -> None:
        status = PbxStatus(pbx="main", link=PbxLink.LOST, since=NOON, detail="Connection refused")
        await redis.set(pbx_status_key("main"), status.to_json())
        await redis.set(pbx_status_key("broken"), b"{")
        items = (await client.get("/api/v1/pbx", headers=bearer(token))).json()["items"]
        assert [(i["pbx"], i["link"], i["detail"]) for i in items] == [("main", "lost", "Connection refused")]


class TestOpenApi:
    async def test_every_operation_is_tidy(self, client: AsyncClient) -> None:
        document = (await client.get("/openapi.json")).json()
        tags = {tag["name"] for tag in document["tags"]}
        ids = []
        for path, item in document["paths"].items():
            for method, operation in item.items():
                where = f"{method} {path}"
                assert operation["summary"], where
                assert set(operation["tags"]) <= tags, where
                assert len(operation["tags"]) == 1, where
                ids.append(operation["operationId"])
                for status, response in operation["responses"].items():
                    if int(status) >= 400 and path.startswith("/api"):
                        assert list(response["content"]) == ["application/problem+json"], f"{where} {status}"
        assert len(ids) == len(set(ids))
        assert all(i.isidentifier() and "_" not in i for i in ids), "names for generated clients"

    async def test_what_is_protected_says_so(self, client: AsyncClient) -> None:
        document = (await client.get("/openapi.json")).json()
        schemes = document["components"]["securitySchemes"]
        assert set(schemes) == {"agentToken", "apiKeyBearer", "apiKeyHeader"}
        for path, item in document["paths"].items():
            for operation in item.values():
                names = {name for needed in operation.get("security", []) for name in needed}
                # The key of a bridge that can only be given a URL is in the path.
                open_to_all = path in ("/api/v1/auth/sign-in", "/api/v1/cti/zammad/{key}")
                assert bool(names) != open_to_all, path
                assert ("401" in operation["responses"]) == (path.startswith("/api")), path
                if "apiKeyHeader" in names:
                    assert "429" in operation["responses"], path
                if "application/json" in operation.get("requestBody", {}).get("content", {}):
                    assert {"413", "415"} <= set(operation["responses"]), path

    async def test_a_retry_is_safe_and_a_change_is_guarded(self, client: AsyncClient) -> None:
        """As the README says; what takes neither header is named here."""
        document = (await client.get("/openapi.json")).json()
        bare: dict[str, set[str]] = {"POST": set(), "PUT": set(), "PATCH": set(), "DELETE": set()}
        for item in document["paths"].values():
            for method, operation in item.items():
                given = {p["name"] for p in operation.get("parameters", []) if p["in"] == "header"}
                wanted = {"Idempotency-Key"} if method == "post" else {"If-Match"}
                if method != "get" and not wanted <= given:
                    bare[method.upper()].add(operation["operationId"])
        assert bare["POST"] == {
            *("signIn", "refreshToken", "signOut"),
            # The same however often: keys and moments of their own.
            *("loadCustomers", "tellCallEvents", "tellZammadEvent", "tellZammadEventByUrl"),
            # What holds of a caller is set; If-Match says who was first.
            *("identifyCaller", "nameSpeaker", "addCaller", "addCallersNumber"),
            # They are there to send again.
            *("testWebhook", "replayDelivery", "replayDead"),
        }
        assert bare["PUT"] == {"putDoNotCall", "putBlackListed"}, "one word each: the last counts"
        assert bare["PATCH"] == set()
        assert bare["DELETE"] == {"deleteDoNotCall", "deleteBlackListed", "deleteNote", "revokeApiKey"}

    async def test_another_page_may_call_if_it_is_allowed(self, client: AsyncClient) -> None:
        async def allowed(origin: str) -> str | None:
            headers = {
                "Origin": origin,
                "Access-Control-Request-Method": "GET",
                "Access-Control-Request-Headers": "authorization",
            }
            answer = await client.options("/api/v1/me", headers=headers)
            return answer.headers.get("access-control-allow-origin")

        assert await allowed("https://crm.example") == "https://crm.example"
        assert await allowed("https://evil.example") is None

    async def test_there_is_nothing_at_other_addresses(self, client: AsyncClient) -> None:
        assert_problem(await client.get("/api/v1/nothing"), 404, "not-found")
        answer = await client.delete("/api/v1/me")
        assert (answer.status_code, answer.json()["type"]) == (405, "urn:callcard:error:method-not-allowed")
