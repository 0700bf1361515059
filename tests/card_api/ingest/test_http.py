"""Calls told over HTTP: to the card on an agent's desk, and to the record. On real PostgreSQL and Valkey."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from httpx import AsyncClient
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from ami_listener.invariants import of_call
from card_api.api_keys.repository import ApiKeyRepository
from card_api.api_keys.service import ApiKeyService
from card_api.app import card_api, now_utc
from card_api.calls.repository import CallRepository
from card_api.ingest.known import UNANSWERED_SILENCE
from card_api.ingest.repository import RecordedCalls
from card_api.ingest.schemas import CallEvent
from card_api.ingest.service import IngestService
from card_api.ingest.store import TOLD, TOLD_DUE
from services.embedded import EmbeddedValkey
from shared.bus import CALLS_STREAM, decode_update, lease_key
from shared.contracts.call import Call, CallUpdate
from shared.contracts.card import Card
from shared.push import DeskReader, agent_channel
from shared.settings import Settings
from tests.card_api.conftest import SECRET, until

EVENTS = "/api/v1/call-events"
CUSTOMER = "+79001112233"


@pytest.fixture
async def key(engine: AsyncEngine) -> dict[str, str]:
    keys = ApiKeyService(ApiKeyRepository(engine), now_utc)
    return {"X-API-Key": await keys.create("Branch Kazan", ["calls:write"])}


def began() -> datetime:
    """A moment ago: our clock is the one that counts."""
    return datetime.now(UTC) - timedelta(seconds=30)


def event(type_: str, at: datetime, **more: Any) -> dict[str, Any]:
    return {"pbx": "kazan", "call_id": "7", "type": type_, "at": at.isoformat(), **more}


def whole_call(begin: datetime) -> list[dict[str, Any]]:
    def at(seconds: float) -> datetime:
        return begin + timedelta(seconds=seconds)

    return [
        event("started", at(0), **{"from": "8 900 111-22-33"}, to="+78432000000", direction="inbound"),
        event("queued", at(1), queue="support"),
        event("ringing", at(2), agent="101"),
        event("answered", at(5), agent="101"),
        event("ended", at(20)),
    ]


async def tell(client: AsyncClient, key: dict[str, str], body: Any) -> list[str]:
    answer = await client.post(EVENTS, json=body, headers=key)
    assert answer.status_code == 202, answer.text
    results = answer.json()["results"]
    assert [r["index"] for r in results] == list(range(len(results)))
    assert answer.json()["accepted"] == sum(r["status"] == "accepted" for r in results)
    return [r["status"] for r in results]


async def stored(engine: AsyncEngine, call_id: str, state: str = "ended") -> Call:
    async def there() -> Call | None:
        found = await CallRepository(engine).get(call_id)
        return found.call if found is not None and found.call.state == state else None

    call = await until(there)
    assert call is not None
    assert of_call(call) == []
    return call


async def card_of(
    client: AsyncClient, token: str, call_id: str, state: str, caller: str | None = None
) -> Card:
    """The card in this state, and with this caller's name: on a busy machine it may be there before the name is."""

    async def there() -> Card | None:
        answer = await client.get(f"/api/v1/cards/{call_id}", headers={"Authorization": f"Bearer {token}"})
        card = Card.model_validate(answer.json()) if answer.status_code == 200 else None
        if card is None or card.state != state or caller not in (None, card.caller.name):
            return None
        return card

    card = await until(there)
    assert card is not None
    return card


class TestOurJson:
    async def test_one_by_one_to_the_desk_and_to_the_record(
        self, client: AsyncClient, key: dict[str, str], token: str, redis: Redis, engine: AsyncEngine
    ) -> None:
        started, queued, ringing, answered, ended = whole_call(began())
        assert await tell(client, key, started) == ["accepted"]
        assert await tell(client, key, [queued, ringing]) == ["accepted", "accepted"]

        card = await card_of(client, token, "kazan-7", "ringing", "Иванов Пётр Сергеевич")
        assert (card.call.number, card.call.queue) == (CUSTOMER, "support")
        desk = (await DeskReader(redis).read(agent_channel("101"))).cards
        assert [Card.model_validate_json(raw).call_id for raw in desk] == ["kazan-7"]
        await tell(client, key, answered)
        await card_of(client, token, "kazan-7", "answered")
        await tell(client, key, ended)
        await card_of(client, token, "kazan-7", "closed")
        call = await stored(engine, "kazan-7")
        assert (call.end_reason, call.caller.number, call.did) == ("completed", CUSTOMER, "+78432000000")

    async def test_backwards_and_twice_in_two_requests(
        self, client: AsyncClient, key: dict[str, str], engine: AsyncEngine
    ) -> None:
        events = whole_call(began())
        assert await tell(client, key, events[:2:-1] + events[3:]) == [
            "accepted",
            "accepted",
            "repeated",
            "repeated",
        ]
        first = await stored(engine, "kazan-7")
        assert first.queue is None
        assert await tell(client, key, events) == ["accepted", "accepted", "accepted", "repeated", "repeated"]

        async def whole() -> bool:
            return (await stored(engine, "kazan-7")).queue is not None

        await until(whole)
        call = await stored(engine, "kazan-7")
        assert [entry.what for entry in call.timeline] == [
            "arrived",
            "queued",
            "ringing",
            "answered",
            "ended",
        ]

    async def test_many_senders_at_once_tell_one_story(
        self, client: AsyncClient, key: dict[str, str], engine: AsyncEngine, redis: Redis
    ) -> None:
        events = whole_call(began())
        await asyncio.gather(*(tell(client, key, one) for one in [*events, *reversed(events)]))
        call = await stored(engine, "kazan-7")

        async def told_whole() -> bool:
            found = await CallRepository(engine).get("kazan-7")
            return found is not None and len(found.call.timeline) == 5

        await until(told_whole)
        assert call.call_id == "kazan-7"

    async def test_good_ones_among_bad_ones(
        self, client: AsyncClient, key: dict[str, str], engine: AsyncEngine, redis: Redis
    ) -> None:
        begin = began()
        ahead = datetime.now(UTC) + timedelta(hours=1)
        answer = await client.post(
            EVENTS,
            json=[
                event("flying", begin),
                event("started", begin, **{"from": CUSTOMER}),
                event("queued", begin),
                event("started", ahead, call_id="8"),
                {**event("started", begin), "pbx": "Main Office"},
                "nothing",
                event("ended", begin + timedelta(seconds=9)),
            ],
            headers=key,
        )
        assert answer.status_code == 202, answer.text
        results = answer.json()["results"]
        assert [r["status"] for r in results] == [
            *("refused", "accepted", "refused", "refused", "refused", "refused", "accepted")
        ]
        for n, says in [(0, "type"), (2, "`queue`"), (3, "yet to come"), (4, "pbx"), (5, "valid")]:
            assert says in results[n]["detail"], results[n]
            assert results[n]["detail"].endswith(".")
        assert results[1]["call_id"] == "kazan-7"
        assert (await stored(engine, "kazan-7")).missed

    async def test_what_cannot_be_taken_at_all(self, client: AsyncClient, key: dict[str, str]) -> None:
        begin = began()
        for body, says in [
            ("{", "no JSON"),
            ('"\\ud800"', "no JSON"),
            ("[]", "1 to 1000"),
            (json.dumps([event("ended", begin)] * 1001), "1 to 1000"),
            (json.dumps({}), "pbx"),
            (json.dumps(event("queued", begin)), "`queue`"),
            (json.dumps([event("x", begin), event("y", begin)]), "The first"),
        ]:
            answer = await client.post(EVENTS, content=body, headers=key)
            assert (answer.status_code, answer.json()["type"]) == (422, "urn:callcard:error:invalid"), body[
                :50
            ]
            assert says in answer.json()["detail"]

    async def test_only_with_the_scope(self, client: AsyncClient, api_key: str, token: str) -> None:
        body = event("started", began())
        for headers, code in [
            ({"X-API-Key": api_key}, 403),
            ({"Authorization": f"Bearer {token}"}, 401),
            ({}, 401),
        ]:
            assert (await client.post(EVENTS, json=body, headers=headers)).status_code == code

    async def test_a_listener_speaks_for_its_pbx(
        self, client: AsyncClient, key: dict[str, str], redis: Redis
    ) -> None:
        await redis.hset(lease_key("kazan"), "owner", "a listener")
        answer = await client.post(EVENTS, json=event("started", began()), headers=key)
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:callcard:error:conflict")
        assert "A listener follows the PBX 'kazan'" in answer.json()["detail"]
        assert await redis.hlen(TOLD) == 0
        await redis.delete(lease_key("kazan"))
        assert await tell(client, key, event("started", began())) == ["accepted"]

    async def test_an_end_that_everybody_has_forgotten_stays(
        self, client: AsyncClient, key: dict[str, str], engine: AsyncEngine, redis: Redis
    ) -> None:
        events = whole_call(began())
        await tell(client, key, events)
        before = await stored(engine, "kazan-7")
        await redis.delete(TOLD)
        assert await tell(client, key, events[3]) == ["late"]
        assert await stored(engine, "kazan-7") == before
        assert await redis.hlen(TOLD) == 0

    async def test_a_redis_that_forgot_goes_on_from_the_record(
        self, client: AsyncClient, key: dict[str, str], engine: AsyncEngine, redis: Redis
    ) -> None:
        events = whole_call(began())
        await tell(client, key, events[:3])
        await stored(engine, "kazan-7", "ringing")
        await redis.delete(TOLD)
        await tell(client, key, events[2:])
        call = await stored(engine, "kazan-7")
        assert (call.caller.number, call.end_reason, len(call.legs)) == (CUSTOMER, "completed", 1)

    async def test_ids_that_are_hard_to_write(
        self, client: AsyncClient, key: dict[str, str], engine: AsyncEngine
    ) -> None:
        answer = await client.post(EVENTS, json=event("ended", began(), call_id="a/b c?#é" * 20), headers=key)
        call_id = answer.json()["results"][0]["call_id"]
        assert len(call_id) == len("kazan-") + 32
        await stored(engine, call_id)


class TestService:
    """Two processes, and time."""

    @pytest.fixture
    def moment(self) -> list[datetime]:
        return [datetime(2026, 11, 22, 9, 0, tzinfo=UTC)]

    @pytest.fixture
    def service(self, redis: Redis, engine: AsyncEngine, moment: list[datetime]) -> IngestService:
        return IngestService(redis, RecordedCalls(engine), {"main"}, lambda _: "RU", lambda: moment[0])

    async def updates(self, redis: Redis) -> list[CallUpdate]:
        entries: Any = await redis.xrange(CALLS_STREAM)
        return [decode_update(fields) for _, fields in entries]

    def started(self, at: datetime) -> CallEvent:
        return CallEvent.model_validate(event("started", at, **{"from": CUSTOMER}))

    async def test_another_process_takes_the_next_event(
        self, service: IngestService, redis: Redis, engine: AsyncEngine, moment: list[datetime]
    ) -> None:
        other = IngestService(redis, RecordedCalls(engine), (), lambda _: "RU", lambda: moment[0])
        await service.take([self.started(moment[0])])
        await other.take([CallEvent.model_validate(event("ringing", moment[0], agent="101"))])
        first, second = await self.updates(redis)
        assert second.version > first.version
        assert (second.call.caller.number, second.call.state, second.change) == (
            CUSTOMER,
            "ringing",
            "ringing",
        )

    async def test_a_configured_pbx_has_a_listener_also_while_it_is_away(
        self, service: IngestService, moment: list[datetime]
    ) -> None:
        [result] = await service.take([self.started(moment[0]).model_copy(update={"pbx": "main"})])
        assert (result.status, "listener" in (result.detail or "")) == ("refused", True)

    async def test_silence_ends_a_call_and_then_it_is_forgotten(
        self, service: IngestService, redis: Redis, moment: list[datetime]
    ) -> None:
        await service.take([self.started(moment[0])])
        moment[0] += UNANSWERED_SILENCE - timedelta(seconds=1)
        assert await service.look_after() == 0
        moment[0] += timedelta(seconds=1)
        assert await service.look_after() == 1
        last = (await self.updates(redis))[-1]
        assert (last.call.state, last.call.end_reason, last.call.gap) == ("ended", "unknown", True)
        assert await service.look_after() == 0
        moment[0] += timedelta(hours=1)
        assert await service.look_after() == 1
        assert (await redis.hlen(TOLD), await redis.zcard(TOLD_DUE)) == (0, 0)
        assert len(await self.updates(redis)) == 2

    async def test_calls_of_a_listener_are_left_to_it(
        self, service: IngestService, redis: Redis, moment: list[datetime]
    ) -> None:
        await service.take([self.started(moment[0])])
        await redis.hset(lease_key("kazan"), "owner", "a listener")
        moment[0] += timedelta(hours=2)
        assert await service.look_after() == 1
        assert await service.look_after() == 0
        assert len(await self.updates(redis)) == 1


@pytest.fixture
async def own_valkey(
    tmp_path_factory: pytest.TempPathFactory, server_folder: Any
) -> AsyncIterator[EmbeddedValkey]:
    """One that this test may stop."""
    folder = server_folder / "stopped"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    server = await asyncio.to_thread(EmbeddedValkey(folder, durable=False).start)
    yield server
    await asyncio.to_thread(server.stop)


async def test_without_redis_the_sender_is_asked_to_repeat(
    database_url: str, own_valkey: EmbeddedValkey, engine: AsyncEngine, key: dict[str, str]
) -> None:
    async with (
        card_api(Settings(), database_url=database_url, redis_url=own_valkey.url, auth_secret=SECRET) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client,
    ):
        assert await tell(client, key, event("started", began())) == ["accepted"]
        await asyncio.to_thread(own_valkey.stop)
        answer = await client.post(EVENTS, json=event("ended", began()), headers=key)
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:callcard:error:unavailable")
        assert "Send all of them again" in answer.json()["detail"]
        assert answer.headers["retry-after"] == "2"
