"""An unmodified centrifuge-python against the gateway."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from centrifuge import (
    Client,
    ClientEventHandler,
    ConnectedContext,
    ConnectingContext,
    DisconnectedContext,
    ErrorContext,
    ReplyError,
    ServerJoinContext,
    ServerPublicationContext,
    ServerSubscribedContext,
)

from services.embedded import EmbeddedValkey
from shared.bus import connect_redis
from shared.push import PushPublisher
from tests.push_gateway.helpers import SECRET, Running, make_card, publish_until_slow, token


class Tab(ClientEventHandler):
    """A client and what happened to it, in order."""

    def __init__(self, url: str, **options: Any) -> None:
        self._events: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self.client = Client(
            url, self, min_reconnect_delay=0.02, max_reconnect_delay=0.2, proxy=None, **options
        )

    async def next(self, name: str) -> Any:
        """The next event of this name; other ones before it are dropped."""
        async with asyncio.timeout(15):
            while True:
                found, context = await self._events.get()
                if found == name:
                    return context

    async def next_revs(self, count: int) -> list[tuple[int, int]]:
        """Offset and rev of the next publications; nothing else may come between them."""
        events = []
        async with asyncio.timeout(15):
            for _ in range(count):
                events.append(await self._events.get())
        assert {name for name, _ in events} == {"publication"}
        return [(context.pub.offset, context.pub.data["card"]["rev"]) for _, context in events]

    def cut(self) -> None:
        """The network fails: the TCP connection is gone without a word."""
        self.client._conn.transport.abort()

    async def on_connecting(self, ctx: ConnectingContext) -> None:
        self._events.put_nowait(("connecting", ctx))

    async def on_connected(self, ctx: ConnectedContext) -> None:
        self._events.put_nowait(("connected", ctx))

    async def on_disconnected(self, ctx: DisconnectedContext) -> None:
        self._events.put_nowait(("disconnected", ctx))

    async def on_error(self, ctx: ErrorContext) -> None:
        self._events.put_nowait(("error", ctx))

    async def on_subscribed(self, ctx: ServerSubscribedContext) -> None:
        self._events.put_nowait(("subscribed", ctx))

    async def on_publication(self, ctx: ServerPublicationContext) -> None:
        self._events.put_nowait(("publication", ctx))

    async def on_join(self, ctx: ServerJoinContext) -> None:
        self._events.put_nowait(("join", ctx))


@contextlib.asynccontextmanager
async def tab(gateway: Running, **options: Any) -> AsyncIterator[Tab]:
    it = Tab(gateway.url, **{"token": token(), **options})
    await it.client.connect()
    try:
        yield it
    finally:
        await it.client.disconnect()


async def test_snapshot_then_publications_then_exactly_what_was_missed(
    gateway: Running, publisher: PushPublisher
) -> None:
    await publisher.publish_card(make_card(rev=1))
    async with tab(gateway) as agent:
        connected = await agent.next("connected")
        assert [card["rev"] for card in connected.data["cards"]] == [1]
        subscribed = await agent.next("subscribed")
        assert (subscribed.channel, subscribed.stream_position.offset) == ("agent:101", 1)
        await publisher.publish_card(make_card(rev=2))
        assert await agent.next_revs(1) == [(2, 2)]

        agent.cut()
        # Of two calls: a newer card of one call may replace the older.
        await publisher.publish_card(make_card("main-3", rev=3, state="closed"))
        await publisher.publish_card(make_card(rev=4, state="closed"))
        back = await agent.next("connected")
        assert back.data["cards"] == []
        subscribed = await agent.next("subscribed")
        assert subscribed.was_recovering
        assert subscribed.recovered
        assert await agent.next_revs(2) == [(3, 3), (4, 4)]
        await publisher.publish_card(make_card("main-2", rev=1))
        assert await agent.next_revs(1) == [(5, 1)]


async def test_a_short_token_is_refreshed_on_the_same_connection(gateway: Running) -> None:
    asked = asyncio.Queue[None]()

    async def get_token() -> str:
        asked.put_nowait(None)
        return token(seconds=3600)

    async with tab(gateway, token=token(seconds=2), get_token=get_token) as agent:
        connected = await agent.next("connected")
        async with asyncio.timeout(10):
            await asked.get()
        # Commands are answered in order, so this answer says that the refresh is done, on the same connection.
        await agent.client.rpc("card.shown", {"call_id": "main-1", "rev": 1})
        assert agent.client.client_id == connected.client


async def test_an_expired_token_is_replaced_and_a_forged_one_is_the_end(gateway: Running) -> None:
    async def get_token() -> str:
        return token()

    async with tab(gateway, token=token(seconds=-60), get_token=get_token) as agent:
        assert (await agent.next("error")).error.code == 109
        await agent.next("connected")
    async with tab(gateway, token=token(secret=SECRET + "x")) as stranger:
        assert (await stranger.next("disconnected")).code == 3500


async def test_who_stops_reading_is_closed_as_slow_and_comes_back_with_the_cards(
    gateway: Running, publisher: PushPublisher
) -> None:
    async with tab(gateway) as agent:
        await agent.next("connecting")
        await agent.next("connected")
        transport = agent.client._conn.transport
        transport.pause_reading()
        await publisher.publish_card(make_card(rev=7))
        await publish_until_slow(gateway, publisher)
        transport.resume_reading()
        assert (await agent.next("connecting")).code == 3008
        assert [card["rev"] for card in (await agent.next("connected")).data["cards"]] == [7]


async def test_presence_and_other_tabs(gateway: Running) -> None:
    async with tab(gateway) as agent, tab(gateway) as other:
        own = (await agent.next("connected")).client
        its = (await other.next("connected")).client
        joined = await agent.next("join")
        assert (joined.channel, joined.info.client, joined.info.user) == (
            "agent:101",
            its,
            "101",
        )
        assert set((await agent.client.presence("agent:101")).clients) == {own, its}
        stats = await agent.client.presence_stats("agent:101")
        assert (stats.num_clients, stats.num_users) == (2, 1)


async def test_a_colleagues_channel_is_refused(gateway: Running) -> None:
    async with tab(gateway) as agent:
        await agent.next("connected")
        with pytest.raises(ReplyError) as refused:
            await agent.client.history("agent:102", limit=5)
        assert refused.value.code == 103


async def test_a_restarted_redis_brings_the_desk_anew(
    gateway: Running, publisher: PushPublisher, valkey: EmbeddedValkey
) -> None:
    async with tab(gateway) as agent:
        await agent.next("connected")
        valkey.kill()
        valkey.start()
        card = make_card()
        async with connect_redis(valkey.url) as redis:
            await PushPublisher(redis).rebuild_desk([card], ["101"])
        while True:
            desk = (await agent.next("connected")).data
            if desk["complete"]:
                break
        assert desk["cards"] == [card.to_dict()]
        subscribed = await agent.next("subscribed")
        assert not subscribed.recovered
