"""Calls that ended while no listener was there."""

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.calls.repository import StoredCall
from card_api.calls.unseen import ended_unseen
from shared.bus import CALLS_STREAM, encode_roster
from shared.contracts.call import CallEndReason, CallState, LegEndReason, PbxRoster, QueueStay
from tests.card_api.calls.test_consumer import a_card, all_stored, consuming, desk
from tests.card_api.conftest import Send
from tests.card_api.makers import at, call, leg, ringing


def roster(*there: str, version: int = 1000, pbx: str = "main") -> PbxRoster:
    return PbxRoster(pbx=pbx, version=version, at=at(100), open=list(there))


def open_call(call_id: str, version: int = 10) -> StoredCall:
    of = call(call_id, "ringing", (leg("101"),), queue=QueueStay(name="support", joined_at=at(0)))
    return StoredCall(of, version)


def test_only_what_the_pbx_does_not_have_ends() -> None:
    stored = [open_call("main-1.1"), open_call("main-2.1"), open_call("main-3.1", version=2000)]
    assert [u.call_id for u in ended_unseen(stored, roster("main-2.1"))] == ["main-1.1"]
    assert ended_unseen(stored, roster(pbx="branch")) == []


def test_what_is_not_known_is_said_to_be_unknown() -> None:
    [update] = ended_unseen([open_call("main-1.1")], roster())
    over = update.call
    assert (over.state, over.end_reason, over.gap, over.missed) == (
        CallState.ENDED,
        CallEndReason.UNKNOWN,
        True,
        False,
    )
    assert [leg.end_reason for leg in over.legs] == [LegEndReason.UNKNOWN]
    assert over.queue is not None
    assert over.queue.left_at == at(100)
    # A listener that saw the real end outranks this.
    assert update.version == 11


async def test_a_card_of_a_call_the_pbx_does_not_have_closes(
    engine: AsyncEngine, redis: Redis, redis_url: str, send: Send
) -> None:
    async with consuming(engine, redis_url):
        await send(ringing("main-1.1"), ringing("main-2.1", login="102"))
        await a_card(redis, "101", "ringing")
        await all_stored(engine, redis)
    # The listener and the card API were away; both come back, and one of the calls is still there.
    async with consuming(engine, redis_url):
        await redis.xadd(CALLS_STREAM, encode_roster(roster("main-2.1")))
        [closed] = await a_card(redis, "101", "closed")
        assert closed.close_reason == "no_answer"  # nobody answered, as far as anybody saw
        assert await desk(redis, "101") == []
        assert len(await desk(redis, "102")) == 1
        assert await all_stored(engine, redis) == {"main-1.1": (11, "ended"), "main-2.1": (10, "ringing")}
