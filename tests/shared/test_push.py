"""The push bus: desk, history and live stream of a channel always agree, whatever order cards come in."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.contracts.card import Card, CardState
from shared.contracts.push import Receipt
from shared.push import (
    RECEIPTS_STREAM,
    ChannelState,
    DeskReader,
    Heard,
    Position,
    PushPublisher,
    add_receipt,
    agent_channel,
    bus_name,
    decode_receipt,
    log_key,
    state_key,
)
from shared.push_scripts import HISTORY_LENGTH, HISTORY_SECONDS, TIDY_EVERY
from shared.revision import replaces, revision

NOW = datetime.now(UTC)


def make_card(
    call_id: str = "main-1",
    rev: int = 1,
    state: str = "ringing",
    agent: str = "101",
    expires_in: timedelta = timedelta(hours=1),
) -> Card:
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
            "expires_at": NOW + expires_in,
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
    heard = Heard.parse(message["data"])
    assert (heard.epoch, heard.offset) == (before.epoch, 1)
    assert heard.key == "main-1"
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


def revs(state: ChannelState) -> dict[str, int]:
    """The desk: call -> rev."""
    cards = [orjson.loads(card) for card in state.cards]
    return {card["call_id"]: card["rev"] for card in cards}


@pytest.fixture
async def start(redis: Redis) -> Position:
    """Where `agent:101` begins."""
    return (await DeskReader(redis).read("agent:101")).position


async def test_a_newer_rev_opens_a_closed_card_again(redis: Redis) -> None:
    """A phone that was not answered may ring for the same call once more."""
    publisher, reader = PushPublisher(redis), DeskReader(redis)
    await publisher.publish_card(make_card(rev=1))
    await publisher.publish_card(make_card(rev=2, state="closed"))
    await publisher.publish_card(make_card(rev=3))
    assert revs(await reader.read("agent:101")) == {"main-1": 3}


async def test_the_last_rev_of_a_version_may_come_again_with_newer_contents(redis: Redis) -> None:
    """More patches between two events than a version has revs: none of them is lost."""
    publisher, reader = PushPublisher(redis), DeskReader(redis)
    last = revision(176_400_000_000_000, 99)
    first = make_card(rev=last)
    assert await publisher.publish_card(first) == 1
    again = first.model_copy(update={"greeting": "Добрый день"})
    assert await publisher.publish_cards([again]) == [None]
    (shown,) = (await reader.read("agent:101")).cards
    assert orjson.loads(shown)["greeting"] == "Добрый день"
    # An end that is told late opens nothing, and who is refused hears why.
    assert await publisher.publish_cards([make_card(rev=last - 1), make_card("b", rev=1)]) == [last, None]
    assert await publisher.publish_cards([make_card("b", rev=1)]) == [1]


@given(st.integers(0, 2**60), st.integers(0, 2**60))
def test_a_rev_replaces_an_older_one_and_the_last_of_a_version_itself(rev: int, known: int) -> None:
    assert replaces(rev, known) == (rev > known or (rev == known and rev % 32 == 31))
    assert replaces(rev, rev) == (int(str(rev)[-5:]) % 32 == 31)  # as the script reckons


async def test_revs_beyond_2_to_53_are_told_apart(redis: Redis) -> None:
    publisher = PushPublisher(redis)
    assert await publisher.publish_card(make_card(rev=2**53 + 1)) == 1
    assert await publisher.publish_card(make_card(rev=2**53)) == 0
    assert await publisher.publish_card(make_card(rev=2**53 + 2)) == 2


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 12), st.sampled_from(list(CardState))),
        max_size=25,
    )
)
async def test_any_order_and_any_duplicates_end_with_the_highest_rev(
    redis: Redis, published: list[tuple[str, int, CardState]]
) -> None:
    """One rev is one document, as the card API makes them; they come late, twice, and in any order."""
    agent = f"agent-{next(_numbers)}"
    channel = agent_channel(agent)
    truth = {(call, rev): state for call, rev, state in published}
    publisher, reader = PushPublisher(redis), DeskReader(redis)
    start = (await reader.read(channel)).position

    offsets = [
        await publisher.publish_card(make_card(call, rev, truth[call, rev], agent))
        for call, rev, _ in published
    ]

    highest = {call: max(rev for c, rev in truth if c == call) for call, _ in truth}
    state = await reader.read(channel, start)
    assert revs(state) == {c: r for c, r in highest.items() if truth[c, r] is not CardState.CLOSED}
    # Nobody hears a rev that is not newer than what was heard before, and no number is left out.
    accepted = [offset for offset in offsets if offset]
    assert accepted == list(range(1, len(accepted) + 1)) == [p.offset for p in state.missed]
    heard: dict[str, int] = {}
    for publication in state.missed:
        card = orjson.loads(publication.data)["card"]
        assert card["rev"] > heard.get(card["call_id"], -1)
        heard[card["call_id"]] = card["rev"]
    assert heard == highest


_numbers = itertools.count()


async def test_a_ring_all_in_one_round_trip_also_after_redis_forgot_the_script(redis: Redis) -> None:
    publisher, reader = PushPublisher(redis), DeskReader(redis)
    cards = [make_card(agent=agent) for agent in ("101", "102", "103")]
    await publisher.publish_cards(cards)
    await redis.script_flush()
    await publisher.publish_cards([make_card(rev=2, agent="101"), make_card(rev=1, agent="102")])
    await publisher.publish_cards([])
    states = [await reader.read(agent_channel(agent)) for agent in ("101", "102", "103")]
    assert [revs(state) for state in states] == [{"main-1": 2}, {"main-1": 1}, {"main-1": 1}]
    assert [state.position.offset for state in states] == [2, 1, 1]


async def test_an_expired_card_leaves_the_desk_by_itself(redis: Redis) -> None:
    publisher, reader = PushPublisher(redis), DeskReader(redis)
    await publisher.publish_card(make_card("over", expires_in=timedelta(seconds=-1)))
    await publisher.publish_card(make_card("open"))
    assert revs(await reader.read("agent:101")) == {"open": 1}
    assert set(await redis.hkeys(state_key("agent:101"))) == {
        *(b"epoch", b"offset", b"r:open", b"u:open", b"c:open")
    }


async def test_a_channel_that_nobody_reads_tidies_itself(redis: Redis) -> None:
    publisher, kept = PushPublisher(redis), state_key("agent:101")
    await publisher.publish_card(make_card("over", expires_in=timedelta(seconds=-1)))
    assert await redis.ttl(kept) > 0
    for n in range(TIDY_EVERY):
        await publisher.publish_card(make_card(f"open-{n}"))
    assert not await redis.hexists(kept, "r:over")
    assert await redis.hexists(kept, "r:open-0")
    assert await redis.ttl(kept) > 0


async def test_a_history_ends_by_itself_after_the_last_publication(redis: Redis) -> None:
    publisher, log = PushPublisher(redis), log_key("agent:101")
    await publisher.publish_card(make_card("first"))
    assert 0 < await redis.ttl(log) <= HISTORY_SECONDS
    await redis.expire(log, 10)
    await publisher.publish_card(make_card("second"))
    assert 10 < await redis.ttl(log) <= HISTORY_SECONDS
    await redis.delete(log)  # as when it has ended
    await publisher.publish_card(make_card("third"))
    assert 0 < await redis.ttl(log) <= HISTORY_SECONDS


async def test_what_could_not_be_published_can_be_tried_again(redis: Redis) -> None:
    publisher, log = PushPublisher(redis), log_key("agent:101")
    await redis.xadd(log, {"d": "not ours"}, "99-0")
    await redis.hset(state_key("agent:101"), "epoch", "e1")
    for _ in range(2):
        with pytest.raises(RedisError):
            await publisher.publish_card(make_card())
    await redis.delete(log)
    assert await publisher.publish_card(make_card()) == 1


async def test_recovery_is_all_or_nothing(redis: Redis, start: Position) -> None:
    publisher, reader = PushPublisher(redis), DeskReader(redis)
    for n in range(1, HISTORY_LENGTH + 6):
        await publisher.publish("agent:101", b"%d" % n)
    oldest = await reader.read("agent:101", Position(start.epoch, 5))
    assert oldest.recovered
    assert [p.offset for p in oldest.missed] == list(range(6, HISTORY_LENGTH + 6))
    assert oldest.missed[0].data == b"6"
    for known in (
        Position(start.epoch, 4),
        Position("another", 100),
        Position(start.epoch, HISTORY_LENGTH + 6),
        Position("", 0),
        None,
    ):
        state = await reader.read("agent:101", known)
        assert not state.recovered
        assert state.missed == ()
    nothing = await reader.read("agent:101", oldest.position)
    assert nothing.recovered
    assert nothing.missed == ()


async def test_history_by_offset_in_both_directions(redis: Redis, start: Position) -> None:
    publisher, reader = PushPublisher(redis), DeskReader(redis)
    for n in range(1, 6):
        await publisher.publish("agent:101", b"%d" % n)

    async def offsets(since: int | None, limit: int, reverse: bool = False) -> list[int]:
        position, publications = await reader.history("agent:101", since, limit, reverse=reverse)
        assert position == Position(start.epoch, 5)
        return [p.offset for p in publications]

    assert await offsets(None, 0) == []
    assert await offsets(None, 2) == [1, 2]
    assert await offsets(2, 10) == [3, 4, 5]
    assert await offsets(None, 2, reverse=True) == [5, 4]
    assert await offsets(3, 10, reverse=True) == [2, 1]


async def test_rebuilding_keeps_what_is_newer_and_begins_a_new_epoch(redis: Redis, start: Position) -> None:
    publisher, reader = PushPublisher(redis), DeskReader(redis)
    assert not await publisher.desk_is_fresh()
    assert not (await reader.read("agent:101")).complete
    await publisher.publish_card(make_card("newer", rev=9))
    await publisher.publish_card(make_card("over", rev=9, state="closed"))

    await publisher.rebuild_desk(
        [make_card("newer", rev=8), make_card("over", rev=8), make_card("lost")], ["102"]
    )

    state = await reader.read("agent:101", start)
    assert revs(state) == {"newer": 9, "lost": 1}
    assert state.position.epoch != start.epoch
    assert not state.recovered
    assert state.complete
    assert await publisher.desk_is_fresh()


def test_what_the_bus_says_is_read_as_it_was_written() -> None:
    assert Heard.parse(b'e1 7 1795298400000000 main 1\n{"a":\t1}') == Heard(
        "e1", 7, 1795298400.0, "main 1", b'{"a":\t1}'
    )


@pytest.mark.parametrize("payload", [b"no line break", b"e 1 1\n{}", b"e x 1 c\n{}"])
def test_what_is_not_of_the_bus_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"bus|not enough values|invalid literal"):
        Heard.parse(payload)


async def test_a_publication_on_two_lines_would_break_the_frame_and_is_refused(redis: Redis) -> None:
    with pytest.raises(ValueError, match="one line"):
        await PushPublisher(redis).publish("notices", b'{\n"a": 1}')


async def test_a_receipt_comes_back_as_it_was(redis: Redis) -> None:
    receipt = Receipt(
        what="card.shown", agent="101", client="c1", call_id="main-1", rev=3, received_at=NOW.replace(microsecond=0)
    )  # fmt: skip
    await add_receipt(redis, receipt)
    ((_, fields),) = await redis.xrange(RECEIPTS_STREAM)
    assert decode_receipt(fields) == receipt
    with pytest.raises(ValueError, match="field 'r'"):
        decode_receipt({})
