"""A recording played into a running product: its cards on the agents' screens, its calls in the record."""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from ami_listener.connection import AmiAccount, AmiConnection
from ami_listener.message import AmiMessage
from ami_listener.replay import final_calls, read_timing, replay
from ami_listener.tracker.tracker import Tracker
from services.playback import PlaybackError, Played, Recorded, play_into_redis, play_to_listener
from shared import bus
from shared.contracts.call import CallEndReason, CallState, PbxLink, PbxStatus
from shared.contracts.card import Card, CardState
from shared.settings import PbxSettings, Settings
from tests.ami_listener.stub import until
from tests.conftest import TRACES
from tests.e2e.stack import Stack

NAME = "replay"


def recorded(trace: str, until: bytes | None = None) -> Recorded:
    data = (TRACES / f"{trace}.ami").read_bytes()
    if until is not None:
        data = data[: data.index(until)]
    return Recorded([data], read_timing((TRACES / f"{trace}.timing").read_text()), time.time())


async def play(
    what: Recorded, redis_url: str, folder: Path, stop: asyncio.Event | None = None, **more: Any
) -> Played:
    settings = Settings(data_dir=folder)
    at = {"speed": 0.0, **more}["speed"]
    return await play_into_redis(what, settings, PbxSettings(), NAME, redis_url, at, stop or asyncio.Event())


async def test_cards_come_and_calls_are_stored(stack: Stack, redis_url: str, tmp_path: Path) -> None:
    tab = await stack.tab("101")
    started = time.time()
    await play(recorded("direct_did"), redis_url, tmp_path, speed=4.0)
    card = await tab.card(lambda c: c.call_id.startswith(f"{NAME}-") and c.state is CardState.CLOSED)
    assert any(heard.state is CardState.RINGING for heard in tab.heard)
    stored = await stack.stored(card.call_id)
    assert (stored.pbx, stored.end_reason, stored.gap) == (NAME, CallEndReason.COMPLETED, False)
    # It happens now, with the pace of the recording: rang 0.7 s, a quarter of that at this speed.
    assert stored.started_at.timestamp() >= started - 1
    assert stored.answered_at is not None
    assert (stored.answered_at - stored.started_at).total_seconds() >= 0.1


async def test_each_run_gives_new_calls(stack: Stack, redis_url: str, tmp_path: Path) -> None:
    tab = await stack.tab("101")
    seen: set[str] = set()

    def another(card: Card) -> bool:
        return card.call_id not in seen and card.state is CardState.CLOSED

    data = (TRACES / "callback_originate.ami").read_bytes()  # its Uniqueids are words: cb-0001
    for began in (1_800_000_000, 1_800_000_001):
        await play(Recorded([data], (), began), redis_url, tmp_path)
        seen.add((await tab.card(another)).call_id)
    assert len(seen) == 2


async def test_what_is_open_at_the_end_is_ended(stack: Stack, redis_url: str, tmp_path: Path) -> None:
    tab = await stack.tab("101")
    played = await play(recorded("direct_did", until=b"Event: HangupRequest"), redis_url, tmp_path)
    assert played.channels == 2
    card = await tab.card(lambda c: c.state is CardState.CLOSED)
    stored = await stack.stored(card.call_id)
    assert (stored.state, stored.end_reason, stored.gap) == (CallState.ENDED, CallEndReason.UNKNOWN, True)
    assert tab.shown == {}


async def test_ctrl_c_ends_what_is_open(stack: Stack, redis_url: str, tmp_path: Path) -> None:
    tab = await stack.tab("101")
    stop = asyncio.Event()
    # At this pace it would ring for minutes.
    playing = asyncio.create_task(play(recorded("direct_did"), redis_url, tmp_path, stop, speed=0.005))
    # The sooner events of it are milliseconds apart, which is seconds here.
    card = await tab.card(lambda c: c.state is CardState.RINGING, 40)
    stop.set()
    assert (await playing).channels > 0
    assert (await tab.closed(card.call_id)).state is CardState.CLOSED


async def test_where_nobody_reads_is_a_sentence(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    with pytest.raises(PlaybackError, match="no Callcard reads"):
        await play(recorded("direct_did"), redis_url, tmp_path)
    with pytest.raises(PlaybackError, match="does not answer"):
        await play(recorded("direct_did"), "redis://127.0.0.1:9/0", tmp_path)
    assert not await redis.keys("*lease*")


async def test_a_name_that_is_followed_is_refused(
    stack: Stack, redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    status = PbxStatus(pbx=NAME, link=PbxLink.UP, since=datetime.now(UTC))
    await redis.set(bus.pbx_status_key(NAME), status.to_json())
    with pytest.raises(PlaybackError, match="Another replay"):
        await play(recorded("direct_did"), redis_url, tmp_path)


async def test_it_can_be_the_pbx_that_a_listener_connects_to() -> None:
    heard: list[AmiMessage] = []
    connections: list[AmiConnection] = []

    def ready(host: str, port: int) -> None:
        connection = AmiConnection(
            "test",
            AmiAccount(host, port, "anybody", "any secret"),
            on_event=lambda event, at: heard.append(event),
            on_link=lambda link, detail: up.set(),
        )
        connections.append(connection)
        connection.start()

    up = asyncio.Event()
    playing = asyncio.create_task(
        play_to_listener(recorded("direct_did"), "127.0.0.1", 0, 0.0, asyncio.Event(), ready)
    )
    await up.wait()
    (connection,) = connections
    assert await connection.action_list("CoreShowChannels") == []
    # The end is that the PBX says it was restarted, and has been asked what goes on.
    await until(lambda: any(event.event == "FullyBooted" for event in heard[5:]))
    assert await connection.action_list("CoreShowChannels") == []
    played = await playing
    connection.close()
    await connection.wait_closed()
    assert played.events == len(heard) - 1
    tracker = Tracker("x")
    updates = [u for event in heard for u in tracker.handle(event, datetime.now(UTC))]
    (call,) = final_calls(updates)
    (same,) = final_calls(replay((TRACES / "direct_did.ami").read_bytes(), pbx="x"))
    assert (call.did, call.end_reason, call.legs[0].channel) == (
        same.did,
        same.end_reason,
        same.legs[0].channel,
    )
    assert call.call_id != same.call_id
