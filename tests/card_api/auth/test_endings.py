"""Signed out, switched off, another password: the API refuses older tokens, and the gateways are told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import orjson
import pytest
from httpx import AsyncClient
from joserfc import jwt
from joserfc.jwk import OKPKey
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.agents.directory import Agent
from card_api.agents.endings import Ending, Standing, farewell, last_ending, missed, whole_ms
from card_api.agents.repository import AgentRepository
from card_api.agents.service import AgentError, AgentService, Done
from card_api.app import card_api, now_utc
from card_api.auth.endings import TokenEndings
from card_api.background import end
from shared.bus import connect_redis
from shared.push_control import (
    CONTROL_CHANNEL,
    PASSWORD_CHANGED,
    RIGHTS_CHANGED,
    SIGNED_OUT,
    SWITCHED_OFF,
    TOKEN_ENDED,
    Disconnect,
    Farewell,
    disconnect,
    read_revoked,
)
from shared.settings import AuthSettings, Settings
from tests.card_api.conftest import PASSWORD, SECRET, sign_in, until

T1, T2 = (datetime(2126, 1, 1, 12, 0, second, tzinfo=UTC) for second in (1, 2))
CRM_KEY = OKPKey.generate_key("Ed25519", {"kid": "crm"}, private=True)
OLEG = Agent("104", "Олег Соколов", "104", role="supervisor", endpoints=(("PJSIP/agent104", None),))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def status(client: AsyncClient, token: str) -> int:
    return (await client.get("/api/v1/me", headers=bearer(token))).status_code


class TestWhatAChangeMeans:
    BEFORE = Standing("101", "agent", True)

    @pytest.mark.parametrize(
        ("before", "role", "active", "password", "word"),
        [
            (None, "agent", True, True, None),
            (BEFORE, "agent", True, False, None),
            (BEFORE, "agent", False, True, SWITCHED_OFF),
            (BEFORE, "supervisor", True, True, PASSWORD_CHANGED),
            (BEFORE, "supervisor", True, False, RIGHTS_CHANGED),
            (Standing("101", "agent", False), "supervisor", True, True, None),
        ],
    )
    def test_farewell(
        self, before: Standing | None, role: str, active: bool, password: bool, word: Farewell | None
    ) -> None:
        assert farewell(before, role, active, password) is word

    def test_what_the_table_says_later(self) -> None:
        assert last_ending(Standing("101", "agent", True)) is None
        assert last_ending(Standing("101", "agent", True, T1)) == Ending("101", TOKEN_ENDED, T1)
        assert last_ending(Standing("101", "agent", False, T2, T1)) == Ending("101", SWITCHED_OFF, T2)
        assert last_ending(Standing("101", "agent", True, T1, T2)) == Ending("101", RIGHTS_CHANGED, T2)
        agents = [Standing("101", "agent", True, T1), Standing("102", "agent", True, T2)]
        known = {"101": T1.timestamp(), "102": T1.timestamp()}
        assert [ending.login for ending in missed(agents, known, T1)] == ["102"]
        assert [ending.login for ending in missed(agents, {}, T1)] == ["102"]

    def test_a_token_of_the_same_millisecond_is_not_older(self) -> None:
        assert whole_ms(T1.replace(microsecond=1999)) == T1.replace(microsecond=1000)


async def test_signing_out_ends_every_token_until_the_next_sign_in(client: AsyncClient, redis: Redis) -> None:
    first, second, colleague = [await sign_in(client, login) for login in ("101", "101", "102")]
    async with redis.pubsub() as orders:
        await orders.subscribe(CONTROL_CHANNEL)
        answer = await client.post("/api/v1/auth/sign-out", headers=bearer(first))
        assert (answer.status_code, answer.content) == (204, b"")
        async for message in orders.listen():
            if message["type"] == "message":
                break
    order = Disconnect.model_validate_json(message["data"])
    assert (order.login, order.code, order.reason) == ("101", SIGNED_OUT.code, SIGNED_OUT.reason)
    refused = await client.get("/api/v1/me", headers=bearer(second))
    assert (refused.status_code, refused.json()["type"]) == (401, "urn:callcard:error:unauthorised")
    assert "signed out" in refused.json()["detail"]
    for path in ("refresh", "sign-out"):
        answer = await client.post(f"/api/v1/auth/{path}", headers=bearer(first))
        assert answer.status_code == 401
    assert await status(client, colleague) == 200
    assert await status(client, await sign_in(client, "101")) == 200


async def test_other_rights_need_a_new_token_at_the_gateway_and_another_password_everywhere(
    client: AsyncClient, engine: AsyncEngine, redis: Redis
) -> None:
    """Another process changes the agent, as `callcard agent add` does."""
    agents = AgentService(AgentRepository(engine), redis)
    token = await sign_in(client, "104")
    agent = Agent(OLEG.login, OLEG.name, OLEG.extension, endpoints=OLEG.endpoints)
    assert await agents.save(agent) == Done(ended=True)
    rights_from = (await read_revoked(redis))["104"]
    assert (await client.post("/api/v1/auth/refresh", headers=bearer(token))).status_code == 200
    assert await agents.save(agent) == Done()
    assert await agents.save(agent, "another word") == Done(ended=True)
    assert (await read_revoked(redis))["104"] > rights_from

    async def refused() -> bool:
        return await status(client, token) == 401

    await until(refused)


async def test_switched_off_and_on(client: AsyncClient, engine: AsyncEngine, redis: Redis) -> None:
    agents = AgentService(AgentRepository(engine), redis)
    token = await sign_in(client, "101")
    assert await agents.switch(" 101 ", active=False) == Done(ended=True)

    async def refused() -> bool:
        return await status(client, token) == 401

    await until(refused)
    answer = await client.post("/api/v1/auth/sign-in", json={"login": "101", "password": PASSWORD})
    assert answer.status_code == 401
    assert await agents.switch("101", active=True) == Done()

    async def back() -> bool:
        answer = await client.post("/api/v1/auth/sign-in", json={"login": "101", "password": PASSWORD})
        return answer.status_code == 200

    await until(back)
    assert await status(client, token) == 401
    with pytest.raises(AgentError, match="no agent 'nobody'"):
        await agents.sign_out("nobody")


@asynccontextmanager
async def following(engine: AsyncEngine, redis: Redis) -> AsyncIterator[TokenEndings]:
    """What each card API process runs."""
    endings = TokenEndings(AgentRepository(engine), redis, now_utc)
    task = asyncio.create_task(endings.run())
    try:
        yield endings
    finally:
        await end([task])


async def test_an_ending_outlives_redis_and_reaches_the_gateways_when_it_is_back(
    engine: AsyncEngine, redis: Redis, samples: None
) -> None:
    issued = now_utc() - timedelta(minutes=1)
    away = connect_redis("redis://127.0.0.1:9/0")
    assert await AgentService(AgentRepository(engine), away).sign_out("101") == Done(ended=True, told=False)
    async with following(engine, away) as endings:

        async def refused() -> bool:
            return endings.loaded and endings.ended("101", issued)

        await until(refused)
        assert endings.ended("101", None)
        assert not endings.ended("102", None)
        assert not endings.ended("101", now_utc() + timedelta(seconds=1))
    assert await read_revoked(redis) == {}
    async with following(engine, redis):

        async def told() -> bool:
            return set(await read_revoked(redis)) == {"101"}

        await until(told)


async def test_an_order_is_heard_by_every_process(engine: AsyncEngine, redis: Redis, samples: None) -> None:
    issued = now_utc() - timedelta(minutes=1)
    async with following(engine, redis) as endings:

        async def listens() -> bool:
            return (await redis.pubsub_numsub(CONTROL_CHANNEL))[0][1] == 1

        await until(listens)
        await redis.publish(CONTROL_CHANNEL, "not an order")
        await disconnect(redis, "102", RIGHTS_CHANGED, now_utc())
        await disconnect(redis, "101", SIGNED_OUT, now_utc())

        async def refused() -> bool:
            return endings.ended("101", issued)

        await until(refused)
        assert not endings.ended("102", issued)


async def test_a_token_of_the_crm_is_good_for_rest_and_renewed_by_the_crm(
    database_url: str, redis_url: str, samples: None, tmp_path: Path
) -> None:
    keys = tmp_path / "crm-keys.json"
    keys.write_bytes(orjson.dumps({"keys": [CRM_KEY.as_dict(private=False)]}))
    settings = Settings(auth=AuthSettings(jwks=str(keys), login_claim="extension"))

    def of_crm(key: OKPKey = CRM_KEY, **claims: object) -> str:
        now = now_utc().timestamp()
        said = {"extension": 101, "aud": "callcard", "iat": now - 60, "exp": now + 600, **claims}
        return jwt.encode({"alg": "Ed25519", "kid": key.kid}, said, key, algorithms=["Ed25519"])

    async with (
        card_api(settings, database_url=database_url, redis_url=redis_url, auth_secret=SECRET) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client,
    ):

        async def loaded() -> bool:
            return await status(client, of_crm()) == 200

        await until(loaded)
        forged = OKPKey.generate_key("Ed25519", {"kid": CRM_KEY.kid}, private=True)
        assert await status(client, of_crm(forged)) == 401
        new = OKPKey.generate_key("Ed25519", {"kid": "new"}, private=True)
        unknown = await client.get("/api/v1/me", headers=bearer(of_crm(new)))
        assert (unknown.status_code, unknown.headers["retry-after"]) == (503, "2")
        # Known to the CRM, not to us: what an agent may do, the tables say.
        assert await status(client, of_crm(extension="999")) == 401
        refused = await client.post("/api/v1/auth/refresh", headers=bearer(of_crm()))
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:callcard:error:forbidden")
        assert "ask that system" in refused.json()["detail"]
        done = await client.post("/api/v1/auth/sign-out", headers=bearer(of_crm()))
        assert done.status_code == 204
        assert await status(client, of_crm()) == 401
        assert await status(client, of_crm(iat=now_utc().timestamp() + 1)) == 200
