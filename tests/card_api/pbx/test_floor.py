"""Phones and queues over REST: what a listener left in Redis, for those who may see it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from httpx import AsyncClient
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.api_keys.repository import ApiKeyRepository
from card_api.api_keys.service import ApiKeyService
from card_api.app import now_utc
from shared.bus import pbx_status_key
from shared.contracts.call import Caller, PbxLink, PbxStatus
from shared.contracts.floor import (
    Phone,
    PhoneState,
    PhoneUpdate,
    Queue,
    QueueMember,
    QueueUpdate,
    WaitingCaller,
)
from shared.floor import floor_phones_key, floor_queues_key
from tests.card_api.conftest import sign_in
from tests.card_api.makers import NOON

ROUTES = ["/api/v1/pbx/main/queues", "/api/v1/pbx/main/queues/support", "/api/v1/pbx/main/phones"]
WAITING = WaitingCaller(
    call_id="main-1.1", caller=Caller(number="+79001112233", name="Пётр"), position=1, joined_at=NOON
)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def floor(redis: Redis) -> None:
    """Two queues, two phones, and a link that is up."""
    member = QueueMember(
        interface="PJSIP/agent101",
        device="PJSIP/agent101",
        agent="101",
        state=PhoneState.IN_USE,
        paused=True,
        pause_reason="lunch",
        paused_at=NOON,
    )
    support = Queue(name="support", strategy="linear", members=[member], waiting=[WAITING])
    for version, queue in enumerate((support, Queue(name="billing")), 7):
        update = QueueUpdate(pbx="main", version=version, at=NOON, queue=queue)
        await redis.hset(floor_queues_key("main"), queue.name, update.to_json())
    for version, device in enumerate(("PJSIP/agent102", "PJSIP/agent101"), 9):
        phone = Phone(device=device, agent=device[-3:], state=PhoneState.RINGING, since=NOON)
        shown = PhoneUpdate(pbx="main", version=version, at=NOON, phone=phone)
        await redis.hset(floor_phones_key("main"), device, shown.to_json())
    status = PbxStatus(pbx="main", link=PbxLink.UP, since=NOON)
    await redis.set(pbx_status_key("main"), status.to_json())


async def key(engine: AsyncEngine, *scopes: str) -> dict[str, str]:
    return {"X-API-Key": await ApiKeyService(ApiKeyRepository(engine), now_utc).create("board", list(scopes))}


async def get(client: AsyncClient, path: str, headers: Mapping[str, str]) -> Any:
    answer = await client.get(path, headers=dict(headers))
    assert answer.status_code == 200, answer.text
    return answer.json()


def assert_problem(answer: httpx.Response, status: int, words: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]


async def test_a_supervisor_sees_all(client: AsyncClient, floor: None) -> None:
    headers = bearer(await sign_in(client, "104"))
    queues = await get(client, ROUTES[0], headers)
    assert (queues["pbx"], queues["link"]) == ("main", "up")
    assert [item["queue"]["name"] for item in queues["items"]] == ["billing", "support"]
    support = queues["items"][1]
    assert (support["version"], support["kind"]) == (7, "queue")
    assert support["queue"]["waiting"][0]["caller"]["number"] == "+79001112233"
    assert datetime.fromisoformat(support["queue"]["waiting"][0]["joined_at"]) == NOON.astimezone(UTC)
    assert support["queue"]["members"][0]["pause_reason"] == "lunch"
    assert await get(client, ROUTES[1], headers) == support
    phones = await get(client, ROUTES[2], headers)
    assert [item["phone"]["device"] for item in phones["items"]] == ["PJSIP/agent101", "PJSIP/agent102"]


async def test_numbers_are_for_supervisors_and_for_keys_that_look_up(
    client: AsyncClient, floor: None, token: str, engine: AsyncEngine
) -> None:
    readers = {
        "agent": bearer(token),
        "board": await key(engine, "floor"),
        "crm": await key(engine, "floor", "lookup"),
    }
    seen = {}
    for who, headers in readers.items():
        listed = (await get(client, ROUTES[0], headers))["items"][1]["queue"]["waiting"]
        assert listed == (await get(client, ROUTES[1], headers))["queue"]["waiting"]
        seen[who] = (listed[0]["position"], listed[0]["caller"]["number"], listed[0]["caller"]["name"])
    assert seen == {
        "agent": (1, "+7900…33", None),
        "board": (1, "+7900…33", None),
        "crm": (1, "+79001112233", "Пётр"),
    }


async def test_who_may_not(client: AsyncClient, floor: None, engine: AsyncEngine) -> None:
    lookup = await key(engine, "lookup")
    for path in ROUTES:
        assert_problem(await client.get(path), 401, "--scope floor")
        assert_problem(await client.get(path, headers=bearer("cck_nobody")), 401, "not known")
        assert_problem(await client.get(path, headers=bearer("x.y.z")), 401, "not accepted")
        assert_problem(await client.get(path, headers=lookup), 403, "--scope floor")
        as_bearer = bearer((await key(engine, "floor"))["X-API-Key"])
        assert (await client.get(path, headers=as_bearer)).status_code == 200


async def test_what_there_is_not(client: AsyncClient, floor: None, token: str) -> None:
    for path in ("/api/v1/pbx/other/queues", "/api/v1/pbx/other/queues/support", "/api/v1/pbx/other/phones"):
        assert_problem(await client.get(path, headers=bearer(token)), 404, "No listener follows")
    answer = await client.get("/api/v1/pbx/main/queues/sales", headers=bearer(token))
    assert_problem(answer, 404, "has no queue 'sales'")


async def test_a_lost_link_is_said_with_what_was(
    client: AsyncClient, floor: None, token: str, redis: Redis
) -> None:
    status = PbxStatus(pbx="main", link=PbxLink.LOST, since=NOON, detail="Connection refused")
    await redis.set(pbx_status_key("main"), status.to_json())
    queues = await get(client, ROUTES[0], bearer(token))
    assert (queues["link"], len(queues["items"])) == ("lost", 2)


async def test_a_pbx_without_queues_is_no_error(client: AsyncClient, token: str, redis: Redis) -> None:
    status = PbxStatus(pbx="main", link=PbxLink.UP, since=NOON)
    await redis.set(pbx_status_key("main"), status.to_json())
    assert (await get(client, ROUTES[0], bearer(token)))["items"] == []
    assert (await get(client, ROUTES[2], bearer(token)))["items"] == []


async def test_what_cannot_be_read_hides_nothing_else(
    client: AsyncClient, floor: None, token: str, redis: Redis
) -> None:
    await redis.hset(floor_queues_key("main"), "newer", b'{"kind":"queue"')
    assert len((await get(client, ROUTES[0], bearer(token)))["items"]) == 2
