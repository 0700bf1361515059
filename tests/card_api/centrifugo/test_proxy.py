"""What Centrifugo is answered: transcripts over HTTP, on a real Redis."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from card_api.centrifugo.catch_up import CatchUp
from card_api.centrifugo.client import Centrifugo
from card_api.centrifugo.outbox import Outbox
from card_api.centrifugo.proxy import RECHECK_SECONDS, PushProxy
from card_api.centrifugo.router import SECRET_HEADER, centrifugo_router
from shared.bus import connect_redis
from shared.contracts.push import DeskSnapshot
from shared.errors import install_error_handlers
from shared.jwks import Tokens
from shared.push import RECEIPTS_STREAM, DeskReader, PushPublisher, decode_receipt
from shared.push_control import RIGHTS_CHANGED, disconnect
from shared.security import issue_token
from shared.settings import AuthSettings
from tests.card_api.centrifugo.conftest import AUTH_SECRET, SECRET
from tests.e2e.standin import StandIn
from tests.shared.test_push import make_card

NOW = datetime.now(UTC).replace(microsecond=0)


def token(login: str = "101", role: str = "agent", lifetime: timedelta = timedelta(hours=1)) -> str:
    return issue_token(AUTH_SECRET, login, role, NOW, lifetime, ["line:support"])


class Asking:
    """Asks like Centrifugo."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def __call__(self, what: str, **fields: Any) -> Any:
        about = {"client": "c1", "transport": "websocket", "protocol": "json", "encoding": "json"}
        answer = await self.http.post(f"/api/v1/centrifugo/{what}", json={**about, **fields})
        assert answer.status_code == httpx.codes.OK, answer.text
        return answer.json()


def asking(redis: Redis, centrifugo: Centrifugo) -> Asking:
    catch_up = CatchUp(DeskReader(redis), Outbox(centrifugo), looks=())
    proxy = PushProxy(redis, centrifugo, catch_up, Tokens(AuthSettings(), AUTH_SECRET), lambda: NOW)
    app = FastAPI()
    install_error_handlers(app)
    app.include_router(centrifugo_router(proxy, SECRET))
    http = httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://api", headers={SECRET_HEADER: SECRET}
    )
    return Asking(http)


@pytest.fixture
async def ask(redis: Redis, centrifugo: Centrifugo, server: StandIn) -> AsyncIterator[Asking]:
    found = asking(redis, centrifugo)
    yield found
    await found.http.aclose()


async def test_only_who_knows_the_secret_is_answered(ask: Asking) -> None:
    for guess in (b"", b"guess", "ключ".encode()):
        ask.http.headers.pop(SECRET_HEADER, None)
        said = {SECRET_HEADER.encode(): guess}
        answer = await ask.http.post(
            "/api/v1/centrifugo/connect", json={"data": {"token": token()}}, headers=said
        )
        assert answer.status_code == httpx.codes.UNAUTHORIZED
        assert "CALLCARD_PUSH__CENTRIFUGO_SECRET" in answer.json()["detail"]


async def test_connecting_gives_the_desk_at_centrifugos_position(
    ask: Asking, redis: Redis, server: StandIn
) -> None:
    await PushPublisher(redis).publish_card(make_card())
    channel = server.channel("agent:101")
    channel.publish("agent:101", {}, "")
    result = (await ask("connect", data={"token": token(role="supervisor")}))["result"]
    assert (result["user"], result["subs"]) == ("101", {"agent:101": {}})
    assert result["expire_at"] == int(NOW.timestamp()) + RECHECK_SECONDS
    assert result["meta"] == {
        "role": "supervisor",
        "issued_at": NOW.timestamp(),
        "ends_at": (NOW + timedelta(minutes=59)).timestamp(),
        "channels": ["line:support"],
    }
    desk = DeskSnapshot.model_validate(result["data"])
    assert (desk.agent.login, desk.epoch, desk.offset) == ("101", channel.epoch, 1)
    assert [card.call_id for card in desk.cards] == ["main-1"]
    assert desk.complete is False  # nobody has called the desks whole


async def test_who_may_not_connect(ask: Asking, redis: Redis) -> None:
    nothing: tuple[Any, ...] = (None, "a text", {}, {"token": ""}, {"token": 5})
    for data in nothing:
        assert (await ask("connect", data=data))["error"]["code"] == 101
    answer = await ask("connect", data={"token": token()[:-3]})
    assert answer == {"disconnect": {"code": 3500, "reason": "invalid token"}}
    over = {"disconnect": {"code": 4001, "reason": "token ended"}}
    assert await ask("connect", data={"token": token(lifetime=timedelta(hours=-1))}) == over
    await disconnect(redis, "101", RIGHTS_CHANGED, NOW + timedelta(seconds=1))
    assert await ask("connect", data={"token": token()}) == over
    assert "result" in await ask("connect", data={"token": token("102")})


async def test_a_connection_goes_on_as_long_as_its_token(ask: Asking, redis: Redis) -> None:
    now = NOW.timestamp()

    async def refresh(**meta: float) -> Any:
        return (await ask("refresh", user="101", meta=meta))["result"]

    assert await refresh(issued_at=now, ends_at=now + 9999) == {"expire_at": int(now) + RECHECK_SECONDS}
    assert await refresh(issued_at=now, ends_at=now + 9) == {"expire_at": int(now) + 9}
    assert await refresh(issued_at=now, ends_at=now) == {"expired": True}
    assert await refresh() == {"expired": True}
    await disconnect(redis, "101", RIGHTS_CHANGED, NOW)
    assert await refresh(issued_at=now - 1, ends_at=now + 9) == {"expired": True}
    assert await refresh(issued_at=now, ends_at=now + 9) == {"expire_at": int(now) + 9}


async def test_who_hears_what(ask: Asking) -> None:
    wanted: tuple[tuple[str, dict[str, Any], int], ...] = (
        ("agent:101", {}, 0),
        ("agent:102", {"role": "admin"}, 103),
        ("notices", {}, 0),
        ("line:support", {}, 103),
        ("line:support", {"channels": ["line:support"]}, 0),
        ("line:sales", {"role": "supervisor"}, 0),
        ("secrets", {"role": "admin", "channels": ["secrets"]}, 102),
    )
    for channel, meta, code in wanted:
        answer = await ask("subscribe", user="101", channel=channel, meta=meta)
        assert answer.get("error", {"code": 0})["code"] == code, channel


async def test_receipts(ask: Asking, redis: Redis) -> None:
    seen = {"call_id": "main-1", "rev": 64, "at": "2026-11-01T10:00:00.000Z"}
    assert await ask("rpc", user="101", method="card.opened", data=seen) == {"result": {"data": {}}}
    entries: Any = await redis.xrange(RECEIPTS_STREAM)
    receipt = decode_receipt(entries[-1][1])
    assert (receipt.what, receipt.agent, receipt.client, receipt.rev) == ("card.opened", "101", "c1", 64)
    assert receipt.received_at == NOW
    wrong: tuple[Any, ...] = (None, [], {"call_id": ""}, {**seen, "rev": -1}, {**seen, "rev": 2**53})
    for data in wrong:
        assert (await ask("rpc", user="101", method="card.shown", data=data))["error"]["code"] == 107
    assert (await ask("rpc", user="101", method="card.eaten", data=seen))["error"]["code"] == 104
    assert await redis.xlen(RECEIPTS_STREAM) == 1


async def test_nobody_is_cut_off_because_something_is_away(redis: Redis, centrifugo: Centrifugo) -> None:
    """Centrifugo's API does not answer; then Redis does not either."""
    ask = asking(redis, centrifugo)
    answer = await ask("connect", data={"token": token()})
    assert (answer["error"]["code"], answer["error"]["temporary"]) == (100, True)
    await ask.http.aclose()
    away = connect_redis("redis://127.0.0.1:1/0")
    ask = asking(away, centrifugo)
    assert (await ask("connect", data={"token": token()}))["error"]["code"] == 100
    meta = {"issued_at": 0, "ends_at": NOW.timestamp() + 9}
    assert "expire_at" in (await ask("refresh", user="101", meta=meta))["result"]
    receipt = {"call_id": "main-1", "rev": 1}
    assert "result" in await ask("rpc", user="101", method="card.shown", data=receipt)
    await ask.http.aclose()
    await away.aclose()
