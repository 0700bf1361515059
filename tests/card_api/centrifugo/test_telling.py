"""Cards, desks and orders on their way to Centrifugo."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route
from structlog.testing import capture_logs

from card_api.background import end
from card_api.centrifugo.catch_up import CatchUp, newest
from card_api.centrifugo.client import Centrifugo, CentrifugoAway, Refusal, publish
from card_api.centrifugo.orders import Orders
from card_api.centrifugo.outbox import Outbox
from card_api.centrifugo.publisher import CentrifugoPublisher
from card_api.centrifugo.wiring import push_backend
from services.front import listen, serving
from shared.jwks import Tokens
from shared.push import DeskReader, PushPublisher, agent_channel
from shared.push_control import CONTROL_CHANNEL, SIGNED_OUT, disconnect
from shared.revision import revision
from shared.settings import AuthSettings, PushSettings, Settings, SettingsError
from tests.card_api.centrifugo.conftest import AUTH_SECRET, SECRET
from tests.e2e.standin import StandIn, stand_in
from tests.shared.test_push import make_card

DEADLINE = 10.0


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not true():  # noqa: ASYNC110 - the stand-in tells no event
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def running(*runs: Callable[[], Any]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(run()) for run in runs]
    try:
        yield
    finally:
        await end(tasks)


def told(server: StandIn, login: str = "101") -> list[tuple[str, int]]:
    """What tabs of the agent have heard: state and rev of each card."""
    history = server.channel(agent_channel(login)).history
    return [(one["data"]["card"]["state"], one["data"]["card"]["rev"]) for one in history]


def watched(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """The commands that it gets from now on; it does nothing about them."""
    sent: list[tuple[str, dict[str, Any]]] = []

    def note(method: str, asked: dict[str, Any]) -> dict[str, Any]:
        sent.append((method, asked))
        return {}

    monkeypatch.setattr(server, "do", note)
    return sent


async def test_without_a_secret_the_start_says_what_is_missing(redis: Redis) -> None:
    settings = Settings(push=PushSettings(backend="centrifugo"))
    with pytest.raises(SettingsError, match="CALLCARD_PUSH__CENTRIFUGO_SECRET"):
        push_backend(settings, redis, Tokens(AuthSettings(), AUTH_SECRET), lambda: datetime.now(UTC))


async def test_a_card_goes_to_the_desk_and_to_the_tabs_once(
    redis: Redis, centrifugo: Centrifugo, server: StandIn
) -> None:
    outbox = Outbox(centrifugo)
    here, there = (CentrifugoPublisher(PushPublisher(redis), outbox) for _ in range(2))
    async with running(outbox.run):
        assert await here.publish_cards([make_card(rev=32)]) == [None]
        await until(lambda: told(server))
        # Another card API renders the same: its desk refuses it, and Centrifugo has it already.
        assert await there.publish_cards([make_card(rev=32)]) == [32]
        assert await here.publish_cards([make_card(rev=1)]) == [32]
        assert await here.publish_cards([make_card(rev=64, state="closed")]) == [None]
        await until(lambda: len(outbox) == 0)
    assert told(server) == [("ringing", 32), ("closed", 64)]
    assert (await DeskReader(redis).read("agent:101")).cards == ()


async def test_a_card_whose_api_ended_before_telling_is_told_by_the_next(
    redis: Redis, centrifugo: Centrifugo, server: StandIn
) -> None:
    killed, outbox = Outbox(centrifugo), Outbox(centrifugo)
    await CentrifugoPublisher(PushPublisher(redis), killed).publish_cards([make_card()])
    async with running(outbox.run):
        assert await CentrifugoPublisher(PushPublisher(redis), outbox).publish_cards([make_card()]) == [1]
        await until(lambda: len(outbox) == 0)
    assert told(server) == [("ringing", 1)]


async def test_the_last_enrichment_may_come_again(
    redis: Redis, centrifugo: Centrifugo, server: StandIn
) -> None:
    outbox = Outbox(centrifugo)
    publisher = CentrifugoPublisher(PushPublisher(redis), outbox)
    async with running(outbox.run):
        for count in (1, 2):
            await publisher.publish_cards([make_card(rev=revision(1, 31))])
            await until(lambda: len(outbox) == 0)
            assert len(told(server)) == count


async def test_while_centrifugo_is_away_the_newest_waits_and_desks_go_on(
    redis: Redis, centrifugo: Centrifugo, config: dict[str, Any]
) -> None:
    outbox = Outbox(centrifugo)
    publisher = CentrifugoPublisher(PushPublisher(redis), outbox)
    with capture_logs() as logs:
        async with running(outbox.run):
            await publisher.publish_cards([make_card(rev=32), make_card(rev=32, agent="102")])
            await until(lambda: logs)
            await publisher.publish_cards([make_card(rev=64)])
            assert len((await DeskReader(redis).read("agent:101")).cards) == 1
            async with stand_in(config) as server:
                await until(lambda: told(server) and told(server, "102"))
                await until(lambda: len(logs) == 2)
                assert told(server) == [("ringing", 64)]
    assert [entry["log_level"] for entry in logs] == ["error", "info"]
    assert "is it running" in logs[0]["reason"]


async def test_what_waits_at_the_end_of_the_process_is_told(
    redis: Redis, centrifugo: Centrifugo, server: StandIn
) -> None:
    outbox = Outbox(centrifugo)
    async with running(outbox.run):
        await asyncio.sleep(0)
        await CentrifugoPublisher(PushPublisher(redis), outbox).publish_cards([make_card()])
    assert len(told(server)) == 1


async def test_a_rebuilt_desk_has_every_tab_reconnect(
    redis: Redis, centrifugo: Centrifugo, server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = watched(server, monkeypatch)
    outbox = Outbox(centrifugo)
    publisher = CentrifugoPublisher(PushPublisher(redis), outbox)
    async with running(outbox.run):
        assert not await publisher.desk_is_fresh()
        await publisher.rebuild_desk([make_card()], ["101", "102"])
        assert await publisher.desk_is_fresh()
        await until(lambda: len(outbox) == 0)
    again = {"code": 3010, "reason": "insufficient state"}
    assert sent == [("disconnect", {"user": login, "disconnect": again}) for login in ("101", "102")]


async def test_an_order_reaches_centrifugo_once_of_two_card_apis(
    redis: Redis, centrifugo: Centrifugo, server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = watched(server, monkeypatch)
    outboxes = [Outbox(centrifugo), Outbox(centrifugo)]
    async with running(*(run for box in outboxes for run in (box.run, Orders(redis, box).run))):
        while (await redis.pubsub_numsub(CONTROL_CHANNEL))[0][1] < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        now = datetime.now(UTC)
        await disconnect(redis, "101", SIGNED_OUT, now)
        await disconnect(redis, "102", SIGNED_OUT, now + timedelta(seconds=1))
        await until(lambda: len(sent) >= 2 and not any(outboxes))
    assert sorted(asked["user"] for _, asked in sent) == ["101", "102"]
    assert sent[0][1]["disconnect"] == {"code": SIGNED_OUT.code, "reason": SIGNED_OUT.reason}


async def test_what_came_between_snapshot_and_subscription_is_published_again(
    redis: Redis, centrifugo: Centrifugo, server: StandIn
) -> None:
    desks, reader, outbox = PushPublisher(redis), DeskReader(redis), Outbox(centrifugo)
    catch_up = CatchUp(reader, outbox, looks=(0, 0))
    await desks.publish_card(make_card(rev=32))
    snapshot = (await reader.read("agent:101")).position
    async with running(outbox.run):
        await desks.publish_card(make_card("main-2", rev=32))
        await desks.publish_card(make_card(rev=64))
        await desks.publish_card(make_card("main-2", rev=64, state="closed"))
        catch_up.later("agent:101", snapshot)
        await until(lambda: len(told(server)) == 2 and len(outbox) == 0)
        await catch_up.close()
    # Not the one of the snapshot, and not the ring that is over.
    assert told(server) == [("ringing", 64), ("closed", 64)]


async def test_of_each_call_the_newest_is_said_again(redis: Redis) -> None:
    desks, reader = PushPublisher(redis), DeskReader(redis)
    start = (await reader.read("agent:101")).position
    for rev in (1, 2):
        await desks.publish_card(make_card(rev=rev))
        await desks.publish("agent:101", b'{"type":"agent","n":%d}' % rev)
    missed = (await reader.read("agent:101", start)).missed
    assert [one.offset for one in newest(missed)] == [2, 3, 4]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (JSONResponse({}, 401), "http_api.key in its configuration must be the same"),
        (PlainTextResponse("not found", 404), "answers 404: is CALLCARD_PUSH__CENTRIFUGO_URL the address"),
        (PlainTextResponse("<html>"), "does not answer like Centrifugo 6"),
        (JSONResponse({"replies": []}), "does not answer like Centrifugo 6"),
        (JSONResponse({"replies": [{"error": {"code": 100, "message": "internal"}}]}), "its log says which"),
    ],
)
async def test_what_is_wrong_is_said_in_a_sentence(answer: Any, says: str) -> None:
    async def reply(request: Any) -> Any:
        return answer

    app = Starlette(routes=[Route("/api/{method}", reply, methods=["POST"])])
    async with serving(app, listen("127.0.0.1", 0)) as address:
        centrifugo = Centrifugo(address, SECRET)
        with pytest.raises(CentrifugoAway, match=says):
            await centrifugo.send([publish("agent:101", b"{}")])
        with pytest.raises(CentrifugoAway):
            await centrifugo.position("agent:101")
        with pytest.raises(CentrifugoAway):
            await centrifugo.version()
        await centrifugo.close()


async def test_what_is_refused_is_said_once_and_holds_nothing_up() -> None:
    seen: list[str] = []

    async def reply(request: Any) -> JSONResponse:
        commands = (await request.json())["commands"]
        seen.extend(command["publish"]["channel"] for command in commands)
        refused = {"error": {"code": 102, "message": "unknown channel"}}
        return JSONResponse(
            {"replies": [refused if "line" in c["publish"]["channel"] else {"publish": {}} for c in commands]}
        )

    app = Starlette(routes=[Route("/api/batch", reply, methods=["POST"])])
    async with serving(app, listen("127.0.0.1", 0)) as address:
        centrifugo = Centrifugo(address, SECRET)
        assert await centrifugo.send([publish("line:a", b"{}"), publish("agent:1", b"{}")]) == [
            Refusal(102, "unknown channel"),
            None,
        ]
        outbox = Outbox(centrifugo)
        with capture_logs() as logs:
            for channel in ("line:a", "line:b", "agent:101"):
                outbox.put((channel,), publish(channel, b"{}"))
            async with running(outbox.run):
                await until(lambda: len(seen) == 5)
        assert [(entry["log_level"], "docs/centrifugo.md" in entry["reason"]) for entry in logs] == [
            ("error", True)
        ]
        await centrifugo.close()
