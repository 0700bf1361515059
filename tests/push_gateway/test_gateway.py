"""The gateway over real sockets and a real Valkey."""

import asyncio
import contextlib
import gc
import os
import signal
import time
import weakref
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import orjson
import pytest
import websockets
from joserfc import jwt
from joserfc.jwk import RSAKey
from redis.asyncio import Redis
from websockets.server import ServerProtocol

from push_gateway import bus, hub
from push_gateway import gateway as module
from push_gateway.limits import Limits
from push_gateway.session import Session
from services.embedded import EmbeddedValkey
from shared.contracts.push import DeskSnapshot
from shared.presence import presence_key
from shared.push import RECEIPTS_STREAM, Heard, PushPublisher, bus_name, decode_receipt, log_key, state_key
from shared.websocket import WebSocketProtocol
from tests.push_gateway.conftest import StartGateway
from tests.push_gateway.helpers import RawClient, Running, make_card, running_gateway, token, until


async def pushed(client: RawClient) -> tuple[int, str, int]:
    """Offset, call and rev of the next publication; other tabs of the agent may come and go meanwhile."""
    while "pub" not in (message := (await client.hear())["push"]):
        pass
    push = message["pub"]
    return push["offset"], push["data"]["card"]["call_id"], push["data"]["card"]["rev"]


async def test_the_connect_reply_has_the_desk_and_what_follows_has_offsets(
    gateway: Running, publisher: PushPublisher
) -> None:
    card = make_card()
    await publisher.publish_card(card)
    async with gateway.raw() as client:
        result = (await client.connect())["connect"]
        desk = DeskSnapshot.model_validate(result["data"])
        assert desk.cards == [card]
        assert desk.complete
        subscription = result["subs"]["agent:101"]
        assert (desk.epoch, desk.offset) == (subscription["epoch"], subscription["offset"])
        assert desk.offset == 1

        answered = make_card(rev=2, state="answered")
        await publisher.publish_card(answered)
        assert (await client.hear())["push"] == {
            "channel": "agent:101",
            "pub": {"data": {"type": "card", "card": answered.to_dict()}, "offset": 2},
        }


async def test_every_tab_of_the_agent_gets_the_card_and_nobody_else(
    gateway: Running, publisher: PushPublisher
) -> None:
    async with gateway.raw() as first, gateway.raw() as second, gateway.raw() as colleague:
        await first.connect()
        await second.connect()
        assert "join" in (await first.hear())["push"]
        await colleague.connect("102")
        await publisher.publish_cards([make_card("main-1"), make_card("main-2", agent="102")])
        assert await pushed(first) == (1, "main-1", 1)
        assert await pushed(second) == (1, "main-1", 1)
        assert await pushed(colleague) == (1, "main-2", 1)


async def test_tabs_of_an_agent_hear_of_each_other_and_see_each_other(gateway: Running) -> None:
    async with gateway.raw() as first:
        one = (await first.connect())["connect"]["client"]
        async with gateway.raw() as second:
            two = (await second.connect())["connect"]["client"]
            info = {"user": "101", "client": two}
            assert (await first.hear())["push"] == {"channel": "agent:101", "join": {"info": info}}
            present = await first.ask({"id": 2, "presence": {"channel": "agent:101"}})
            assert present["presence"]["presence"] == {
                client: {"user": "101", "client": client} for client in (one, two)
            }
            stats = await second.ask({"id": 2, "presence_stats": {"channel": "agent:101"}})
            assert stats["presence_stats"] == {"num_clients": 2, "num_users": 1}
        assert (await first.hear())["push"] == {"channel": "agent:101", "leave": {"info": info}}


async def test_gateways_agree_on_presence_and_the_clients_of_a_dead_one_vanish(
    gateway: Running, start_gateway: StartGateway, redis: Redis
) -> None:
    other = await start_gateway()
    async with gateway.raw() as here, other.raw() as there:
        await here.connect()
        await there.connect()
        assert "join" in (await here.hear())["push"]
        # As a process leaves it behind that was killed: nobody prolongs it.
        await redis.zadd(presence_key("agent:101"), {"dead 101": (time.time() + 0.1) * 1000})

        async def present(client: RawClient) -> set[str]:
            await client.say({"id": 2, "presence": {"channel": "agent:101"}})
            while "id" not in (message := await client.hear()):
                pass
            return set(message["presence"]["presence"])

        async with asyncio.timeout(10):
            while "dead" in await present(there):  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # nobody tells; more often than a tab may, would be refused
        assert len(await present(here)) == 2
        async with start_tab(other) as third:
            assert len(await present(third)) >= 2
            while "leave" not in (push := (await here.hear())["push"]):
                pass
        assert push["leave"]["info"] == {"user": "101", "client": "dead"}


@contextlib.asynccontextmanager
async def start_tab(gateway: Running, login: str = "101") -> AsyncIterator[RawClient]:
    async with gateway.raw() as client:
        await client.connect(login)
        yield client


async def test_a_line_tells_its_supervisor_who_watches_and_announces_nobody(
    gateway: Running, publisher: PushPublisher
) -> None:
    async with gateway.raw() as supervisor, gateway.raw() as member:
        await supervisor.ask({"id": 1, "connect": {"token": token("201", role="supervisor")}})
        await supervisor.ask({"id": 2, "subscribe": {"channel": "line:support"}})
        await member.ask({"id": 1, "connect": {"token": token("101", channels=["line:support"])}})
        await member.ask({"id": 2, "subscribe": {"channel": "line:support"}})

        async def watching() -> int:
            answer = await supervisor.ask({"id": 3, "presence_stats": {"channel": "line:support"}})
            return int(answer["presence_stats"]["num_users"])  # a join in its place would fail here

        async with asyncio.timeout(10):
            while await watching() != 2:
                pass
        await publisher.publish("line:support", b'{"type":"line"}')
        assert (await member.hear())["push"]["pub"]["data"] == {"type": "line"}


async def test_a_channel_begun_anew_ends_the_subscription_and_not_the_connection(
    gateway: Running, publisher: PushPublisher, redis: Redis
) -> None:
    async with gateway.raw() as client:
        await client.connect()
        await client.ask({"id": 2, "subscribe": {"channel": "notices"}})
        await redis.delete(*[key async for key in redis.scan_iter(f"{bus_name('notices')}:*")])
        await publisher.publish("notices", b'{"type":"notice"}')
        assert (await client.hear())["push"] == {
            "channel": "notices",
            "unsubscribe": {"code": 2500, "reason": "insufficient state"},
        }
        again = await client.ask({"id": 3, "subscribe": {"channel": "notices"}})
        assert again["subscribe"]["offset"] == 1


async def test_who_lost_a_line_or_was_refused_it_is_not_there(
    gateway: Running, publisher: PushPublisher, redis: Redis
) -> None:
    line = "line:support"
    async with gateway.raw() as lost, gateway.raw() as refused, gateway.raw() as stays:
        for login, client in {"201": lost, "202": refused, "203": stays}.items():
            await client.ask({"id": 1, "connect": {"token": token(login, role="supervisor")}})
        await publisher.publish(line, b'{"type":"line"}')
        await lost.ask({"id": 2, "subscribe": {"channel": line}})
        await redis.delete(*[key async for key in redis.scan_iter(f"{bus_name(line)}:*")])
        await publisher.publish(line, b'{"type":"line"}')
        assert "unsubscribe" in (await lost.hear())["push"]
        stale = {"channel": line, "recover": True, "epoch": "gone", "offset": 1, "flag": 2}
        assert (await refused.ask({"id": 2, "subscribe": stale}))["error"]["code"] == 112
        await stays.ask({"id": 2, "subscribe": {"channel": line}})

        async def here() -> set[str]:
            answer = await stays.ask({"id": 3, "presence": {"channel": line}})
            return {info["user"] for info in answer["presence"]["presence"].values()}

        async with asyncio.timeout(10):
            while await here() != {"203"}:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.05)  # more often than a tab may, would be refused


async def test_the_bus_says_what_a_publication_is_the_newest_state_of(
    publisher: PushPublisher, redis: Redis
) -> None:
    bus = redis.pubsub(ignore_subscribe_messages=True)
    await bus.subscribe(bus_name("line:support"))
    assert await publisher.publish("line:support", b'{"type":"line"}', key="queue support 2") == 1
    assert await publisher.publish("line:support", b'{"type":"line"}') == 2
    async with asyncio.timeout(5):
        heard = [Heard.parse(m["data"]) for m in [await anext(bus.listen()) for _ in range(2)]]
    assert [(h.offset, h.key) for h in heard] == [(1, "queue support 2"), (2, "")]
    assert not await redis.hexists(state_key("line:support"), "r:queue support 2")
    await bus.aclose()


async def test_history_from_both_ends(gateway: Running, publisher: PushPublisher) -> None:
    async with gateway.raw() as client:
        await client.connect()
        for n in range(1, 6):
            await publisher.publish("agent:101", b'{"n":%d}' % n)
            await client.hear()

        async def read(**params: object) -> tuple[list[int], int]:
            answer = await client.ask({"id": 2, "history": {"channel": "agent:101", **params}})
            return [p["offset"] for p in answer["history"]["publications"]], answer["history"]["offset"]

        assert await read() == ([], 5)
        assert await read(limit=-1) == ([1, 2, 3, 4, 5], 5)
        assert await read(limit=2) == ([1, 2], 5)
        assert await read(limit=2, reverse=True) == ([5, 4], 5)
        assert await read(limit=-1, since={"offset": 3}) == ([4, 5], 5)
        assert await read(limit=1, since={"offset": 3}) == ([4], 5)
        assert await read(limit=-1, since={"offset": 3}, reverse=True) == ([2, 1], 5)
        assert await read(limit=-1, since={"offset": 99}) == ([], 5)
        assert await read(limit=-1, since={"offset": 0}, reverse=True) == ([], 5)
        answer = await client.ask(
            {"id": 3, "history": {"channel": "agent:101", "limit": 1, "since": {"epoch": "other"}}}
        )
        assert answer["error"]["code"] == 112


async def test_another_agents_channel_is_refused_and_stays_silent(
    gateway: Running, publisher: PushPublisher
) -> None:
    async with gateway.raw() as client:
        await client.connect("101", subs={"agent:102": {"recover": True, "epoch": "", "offset": 0}})
        reply = await client.ask({"id": 2, "subscribe": {"channel": "agent:102"}})
        assert reply["error"]["code"] == 103
        await publisher.publish_card(make_card("secret", agent="102"))
        await publisher.publish_card(make_card("own"))
        assert await pushed(client) == (1, "own", 1)


async def test_notices_are_for_everybody(gateway: Running, publisher: PushPublisher) -> None:
    async with gateway.raw() as client:
        await client.connect()
        assert (await client.ask({"id": 2, "subscribe": {"channel": "notices"}}))["subscribe"]["offset"] == 0
        await publisher.publish("notices", b'{"type":"notice"}')
        assert (await client.hear())["push"]["pub"] == {"data": {"type": "notice"}, "offset": 1}
        await client.ask({"id": 3, "unsubscribe": {"channel": "notices"}})
        await publisher.publish("notices", b'{"type":"notice"}')
        again = await client.ask({"id": 4, "subscribe": {"channel": "notices"}})
        assert again["subscribe"]["offset"] == 2
        await publisher.publish("notices", b'{"type":"notice"}')
        assert (await client.hear())["push"]["pub"]["offset"] == 3
        history = await client.ask({"id": 5, "history": {"channel": "notices", "limit": 2, "reverse": True}})
        assert [p["offset"] for p in history["history"]["publications"]] == [3, 2]


async def test_a_channel_that_nobody_hears_any_more_is_given_up(
    gateway: Running, publisher: PushPublisher, redis: Redis
) -> None:
    async def heard() -> list[bytes]:
        return sorted(await redis.pubsub_channels("callcard:push:{*"))

    async with gateway.raw() as client, asyncio.timeout(10):
        async with gateway.raw() as other:
            await client.connect()
            await client.ask({"id": 2, "subscribe": {"channel": "notices"}})
            await other.connect("102")
        while len(await heard()) > 2:
            pass
        assert await heard() == [bus_name("agent:101").encode(), bus_name("notices").encode()]
        await client.ask({"id": 3, "unsubscribe": {"channel": "notices"}})
        while await heard() != [bus_name("agent:101").encode()]:
            pass
        await publisher.publish_card(make_card())
        assert await pushed(client) == (1, "main-1", 1)
        await client.socket.close()
        while await heard():
            pass


@pytest.mark.parametrize("cut_every", [0, 7])
async def test_publishing_while_tabs_connect_leaves_no_hole_and_no_repeat(
    gateway: Running, publisher: PushPublisher, redis: Redis, cut_every: int
) -> None:
    """Position, desk and live stream agree, however connects, publications and losses of the link fall together."""
    last = 100  # fewer than the history keeps, so a repaired link never costs a reconnect

    async def publish() -> None:
        for rev in range(1, last + 1):
            # Each of another call: newer cards of one call may replace older ones.
            await publisher.publish_card(make_card(f"main-{rev}", rev))
            if cut_every and rev % cut_every == 0:
                await redis.client_kill_filter(_type="pubsub")

    async def follow() -> None:
        async with gateway.raw() as client:
            while "error" in (reply := await client.connect()):
                assert (
                    reply["error"]["code"] == 100
                )  # the link was just away: the SDK would try again as well
            desk = DeskSnapshot.model_validate(reply["connect"]["data"])
            rev = desk.offset
            assert sorted(card.rev for card in desk.cards) == list(range(1, rev + 1))
            while rev < last:
                rev += 1
                assert await pushed(client) == (rev, f"main-{rev}", rev)

    publishing = asyncio.create_task(publish())
    followers = []
    for _ in range(12):
        followers.append(asyncio.create_task(follow()))
        await asyncio.sleep(0)
    await asyncio.gather(publishing, *followers)


async def test_receipts_go_into_the_stream(gateway: Running, publisher: PushPublisher, redis: Redis) -> None:
    async with gateway.raw() as client:
        connected = await client.connect()
        await publisher.publish_card(make_card("main-9", rev=4))
        await client.hear()
        seen = {"call_id": "main-9", "rev": 4, "at": "2026-11-21T22:00:01.250Z"}
        await client.ask({"id": 2, "rpc": {"method": "card.shown", "data": seen}})
        await client.say({"send": {"data": {"type": "card.opened", **seen}}})
        await client.ask({"id": 3, "ping": {}})
    receipts = [decode_receipt(fields) for _, fields in await redis.xrange(RECEIPTS_STREAM)]
    assert [(r.what, r.agent, r.call_id, r.rev) for r in receipts] == [
        ("card.shown", "101", "main-9", 4),
        ("card.opened", "101", "main-9", 4),
    ]
    assert receipts[0].client == connected["connect"]["client"]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.port}") as http:
        metrics = (await http.get("/metrics")).text
    assert 'callcard_push_receipts_total{what="card.shown"} 1.0' in metrics
    assert "callcard_push_delivery_seconds_count 1.0" in metrics


async def test_an_agent_signed_in_by_a_crm_needs_no_second_sign_in(
    start_gateway: StartGateway, publisher: PushPublisher, tmp_path: Path
) -> None:
    keys = tmp_path / "crm.json"
    key = RSAKey.generate_key(2048, {"kid": "crm"}, private=True)
    keys.write_bytes(orjson.dumps({"keys": [key.as_dict(private=False)]}))
    gateway = await start_gateway(auth={"jwks": str(keys), "login_claim": "extension"})
    claims = {"sub": "u-4711", "extension": "101", "aud": "callcard", "exp": time.time() + 60}
    signed = jwt.encode({"alg": "RS256", "kid": "crm"}, claims, key)
    async with gateway.raw() as client, asyncio.timeout(10):
        while "error" in (reply := await client.ask({"id": 1, "connect": {"token": signed}})):
            assert reply["error"]["code"] == 100  # the keys are being read: the SDK tries again
        assert reply["connect"]["data"]["agent"] == {"login": "101", "role": "agent"}
        await publisher.publish_card(make_card())
        assert await pushed(client) == (1, "main-1", 1)


async def test_a_forged_token_ends_the_connection_for_good(gateway: Running) -> None:
    async with gateway.raw() as client:
        forged = token(secret="another secret that is long enough as well")
        await client.say({"id": 1, "connect": {"token": forged}})
        assert await client.closed() == (3500, "invalid token")


@pytest.mark.parametrize("frame", ["nonsense", b"binary", "x" * 70_000])
async def test_what_is_not_the_protocol_ends_the_connection(gateway: Running, frame: str | bytes) -> None:
    async with gateway.raw() as client:
        await client.socket.send(frame)
        assert await client.closed() == (3501, "bad request")


async def test_a_page_of_another_site_may_not_connect(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(allowed_origins=["https://crm.example"])
    for origin in (f"http://127.0.0.1:{gateway.port}", "https://CRM.example", "https://crm.example/"):
        async with gateway.raw(origin=origin) as client:
            assert "connect" in await client.connect()
    for origin in ("https://evil.example", "https://crm.example.evil.example", "null", "http://["):
        with pytest.raises(websockets.InvalidStatus, match="403"):
            async with gateway.raw(origin=origin):
                pass


async def test_an_agent_has_only_so_many_tabs(gateway: Running) -> None:
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(gateway.raw()) for _ in range(Limits().connections)]
        for client in clients:
            assert "connect" in await client.connect()
        one_more = await stack.enter_async_context(gateway.raw())
        await one_more.say({"id": 1, "connect": {"token": token()}})
        assert await one_more.closed() == (3504, "connection limit")
        colleague = await stack.enter_async_context(gateway.raw())
        assert "connect" in await colleague.connect("102")
        await clients[0].socket.close()

        async def connects() -> bool:
            async with gateway.raw() as client:
                await client.say({"id": 1, "connect": {"token": token()}})
                with contextlib.suppress(websockets.ConnectionClosed):
                    return "connect" in await client.hear()
                return False

        async with asyncio.timeout(10):
            while not await connects():  # the gateway hears of the closed tab a moment later
                pass


async def test_a_tab_that_has_gone_leaves_nothing_for_the_garbage_collector(gateway: Running) -> None:
    async with gateway.raw() as client:
        await client.connect()
        kinds = (WebSocketProtocol, ServerProtocol, Session)
        left = [weakref.ref(thing) for thing in gc.get_objects() if issubclass(type(thing), kinds)]
        assert len(left) == len(kinds)
        gc.disable()
        client.socket.transport.abort()  # as a network that is gone: no goodbye
    try:
        # Not only when the clock would have come to its deadline.
        await until(lambda: not any(ref() for ref in left), Limits().first_command_seconds / 2)
    finally:
        gc.enable()


async def test_drain_sends_every_tab_away_to_come_back(gateway: Running) -> None:
    async with gateway.raw() as client:
        await client.connect()
        await gateway.app.state.drain()
        assert await client.closed() == (3001, "shutdown")
    async with gateway.raw() as late:
        assert await late.closed() == (3001, "shutdown")


async def test_a_drain_sends_a_few_away_at_a_time_and_says_from_the_beginning_that_it_is_not_ready(
    gateway: Running, publisher: PushPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DRAIN_TABS_A_SECOND", 20)
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=gateway.http))
        tabs = [await stack.enter_async_context(start_tab(gateway, f"{n}")) for n in range(12)]
        assert (await http.get("/readyz")).status_code == 200
        draining = asyncio.create_task(gateway.app.state.drain())
        closing = [asyncio.create_task(tab.closed()) for tab in tabs]
        await asyncio.wait(closing, return_when=asyncio.FIRST_COMPLETED)
        assert not draining.done()
        assert (await http.get("/readyz")).status_code == 503
        await asyncio.wait({draining}, return_when=asyncio.FIRST_COMPLETED)
        assert await asyncio.gather(*closing) == [(3001, "shutdown")] * len(tabs)


async def test_a_stalled_tab_is_closed_as_slow_and_delays_nobody(
    gateway: Running, publisher: PushPublisher
) -> None:
    async with (
        # Takes one message, then reads no more from its socket until asked.
        gateway.raw(max_queue=(1, 0), max_size=None) as stalled,
        gateway.raw() as other,
    ):
        await stalled.connect()
        await other.connect()
        big = b'{"type":"notice","text":"%s"}' % (b"x" * 200_000)
        offset = 0
        # Enough for the kernel's buffers, uvicorn's and ours.
        while offset * len(big) < 20 * Limits().queue_bytes:
            offset = await publisher.publish("agent:101", big)
            assert (await other.hear())["push"]["pub"]["offset"] == offset
        assert await stalled.closed() == (3008, "slow")


async def test_a_redis_that_hangs_is_noticed_and_a_quiet_one_is_not(
    gateway: Running,
    publisher: PushPublisher,
    valkey: EmbeddedValkey,
    monkeypatch: pytest.MonkeyPatch,
    redis: Redis,
) -> None:
    monkeypatch.setattr(bus, "LINK_PING_SECONDS", 0.1)
    monkeypatch.setattr(bus, "LINK_SILENCE_SECONDS", 2.0)
    monkeypatch.setattr(hub, "READ_SECONDS", 0.5)

    async def ready(status: int) -> None:
        while (await http.get("/readyz")).status_code != status:
            pass

    async def links() -> set[str]:
        return {c["id"] for c in await redis.client_list(_type="pubsub")}

    async def pings() -> int:
        stats = await redis.info("commandstats")
        return int(stats.get("cmdstat_ping", {}).get("calls", 0))

    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.port}") as http,
        gateway.raw() as client,
        asyncio.timeout(30),
    ):
        await client.connect()
        first = await links()
        await redis.client_kill_filter(_type="pubsub")  # the next link has the limits above
        while (before := await links() - first) == set():
            pass
        quiet_until = await pings() + 30  # half as long again as silence is taken for
        while await pings() < quiet_until:
            pass
        assert await links() == before
        assert valkey.pid is not None
        os.kill(valkey.pid, signal.SIGSTOP)
        try:
            await ready(503)
            async with gateway.raw() as late:
                assert (await late.connect())["error"]["code"] == 100
        finally:
            os.kill(valkey.pid, signal.SIGCONT)
        await ready(200)
        card = make_card()
        await publisher.publish_card(card)
        assert await pushed(client) == (1, "main-1", 1)


@pytest.fixture
async def away(valkey: EmbeddedValkey) -> AsyncIterator[EmbeddedValkey]:
    """A Valkey that the test may kill."""
    yield valkey
    valkey.kill()
    valkey.start()


async def test_a_lost_link_is_repaired_from_the_history(
    gateway: Running, publisher: PushPublisher, redis: Redis
) -> None:
    async with gateway.raw() as client:
        await client.connect()
        await publisher.publish_card(make_card(rev=1))
        assert await pushed(client) == (1, "main-1", 1)
        for _ in range(3):
            # The link is cut and, before it is back, something is published.
            await redis.client_kill_filter(_type="pubsub")
            await publisher.publish_card(make_card("main-2", rev=2))
            await publisher.publish_card(make_card("main-3", rev=3))
        assert await pushed(client) == (2, "main-2", 2)
        assert await pushed(client) == (3, "main-3", 3)


async def test_a_hole_on_the_bus_is_filled_from_the_history(
    gateway: Running, publisher: PushPublisher, redis: Redis
) -> None:
    async with gateway.raw() as client:
        await client.connect()
        await publisher.publish_card(make_card(rev=1))
        assert await pushed(client) == (1, "main-1", 1)
        # As if the bus had swallowed offset 2: it is in the history and was never heard.
        await redis.hincrby(state_key("agent:101"), "offset", 1)
        await redis.xadd(
            log_key("agent:101"), {"d": b'{"type":"card","card":{"call_id":"swallowed","rev":9}}'}, "2-0"
        )
        await publisher.publish_card(make_card(rev=3))
        assert await pushed(client) == (2, "swallowed", 9)
        assert await pushed(client) == (3, "main-1", 3)


async def test_a_hole_that_can_not_be_filled_makes_the_client_reconnect(
    gateway: Running, publisher: PushPublisher, redis: Redis
) -> None:
    async with gateway.raw() as client:
        await client.connect()
        await redis.hincrby(state_key("agent:101"), "offset", 1)
        await publisher.publish_card(make_card(rev=3))
        assert await client.closed() == (3010, "insufficient state")


async def test_without_redis_tabs_stay_and_new_ones_wait(
    gateway: Running, publisher: PushPublisher, away: EmbeddedValkey
) -> None:
    async with (
        gateway.raw() as client,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.port}") as http,
    ):
        await client.connect()
        assert (await http.get("/readyz")).status_code == 200
        away.kill()

        async with gateway.raw() as late:
            reply = await late.connect("102")
            assert reply["error"] == {"code": 100, "message": "internal server error", "temporary": True}
        assert (await http.get("/readyz")).status_code == 503
        assert (await http.get("/healthz")).status_code == 200
        assert await client.ask({"id": 2, "ping": {}}) == {"id": 2, "ping": {}}

        away.start()
        # A new Valkey is empty: the channel has another epoch, so the tab must fetch its desk anew.
        assert await client.closed() == (3010, "insufficient state")


async def test_after_a_loss_of_data_the_desk_says_so_until_it_is_rebuilt(
    gateway: Running, publisher: PushPublisher, redis: Redis
) -> None:
    await redis.flushall()
    assert not await publisher.desk_is_fresh()
    async with gateway.raw() as client:
        desk = (await client.connect())["connect"]["data"]
        assert (desk["complete"], desk["cards"]) == (False, [])
        card = make_card()
        await publisher.rebuild_desk([card, make_card("over", state="closed")], ["101", "102"])
        assert await client.closed() == (3010, "insufficient state")
    assert await publisher.desk_is_fresh()
    async with gateway.raw() as client:
        desk = (await client.connect())["connect"]["data"]
        assert desk["complete"]
        assert desk["cards"] == [card.to_dict()]


async def test_the_gateway_starts_before_redis(valkey: EmbeddedValkey) -> None:
    valkey.kill()
    try:
        async with running_gateway(valkey.url) as gateway:
            async with gateway.raw() as client:
                assert (await client.connect())["error"]["code"] == 100
            valkey.start()

            async def connects() -> bool:
                async with gateway.raw() as client:
                    return "connect" in await client.connect()

            async with asyncio.timeout(10):
                while not await connects():
                    pass
    finally:
        valkey.kill()
        valkey.start()
