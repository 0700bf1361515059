"""From the stream to the record and to the desks, with everything that may go wrong in between."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import orjson
from redis.asyncio import Redis
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.agents.directory import Directory
from card_api.calls.consumer import DEAD_STREAM, CallConsumer
from card_api.calls.models import calls
from card_api.calls.repository import CallRepository
from card_api.cards.service import CardService
from card_api.lookup.repository import LookupRepository
from card_api.lookup.service import LookupService
from card_api.metrics import Metrics
from card_api.sources.gather import Gatherer
from services.embedded import EmbeddedPostgres, EmbeddedValkey
from shared.bus import CALLS_GROUP, CALLS_STREAM, connect_redis, encode_update
from shared.contracts.call import Caller, CallUpdate, Presentation
from shared.contracts.card import Card
from shared.db import create_engine
from shared.push import DeskReader, PushPublisher, agent_channel
from tests.card_api.conftest import Send, until
from tests.card_api.makers import CUSTOMER, DIRECTORY, NOON, SITE, call, ended, leg, ringing, update


@asynccontextmanager
async def consuming(
    engine: AsyncEngine, url: str, directory: Directory = DIRECTORY
) -> AsyncIterator[CardService]:
    """A consumer as the card API runs it, with a Redis client of its own."""
    redis = connect_redis(url)
    metrics = Metrics()
    gatherer = Gatherer(LookupService(LookupRepository(engine), metrics))
    cards = CardService(PushPublisher(redis), gatherer, lambda: directory, SITE, metrics, lambda: NOON)
    consumer = CallConsumer(
        redis, CallRepository(engine), cards, lambda: directory, SITE.country_of, metrics, claim_idle_ms=200
    )
    running = asyncio.create_task(consumer.run())
    try:
        yield cards
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await cards.close()
        await gatherer.close()
        await redis.aclose()


async def stored(engine: AsyncEngine) -> dict[str, tuple[int, str]]:
    async with engine.connect() as connection:
        ours = select(calls.c.call_id, calls.c.version, calls.c.state).where(calls.c.pbx == "main")
        rows = await connection.execute(ours)
        return {row.call_id: (row.version, row.state) for row in rows}


async def all_stored(engine: AsyncEngine, redis: Redis) -> dict[str, tuple[int, str]]:
    """The table once nothing waits in the stream any more."""

    async def empty() -> bool:
        return not await redis.xlen(CALLS_STREAM)

    await until(empty)
    return await stored(engine)


async def published(redis: Redis, login: str) -> list[Card]:
    _, entries = await DeskReader(redis).history(agent_channel(login), None, 100)
    return [Card.model_validate(orjson.loads(entry.data)["card"]) for entry in entries]


async def desk(redis: Redis, login: str) -> list[Card]:
    state = await DeskReader(redis).read(agent_channel(login))
    return [Card.model_validate_json(card) for card in state.cards]


async def a_card(redis: Redis, login: str, state: str, at_least: int = 1) -> list[Card]:
    async def look() -> list[Card]:
        found = [c for c in await published(redis, login) if c.state == state]
        return found if len(found) >= at_least else []

    return await until(look)


async def a_known_caller(redis: Redis, login: str) -> Card:
    """The ringing card with the look-up's answer; on a busy machine the first one may come without it."""

    async def look() -> list[Card]:
        found = await published(redis, login)
        return [c for c in found if c.state == "ringing" and [s.status for s in c.sources] == ["ok"]]

    return (await until(look))[0]


async def test_a_phone_that_rings_is_shown_before_what_was_said_earlier(
    engine: AsyncEngine, redis: Redis, redis_url: str, samples: None, send: Send
) -> None:
    """One packet: nobody waits for an answer or an end as they wait for a ring."""
    talking = leg("101", "answered", answered=3)
    # Without a number, so that neither waits for its look-up.
    answered = update(call("main-1.1", "answered", (talking,), number=None), 1)
    await send(answered, ringing("main-2.2", version=2, number=None))
    async with consuming(engine, redis_url):
        await a_card(redis, "101", "answered")
        # A look-up that takes longer than the grace publishes a card once more.
        order = dict.fromkeys(card.call_id for card in await published(redis, "101"))
        assert list(order) == ["main-2.2", "main-1.1"]


async def test_a_caller_whom_the_dialplan_hides_late_is_hidden_on_the_card_too(
    engine: AsyncEngine, redis: Redis, redis_url: str, samples: None, send: Send
) -> None:
    async with consuming(engine, redis_url):
        await send(ringing(version=1))
        assert (await a_known_caller(redis, "101")).caller.name == "Иванов Пётр Сергеевич"
        hidden = Caller(number=None, presentation=Presentation.WITHHELD, endpoint="PJSIP/trunk")
        await send(
            update(call(state="answered", legs=(leg("101", "answered", answered=3),), caller=hidden), 2)
        )
        # What he has said is looked up all the same, and no card waits for that: the answer may have come with another.
        cards = await a_card(redis, "101", "answered")
        assert [card for card in cards if "Иванов" in card.to_json().decode()] == []


async def test_a_call_rings_is_answered_and_ends(
    engine: AsyncEngine, redis: Redis, redis_url: str, samples: None, send: Send
) -> None:
    async with consuming(engine, redis_url):
        await send(update(call(state="queued"), 1), ringing(version=2))
        card = await a_known_caller(redis, "101")
        assert card.caller.name == "Иванов Пётр Сергеевич"
        await send(update(call(state="answered", legs=(leg("101", "answered", answered=3),)), 3))
        await a_card(redis, "101", "answered")
        assert [c.state for c in await desk(redis, "101")] == ["answered"]
        await send(ended(version=4))
        [closed] = await a_card(redis, "101", "closed")
        assert closed.close_reason == "ended"
        assert await desk(redis, "101") == []
        assert (await all_stored(engine, redis))["main-1.1"] == (4, "ended")
    assert await published(redis, "102") == []
    async with engine.connect() as connection:
        row = (await connection.execute(select(calls).where(calls.c.call_id == "main-1.1"))).one()
    assert (row.customer_number, row.agents, row.talk_seconds) == (CUSTOMER, ["101"], 57)
    assert row.document["legs"][0]["endpoint"] == "PJSIP/agent101"


async def test_duplicates_and_older_versions_change_nothing(
    engine: AsyncEngine, redis: Redis, redis_url: str, send: Send
) -> None:
    async with consuming(engine, redis_url):
        await send(ended(version=20))
        await a_card(redis, "101", "closed")
        await all_stored(engine, redis)
        # One by one: several in one batch would be sorted out before they reach the table.
        for late in (ringing(version=10), ended(version=20), ringing(version=19)):
            await send(late)
            assert await all_stored(engine, redis) == {"main-1.1": (20, "ended")}
    assert [c.state for c in await published(redis, "101")] == ["closed"]
    assert await desk(redis, "101") == []


async def test_a_card_is_published_only_when_something_changes_on_it(
    engine: AsyncEngine, redis: Redis, redis_url: str, send: Send
) -> None:
    async with consuming(engine, redis_url):
        await send(ringing(version=1))
        await a_known_caller(redis, "101")
        before = len(await published(redis, "101"))
        await send(*[ringing(version=v) for v in range(2, 20)])
        await all_stored(engine, redis)
    assert len(await published(redis, "101")) == before


async def test_an_entry_nobody_can_read_is_set_aside_and_stalls_nothing(
    engine: AsyncEngine, redis: Redis, redis_url: str, send: Send
) -> None:
    await redis.xadd(CALLS_STREAM, {"u": b"{not json"})
    await redis.xadd(CALLS_STREAM, {"other": b"field"})
    await redis.xadd(
        CALLS_STREAM, {"u": ended().to_json().replace(b'"call_id":"main-1.1"', b'"call_id":"x"', 1)}
    )
    await send(ended("main-2.2"))
    async with consuming(engine, redis_url):
        assert await all_stored(engine, redis) == {"main-2.2": (20, "ended")}
    dead = await redis.xrange(DEAD_STREAM)
    assert [fields.get(b"u", b"")[:9] for _, fields in dead] == [b"{not json", b"", b'{"pbx":"m']
    assert all(b"unreadable" in fields[b"reason"] for _, fields in dead)


async def test_a_value_postgresql_refuses_does_not_keep_the_others_waiting(
    engine: AsyncEngine, redis: Redis, redis_url: str, send: Send
) -> None:
    # An index has room for 2.7 kB of key; random, because PostgreSQL compresses.
    endless = "main-" + "".join(chr(0x4E00 + (n * 7919) % 20000) for n in range(4000))
    await send(ended("main-1.1"), ended(endless), ended("main-3.3"))
    async with consuming(engine, redis_url):
        assert set(await all_stored(engine, redis)) == {"main-1.1", "main-3.3"}
    # On a busy machine it may be read again before it is set aside, and is then set aside twice.
    dead = {fields[b"id"]: fields[b"reason"] for _, fields in await redis.xrange(DEAD_STREAM)}
    (reason,) = dead.values()
    assert b"refused" in reason


async def test_hostile_names_and_numbers_become_a_card_and_a_row(
    engine: AsyncEngine, redis: Redis, redis_url: str, send: Send
) -> None:
    hostile = {
        "main-1": "'; drop table calls; --",
        "main-2": "NUL\0here",
        "main-3": "\\u0000",
        "main-4": "📞🐙",
        "main-5": "\u202eright to left",
        "main-6": "x" * 10_000,
        "main-7": "\ufeff\u2028",
    }
    async with consuming(engine, redis_url):
        for call_id, name in hostile.items():
            await send(ringing(call_id, caller=Caller(number=name, name=name, endpoint="PJSIP/trunk")))
        cards = await a_card(redis, "101", "ringing", at_least=len(hostile))
        # Shown without signs that cannot be seen or turn its order round, and no longer than a number may be.
        shown = {
            **hostile,
            "main-2": "NUL here",
            "main-5": "right to left",
            "main-6": "x" * 64,
            "main-7": None,
        }
        assert {c.call_id: c.call.number for c in cards} == shown
        # A number of signs that cannot be seen is none at all.
        matches = {c.call_id: c.match for c in cards}
        assert matches == {**dict.fromkeys(hostile, "none"), "main-7": "withheld"}
        assert await all_stored(engine, redis) == dict.fromkeys(hostile, (10, "ringing"))
    async with engine.connect() as connection:
        rows = (await connection.execute(select(calls.c.call_id, calls.c.caller_name))).all()
    assert dict(map(tuple, rows)) == {i: name.replace("\0", "") for i, name in hostile.items()}
    assert await redis.xlen(DEAD_STREAM) == 0


async def test_what_a_dead_consumer_had_taken_is_stored_by_the_next(
    engine: AsyncEngine, redis: Redis, redis_url: str, send: Send
) -> None:
    await redis.xgroup_create(CALLS_STREAM, CALLS_GROUP, id="0", mkstream=True)
    await send(ended("main-1.1"), ringing("main-2.2"), ended("main-2.2"))
    await redis.xreadgroup(CALLS_GROUP, "killed", {CALLS_STREAM: ">"}, count=10)
    async with consuming(engine, redis_url):
        assert await all_stored(engine, redis) == {"main-1.1": (20, "ended"), "main-2.2": (20, "ended")}
    assert await desk(redis, "101") == []


async def test_a_ring_that_is_over_never_pops_up_again_after_a_restart(
    engine: AsyncEngine, redis: Redis, redis_url: str, send: Send
) -> None:
    async with consuming(engine, redis_url):
        await send(ended("main-1.1"))
        await all_stored(engine, redis)
    await redis.flushall()
    await redis.xgroup_create(CALLS_STREAM, CALLS_GROUP, id="0", mkstream=True)
    await send(ringing("main-1.1"))
    await redis.xreadgroup(CALLS_GROUP, "killed", {CALLS_STREAM: ">"}, count=10)
    async with consuming(engine, redis_url):
        await all_stored(engine, redis)
    assert await published(redis, "101") == []


async def test_a_new_process_puts_open_calls_back_on_the_desks(
    engine: AsyncEngine, redis: Redis, redis_url: str, samples: None, send: Send
) -> None:
    async with consuming(engine, redis_url):
        await send(ringing("main-1.1"), ringing("main-2.2", login="102"), ended("main-2.2", login="102"))
        await all_stored(engine, redis)
    await redis.flushall()

    async def back() -> list[Card]:
        return [c for c in await desk(redis, "101") if c.caller.name]

    async with consuming(engine, redis_url):
        [card] = await until(back)
        assert (card.call_id, card.state, card.caller.name) == (
            "main-1.1",
            "ringing",
            "Иванов Пётр Сергеевич",
        )
        assert await desk(redis, "102") == []
        assert await PushPublisher(redis).desk_is_fresh()


async def test_redis_comes_back_empty(
    engine: AsyncEngine, redis: Redis, redis_url: str, samples: None, send: Send
) -> None:
    async with consuming(engine, redis_url):
        await send(ringing("main-1.1"))
        await a_card(redis, "101", "ringing")
        await redis.flushall()

        async def back() -> list[Card]:
            return await desk(redis, "101")

        [card] = await until(back)
        assert card.call_id == "main-1.1"
        await send(ended("main-1.1"))
        await a_card(redis, "101", "closed")
        assert await all_stored(engine, redis) == {**await stored(engine), "main-1.1": (20, "ended")}


async def test_redis_is_killed_in_the_middle(
    engine: AsyncEngine, redis: Redis, valkey: EmbeddedValkey, send: Send, starter: ThreadPoolExecutor
) -> None:
    async with consuming(engine, valkey.url):
        await send(ringing("main-1.1"))
        await a_card(redis, "101", "ringing")
        valkey.kill()
        await asyncio.get_running_loop().run_in_executor(starter, valkey.start)

        async def back() -> list[Card]:
            return await desk(redis, "101")

        assert [c.call_id for c in await until(back)] == ["main-1.1"]
        await send(ended("main-1.1"), ended("main-2.2"))
        assert await all_stored(engine, redis) == {"main-1.1": (20, "ended"), "main-2.2": (20, "ended")}


async def test_postgresql_is_killed_in_the_middle(
    engine: AsyncEngine,
    database_url: str,
    postgres: EmbeddedPostgres,
    redis: Redis,
    redis_url: str,
    samples: None,
    send: Send,
    starter: ThreadPoolExecutor,
) -> None:
    async with consuming(engine, redis_url):
        await send(ringing("main-1.1"))
        await a_known_caller(redis, "101")
        postgres.kill()
        # Cards go on: of a caller already looked up, and of one who cannot be.
        await send(update(call("main-1.1", "answered", (leg("101", "answered", answered=3),)), 11))
        [talking] = await a_card(redis, "101", "answered")
        assert talking.caller.name == "Иванов Пётр Сергеевич"
        await send(ringing("main-2.2", login="102"))

        async def failed() -> list[Card]:
            return [c for c in await published(redis, "102") if c.sources and c.sources[0].status == "failed"]

        unknown = (await until(failed))[0]
        assert unknown.call.number == CUSTOMER
        assert unknown.match == "none"
        await send(*[ended(f"main-9.{n}", login="104") for n in range(50)], ended("main-1.1"))
        await a_card(redis, "104", "closed", at_least=50)
        assert await redis.xlen(CALLS_STREAM) >= 51, "nothing is acknowledged before it is stored"
        await asyncio.get_running_loop().run_in_executor(starter, postgres.start)
        after = await all_stored(engine, redis)
    assert sum(1 for call_id in after if call_id.startswith("main-9.")) == 50
    assert after["main-1.1"] == (20, "ended")
    async with engine.connect() as connection:
        assert await connection.scalar(text("select count(*) from calls where call_id like 'main-%'")) == 52


async def test_a_late_look_up_patches_the_card(
    engine: AsyncEngine, database_url: str, redis: Redis, redis_url: str, samples: None, send: Send
) -> None:
    other = create_engine(database_url)
    async with consuming(engine, redis_url):
        async with other.begin() as connection:
            await connection.execute(text("lock table customers in access exclusive mode"))
            await send(ringing())
            [early] = await a_card(redis, "101", "ringing")
            assert early.sources[0].status == "late"
            assert early.caller.name is None
        patched = await a_known_caller(redis, "101")
    assert patched.caller.name == "Иванов Пётр Сергеевич"
    assert patched.rev > early.rev
    await other.dispose()


async def test_two_consumers_share_the_work(
    engine: AsyncEngine, redis: Redis, redis_url: str, send: Send
) -> None:
    many: list[CallUpdate] = []
    for n in range(100):
        many += [ringing(f"main-{n}", 1), ringing(f"main-{n}", 2), ended(f"main-{n}", 3)]
    async with consuming(engine, redis_url), consuming(engine, redis_url):
        await send(*many)
        after = await all_stored(engine, redis)
    assert after == {f"main-{n}": (3, "ended") for n in range(100)}


async def test_stopping_stores_what_was_read(
    engine: AsyncEngine, redis: Redis, redis_url: str, send: Send
) -> None:
    async with consuming(engine, redis_url):
        await send(*[ended(f"main-{n}") for n in range(20)])
        await a_card(redis, "101", "closed", at_least=20)
    assert len(await stored(engine)) == 20
    assert await redis.xlen(CALLS_STREAM) == 0


async def test_what_a_newer_listener_says_is_kept(engine: AsyncEngine, redis: Redis, redis_url: str) -> None:
    document = orjson.loads(encode_update(ended())[b"u"])
    document["call"]["mood"] = "cheerful"
    await redis.xadd(CALLS_STREAM, {"u": orjson.dumps(document)})
    async with consuming(engine, redis_url):
        await all_stored(engine, redis)
    async with engine.connect() as connection:
        assert (await connection.scalar(select(calls.c.document)))["mood"] == "cheerful"
