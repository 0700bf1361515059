"""An unmodified centrifuge-js through a (stood-in) Centrifugo: its token is in `data`, as the page has it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from card_api.background import running
from card_api.centrifugo.wiring import PushBackend, push_backend
from services.front import listen, serving
from shared.jwks import Tokens
from shared.push import RECEIPTS_STREAM
from shared.push_control import RIGHTS_CHANGED, SIGNED_OUT, disconnect
from shared.security import issue_token
from shared.settings import AuthSettings, PushSettings, Settings
from tests.card_api.centrifugo.conftest import AUTH_SECRET, SECRET
from tests.e2e.standin import StandIn, stand_in
from tests.e2e.test_centrifugo import documented
from tests.push_gateway.conftest import node  # noqa: F401 - a fixture
from tests.push_gateway.js_tab import Tab, js_tab
from tests.shared.test_push import make_card


@dataclass
class Push:
    backend: PushBackend
    centrifugo: StandIn
    url: str


@pytest.fixture
async def push(redis: Redis, config: dict[str, Any]) -> AsyncIterator[Push]:
    """The card API's part alone, and a Centrifugo with the documented configuration."""
    port = config["http_server"]["port"]
    settings = Settings(
        push=PushSettings.model_validate(
            {
                "backend": "centrifugo",
                "centrifugo_url": f"http://127.0.0.1:{port}",
                "centrifugo_secret": SECRET,
            }
        )
    )
    backend = push_backend(settings, redis, Tokens(AuthSettings(), AUTH_SECRET), lambda: datetime.now(UTC))
    app = FastAPI()
    for router in backend.routers:
        app.include_router(router)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(backend.close)
        address = await stack.enter_async_context(serving(app, listen("127.0.0.1", 0)))
        await stack.enter_async_context(running(*backend.runs))
        centrifugo = await stack.enter_async_context(stand_in(documented(port, address)))
        await backend.publisher.rebuild_desk([], [])
        yield Push(backend, centrifugo, f"ws://127.0.0.1:{port}/connection/websocket")


def token(**lifetime: float) -> str:
    return issue_token(AUTH_SECRET, "101", "agent", datetime.now(UTC), timedelta(**lifetime or {"hours": 1}))


async def rev(tab: Tab) -> int:
    """Of the next card the tab hears."""
    heard: int = (await tab.next("publication"))["data"]["card"]["rev"]
    return heard


async def test_cards_recovery_and_receipts(node: str, push: Push, redis: Redis) -> None:  # noqa: F811
    async with js_tab(node, push.url, script="in-data.mjs") as tab:
        await push.backend.publisher.publish_cards([make_card(rev=32)])
        tab.order("connect", token=token())
        desk = (await tab.next("connected"))["data"]
        assert [card["rev"] for card in desk["cards"]] == [32]
        await tab.next("subscribed")
        assert push.backend.connected is not None
        assert await push.backend.connected("agent:101")
        assert not await push.backend.connected("agent:102")
        await push.backend.publisher.publish_cards([make_card(rev=64)])
        while await rev(tab) != 64:  # the one of before the snapshot may come once more
            pass
        tab.order("kill")
        await tab.next("connecting")
        await push.backend.publisher.publish_cards([make_card(rev=96)])
        assert (await tab.next("subscribed"))["recovered"] is True
        assert await rev(tab) == 96
        tab.order("rpc", method="card.shown", data={"call_id": "main-1", "rev": 96})
        await tab.next("rpc")
        assert await redis.xlen(RECEIPTS_STREAM) == 1


async def test_what_comes_between_the_snapshot_and_the_subscription(node: str, push: Push) -> None:  # noqa: F811
    async with js_tab(node, push.url, script="in-data.mjs") as tab:
        push.centrifugo.subscribing.clear()
        tab.order("connect", token=token())
        await push.centrifugo.held.wait()
        await push.backend.publisher.publish_cards([make_card(rev=32)])
        channel = push.centrifugo.channel("agent:101")
        while not channel.offset:  # noqa: ASYNC110 - told to nobody yet
            await asyncio.sleep(0.005)
        push.centrifugo.subscribing.set()
        assert (await tab.next("connected"))["data"]["cards"] == []
        assert await rev(tab) == 32


async def test_tokens(node: str, push: Push, redis: Redis) -> None:  # noqa: F811
    async with js_tab(node, push.url, script="in-data.mjs") as tab:
        # One that is over already: the SDK comes again until it has a better one.
        tab.order("connect", token=token(hours=-1))
        await tab.next("error")
        await tab.next("getData")
        tab.order("token", token=token(seconds=2))
        await tab.next("connected")
        tab.order("token", token=token())
        assert (await tab.next("connecting"))["code"] == 3005
        await tab.next("connected")
        await disconnect(redis, "101", RIGHTS_CHANGED, datetime.now(UTC))
        assert (await tab.next("connecting"))["code"] == RIGHTS_CHANGED.code
        tab.order("token", token=token())
        await tab.next("connected")
        await disconnect(redis, "101", SIGNED_OUT, datetime.now(UTC))
        assert (await tab.next("disconnected"))["code"] == SIGNED_OUT.code
