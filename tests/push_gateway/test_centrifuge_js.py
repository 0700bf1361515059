"""An unmodified centrifuge-js, in node, against the gateway."""

from datetime import UTC, datetime

from redis.asyncio import Redis

from shared.push import PushPublisher, log_key, state_key
from shared.push_control import RIGHTS_CHANGED, SIGNED_OUT, disconnect
from tests.push_gateway.helpers import SECRET, Running, make_card, publish_until_slow, token
from tests.push_gateway.js_tab import js_tab


async def test_snapshot_publications_recovery_and_receipts(
    node: str, gateway: Running, publisher: PushPublisher
) -> None:
    await publisher.publish_card(make_card(rev=1))
    async with js_tab(node, gateway.url) as tab:
        tab.order("connect", token=token())
        assert [card["rev"] for card in (await tab.next("connected"))["data"]["cards"]] == [1]
        subscribed = await tab.next("subscribed")
        assert subscribed["streamPosition"]["offset"] == 1
        await publisher.publish_card(make_card(rev=2))
        published = await tab.event()
        assert (published["event"], published["offset"]) == ("publication", 2)
        assert published["data"]["card"]["caller"]["name"] == "Анна Ким"

        tab.order("kill")
        await tab.next("connecting")
        # Of two calls: a newer card of one call may replace the older.
        await publisher.publish_card(make_card("main-3", rev=3, state="closed"))
        await publisher.publish_card(make_card(rev=4, state="closed"))
        # Depending on when the client is back, it recovers the two or hears them live: once each, in order.
        await tab.next("connected")
        subscribed = await tab.next("subscribed")
        assert subscribed["wasRecovering"]
        assert subscribed["recovered"]
        for rev in (3, 4):
            published = await tab.event()
            assert (published["event"], published["offset"]) == ("publication", rev)
            assert published["data"]["card"]["rev"] == rev

        tab.order("rpc", method="card.shown", data={"call_id": "main-1", "rev": 4})
        assert (await tab.next("rpc"))["result"] == {}


async def test_a_short_token_is_renewed_on_the_living_connection(node: str, gateway: Running) -> None:
    async with js_tab(node, gateway.url) as tab:
        tab.order("connect", token=token(seconds=2))
        await tab.next("connected")
        tab.order("token", token=token())
        await tab.next("getToken")
        tab.order("rpc", method="card.shown", data={"call_id": "main-1", "rev": 1})
        # Commands are answered in order: nothing but the answer came since, so the connection lives on.
        assert (await tab.event())["event"] == "rpc"


async def test_an_expired_token_is_replaced_and_a_forged_one_is_the_end(node: str, gateway: Running) -> None:
    async with js_tab(node, gateway.url) as tab:
        tab.order("connect", token=token(seconds=-60))
        assert (await tab.next("error"))["error"]["code"] == 109
        tab.order("token", token=token())
        await tab.next("connected")
    async with js_tab(node, gateway.url) as stranger:
        stranger.order("connect", token=token(secret=SECRET + "x"))
        assert (await stranger.next("disconnected"))["code"] == 3500


async def test_channels(node: str, gateway: Running, publisher: PushPublisher) -> None:
    async with js_tab(node, gateway.url) as tab:
        tab.order("connect", token=token())
        await tab.next("subscribed")
        tab.order("subscribe", channel="agent:102")
        assert (await tab.next("client unsubscribed"))["code"] == 103
        tab.order("subscribe", channel="notices")
        await tab.next("client subscribed")
        await publisher.publish("notices", b'{"type":"notice"}')
        assert (await tab.next("client publication"))["data"] == {"type": "notice"}


async def test_drain_and_the_way_back(node: str, gateway: Running) -> None:
    async with js_tab(node, gateway.url) as tab:
        tab.order("connect", token=token())
        await tab.next("connected")
        await gateway.app.state.drain()
        assert (await tab.next("connecting"))["code"] == 3001


async def test_who_stops_reading_is_closed_as_slow_and_comes_back_with_the_cards(
    node: str, gateway: Running, publisher: PushPublisher
) -> None:
    async with js_tab(node, gateway.url) as tab:
        tab.order("connect", token=token())
        await tab.next("connecting")
        await tab.next("connected")
        tab.order("look away")
        await tab.next("looks away")
        await publisher.publish_card(make_card(rev=7))
        await publish_until_slow(gateway, publisher)
        tab.order("look back")
        assert (await tab.next("connecting"))["code"] == 3008
        assert [card["rev"] for card in (await tab.next("connected"))["data"]["cards"]] == [7]


async def test_presence_history_and_other_tabs(node: str, gateway: Running, publisher: PushPublisher) -> None:
    for rev in (1, 2, 3):
        await publisher.publish_card(make_card(rev=rev))
    async with js_tab(node, gateway.url) as tab:
        tab.order("connect", token=token())
        own = (await tab.next("connected"))["client"]
        async with gateway.raw() as other:
            client = (await other.connect())["connect"]["client"]
            joined = await tab.next("join")
            assert joined["channel"] == "agent:101"
            assert (joined["info"]["client"], joined["info"]["user"]) == (client, "101")
            tab.order("presence", channel="agent:101")
            present = await tab.next("presence")
            assert set(present["clients"]) == {own, client}
            assert (present["stats"]["numClients"], present["stats"]["numUsers"]) == (2, 1)
        assert (await tab.next("leave"))["info"]["client"] == client
        tab.order("history", channel="agent:101", options={"limit": 2, "reverse": True})
        assert (await tab.next("history"))["offsets"] == [3, 2]


async def test_a_board_begun_anew_and_an_end_of_rights(
    node: str, gateway: Running, publisher: PushPublisher, redis: Redis
) -> None:
    async with js_tab(node, gateway.url) as tab:
        older = token(role="supervisor")
        tab.order("connect", token=older)
        await tab.next("connected")
        tab.order("subscribe", channel="line:support")
        await tab.next("client subscribed")
        await redis.delete(state_key("line:support"), log_key("line:support"))
        await publisher.publish("line:support", b'{"type":"line"}')
        await tab.next("client subscribed")  # by itself, on the same connection
        await publisher.publish("line:support", b'{"type":"line","n":2}')
        assert (await tab.next("client publication"))["data"] == {"type": "line", "n": 2}

        await disconnect(redis, "101", RIGHTS_CHANGED, datetime.now(UTC))
        assert (await tab.next("connecting"))["code"] == 4000
        await tab.next("getToken")  # the older token is refused as an expired one
        tab.order("token", token=token())
        await tab.next("connected")
        assert (await tab.next("client unsubscribed"))["code"] == 103
        await disconnect(redis, "101", SIGNED_OUT, datetime.now(UTC))
        assert (await tab.next("disconnected"))["code"] == 4500
