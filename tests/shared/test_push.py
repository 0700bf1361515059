"""The push bus: desk, history and live stream of a channel always agree, whatever order cards come in."""

import asyncio
from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from shared.contracts.card import Card
from shared.push import DeskReader, Heard, Position, PushPublisher, agent_channel, bus_name

NOW = datetime.now(UTC)


def make_card(call_id: str = "main-1", rev: int = 1, state: str = "ringing", agent: str = "101") -> Card:
    return Card.model_validate(
        {
            "call_id": call_id,
            "rev": rev,
            "state": state,
            "close_reason": "ended" if state == "closed" else None,
            "agent": agent,
            "call": {"pbx": "main", "direction": "inbound", "state": "ringing", "started_at": NOW},
            "match": "none",
            "caller": {},
            "expires_at": NOW + timedelta(hours=1),
            "timings": {"arrived": NOW},
        }
    )


async def test_a_card_is_on_the_desk_in_the_history_and_on_the_air_with_one_offset(redis: Redis) -> None:
    publisher, reader = PushPublisher(redis), DeskReader(redis)
    before = (await reader.read("agent:101")).position
    pubsub = redis.pubsub(ignore_subscribe_messages=True)
    await pubsub.subscribe(bus_name("agent:101"))
    card = make_card()

    assert await publisher.publish_card(card) == 1

    state = await reader.read("agent:101", before)
    assert state.position == Position(before.epoch, 1)
    assert state.cards == (card.to_json(),)
    assert state.recovered
    message = None
    async with asyncio.timeout(5):
        while message is None:
            message = await pubsub.get_message(timeout=1)
    heard = Heard.parse(message["channel"], message["data"])
    assert (heard.channel, heard.epoch, heard.offset) == (agent_channel("101"), before.epoch, 1)
    assert (heard.call_id, heard.rev) == ("main-1", 1)
    assert [p.data for p in state.missed] == [heard.data]
    assert heard.data == b'{"type":"card","card":' + card.to_json() + b"}"
    await pubsub.aclose()


async def test_a_stale_update_neither_overwrites_nor_reopens(redis: Redis) -> None:
    publisher, reader = PushPublisher(redis), DeskReader(redis)
    assert await publisher.publish_card(make_card(rev=2)) == 1
    assert await publisher.publish_card(make_card(rev=1)) == 0
    assert await publisher.publish_card(make_card(rev=5, state="closed")) == 2
    assert await publisher.publish_card(make_card(rev=4)) == 0
    state = await reader.read("agent:101")
    assert state.cards == ()
    assert state.position.offset == 2
