"""An unmodified centrifuge-js whose WebSocket is refused, as a network that breaks WebSockets does it."""

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from redis.asyncio import Redis

from shared.push import PushPublisher
from shared.push_control import SIGNED_OUT, disconnect
from tests.push_gateway.conftest import StartGateway
from tests.push_gateway.helpers import SECRET, Running, make_card, token
from tests.push_gateway.js_tab import Tab, js_tab


@contextlib.asynccontextmanager
async def fallen_back(node: str, gateway: Running, posts_to: Running | None = None) -> AsyncIterator[Tab]:
    """A tab that is refused the WebSocket (403); `posts_to`: the gateway its posts arrive at."""
    refused = gateway.url.replace("websocket", "not-here")
    async with js_tab(node, refused, gateway.stream_url, (posts_to or gateway).emulation_url) as tab:
        yield tab


async def test_it_falls_back_by_itself_and_misses_nothing(
    node: str, gateway: Running, publisher: PushPublisher
) -> None:
    await publisher.publish_card(make_card(rev=1))
    async with fallen_back(node, gateway) as tab:
        tab.order("connect", token=token())
        connected = await tab.next("connected")
        assert connected["transport"] == "http_stream"
        assert [card["rev"] for card in connected["data"]["cards"]] == [1]
        assert (await tab.next("subscribed"))["streamPosition"]["offset"] == 1
        await publisher.publish_card(make_card(rev=2))
        published = await tab.event()
        assert (published["event"], published["offset"]) == ("publication", 2)
        assert published["data"]["card"]["caller"]["name"] == "Анна Ким"

        tab.order("kill")
        await tab.next("connecting")
        await publisher.publish_card(make_card("main-3", rev=3, state="closed"))
        await publisher.publish_card(make_card(rev=4, state="closed"))
        assert (await tab.next("connected"))["transport"] == "http_stream"
        subscribed = await tab.next("subscribed")
        assert subscribed["wasRecovering"]
        assert subscribed["recovered"]
        for rev in (3, 4):
            published = await tab.event()
            assert (published["event"], published["offset"]) == ("publication", rev)


async def test_posts_reach_their_session_whichever_gateway_gets_them(
    node: str, gateway: Running, start_gateway: StartGateway, publisher: PushPublisher
) -> None:
    other = await start_gateway()
    async with fallen_back(node, gateway, posts_to=other) as tab:
        tab.order("connect", token=token(seconds=2))
        await tab.next("subscribed")
        tab.order("token", token=token())
        await tab.next("getToken")  # and the new one goes through the other gateway as well
        tab.order("rpc", method="card.shown", data={"call_id": "main-1", "rev": 4})
        assert (await tab.event())["event"] == "rpc"
        tab.order("subscribe", channel="notices")
        await tab.next("client subscribed")
        await publisher.publish("notices", b'{"type":"notice"}')
        assert (await tab.next("client publication"))["data"] == {"type": "notice"}
        tab.order("history", channel="notices", options={"limit": 5})
        assert (await tab.next("history"))["offsets"] == [1]
        tab.order("presence", channel="agent:101")
        assert (await tab.next("presence"))["stats"]["numClients"] == 1


async def test_close_codes_mean_the_same(node: str, gateway: Running, redis: Redis) -> None:
    async with fallen_back(node, gateway) as stranger:
        stranger.order("connect", token=token(secret=SECRET + "x"))
        assert (await stranger.next("disconnected"))["code"] == 3500
    async with fallen_back(node, gateway) as tab:
        tab.order("connect", token=token(seconds=-60))
        while (error := (await tab.next("error"))["error"])[
            "code"
        ] != 109:  # the refused WebSocket comes first
            pass
        assert error["message"] == "token expired"
        tab.order("token", token=token())
        await tab.next("connected")
        await disconnect(redis, "101", SIGNED_OUT, datetime.now(UTC))
        ended = await tab.next("disconnected")
        assert (ended["code"], ended["reason"]) == (4500, "signed out")


async def test_a_gateway_that_ends_sends_it_to_another(
    node: str, gateway: Running, publisher: PushPublisher
) -> None:
    async with fallen_back(node, gateway) as tab:
        tab.order("connect", token=token())
        await tab.next("connected")
        await gateway.app.state.drain()
        assert (await tab.next("connecting"))["code"] == 3001
