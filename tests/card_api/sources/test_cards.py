"""Cards while other systems are well, slow, late, lying or dead: the first card waits for none of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import orjson
import pytest
from redis.asyncio import Redis
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.cards.again import Again
from card_api.cards.service import CardService
from card_api.customers.models import notes
from card_api.lookup.repository import LookupRepository
from card_api.lookup.schemas import Question
from card_api.lookup.service import LookupService
from card_api.metrics import Metrics
from card_api.sources.gather import Gatherer
from card_api.sources.repository import KeyRepository
from card_api.sources.watch import WatchedSource
from services.embedded import EmbeddedValkey
from shared.bus import connect_redis
from shared.contracts.card import Card
from shared.db import create_engine
from shared.push import DeskReader, PushPublisher, agent_channel
from tests.card_api.conftest import until
from tests.card_api.makers import DIRECTORY, NOON, SITE, call, ended, leg, ringing, update
from tests.card_api.sources.crm import Crm, answer, crm

LIVE = {"name": "Иванов Пётр (CRM)", "id": "c-1", "manager": "Ольга", "phone": "8 900 111-22-33"}


@pytest.fixture
async def system() -> AsyncIterator[Crm]:
    async with crm() as running:
        running.says = answer(LIVE)
        yield running


@asynccontextmanager
async def service(engine: AsyncEngine, redis: Redis, *sources: WatchedSource) -> AsyncIterator[CardService]:
    """Cards as the card API makes them."""
    metrics = Metrics()
    lookups = LookupRepository(engine)
    gatherer = Gatherer(LookupService(lookups, metrics), sources, KeyRepository(engine))
    cards = CardService(PushPublisher(redis), gatherer, lambda: DIRECTORY, SITE, metrics, lambda: NOON)
    try:
        yield cards
    finally:
        await cards.close()
        await gatherer.close()
        await lookups.close()


async def published(redis: Redis, login: str = "101") -> list[Card]:
    _, entries = await DeskReader(redis).history(agent_channel(login), None, 100)
    return [Card.model_validate(orjson.loads(entry.data)["card"]) for entry in entries]


async def a_card(redis: Redis, wanted: Callable[[Card], bool]) -> Card:
    async def look() -> list[Card]:
        return [card for card in await published(redis) if wanted(card)]

    return (await until(look))[0]


def said(card: Card) -> dict[str, str]:
    return {source.name: source.status.value for source in card.sources}


async def test_a_call_that_rings_before_the_crm_answered_shows_a_card_at_once_and_is_patched(
    engine: AsyncEngine, redis: Redis, samples: None, system: Crm
) -> None:
    go = asyncio.Event()

    async def wait() -> None:
        await go.wait()

    system.answering = wait
    async with service(engine, redis, system.watched(deadline=10)) as cards:
        cards.show([ringing()])
        first = await a_card(redis, lambda c: said(c) == {"customers": "ok"})
        assert first.caller.name == "Иванов Пётр Сергеевич"
        await system.asked.wait()
        go.set()
        patched = await a_card(redis, lambda c: "crm" in said(c))
    assert said(patched) == {"customers": "ok", "crm": "ok"}
    assert patched.rev > first.rev
    # A customer of the CRM that our tables do not have under its key is a second candidate, not a second name.
    assert [c.name for c in patched.candidates] == ["Иванов Пётр Сергеевич", "Иванов Пётр (CRM)"]


async def test_the_crms_word_of_our_customer_is_put_on_the_card_with_its_origin(
    engine: AsyncEngine, redis: Redis, samples: None, system: Crm
) -> None:
    async with service(engine, redis) as cards:
        cards.show([ringing("main-0.0", version=1)])
        ours = (await a_card(redis, lambda c: c.caller.source is not None)).caller
    assert ours.source is not None
    system.says = answer({**LIVE, "id": ours.external_id})
    async with service(engine, redis, system.watched(name=ours.source)) as cards:
        cards.show([ringing(version=2)])
        card = await a_card(redis, lambda c: c.caller.manager == "Ольга" and bool(c.tickets))
    assert (card.caller.customer_id, card.caller.name) == (ours.customer_id, "Иванов Пётр (CRM)")
    assert "Иванов Пётр Сергеевич" in [n.name for n in card.caller.names]
    # The tickets are of our own tables.


async def test_a_late_answer_patches_the_card_that_said_late(
    engine: AsyncEngine, redis: Redis, samples: None, system: Crm
) -> None:
    go = asyncio.Event()

    async def wait() -> None:
        await go.wait()

    system.answering = wait
    async with service(engine, redis, system.watched(deadline=0.05)) as cards:
        cards.show([ringing()])
        late = await a_card(redis, lambda c: said(c) == {"customers": "ok", "crm": "late"})
        assert (late.candidates, late.caller.name) == ([], "Иванов Пётр Сергеевич")
        go.set()
        patched = await a_card(redis, lambda c: len(c.candidates) == 2)
        assert said(patched) == said(late)


async def test_a_dead_and_a_lying_crm_are_said_to_have_failed_and_cost_nothing(
    engine: AsyncEngine, redis: Redis, samples: None, system: Crm
) -> None:
    async with crm() as gone:
        dead = gone.watched(name="dead")
    system.says = answer({**LIVE, "url": "javascript:alert(1)"})
    async with service(engine, redis, dead, system.watched(name="lying")) as cards:
        cards.show([ringing()])
        card = await a_card(
            redis, lambda c: said(c) == {"customers": "ok", "dead": "failed", "lying": "failed"}
        )
    assert (card.match, card.caller.name) == ("one", "Иванов Пётр Сергеевич")


async def test_without_our_own_tables_the_crm_still_says_who_it_is(redis: Redis, system: Crm) -> None:
    away = create_engine("postgresql://nobody@127.0.0.1:1/nothing")
    async with service(away, redis, system.watched()) as cards:
        cards.show([ringing()])
        card = await a_card(redis, lambda c: len(c.sources) == 2 and said(c)["customers"] == "failed")
    assert (card.caller.name, card.caller.customer_id) == ("Иванов Пётр (CRM)", None)
    await away.dispose()


async def test_a_contract_typed_in_the_menu_asks_again_at_once(
    engine: AsyncEngine, redis: Redis, samples: None, system: Crm
) -> None:
    url = f"http://127.0.0.1:{system.port}/?phone={{number}}&contract={{account}}"
    async with service(engine, redis, system.watched(url=url)) as cards:
        cards.show([ringing(version=1)])
        before = await a_card(redis, lambda c: said(c).get("crm") == "ok")
        cards.show([ringing(version=2, variables={"Contract": "77-1"})])

        async def both() -> bool:
            return len(system.requests) == 2

        await until(both)
        await a_card(redis, lambda c: c.rev > before.rev and said(c).get("crm") == "ok")
    assert b"contract=77-1 " in system.requests[1]
    assert b"contract= " in system.requests[0]


async def test_a_hidden_caller_is_told_to_nobody(
    engine: AsyncEngine, redis: Redis, samples: None, system: Crm
) -> None:
    async with service(engine, redis, system.watched()) as cards:
        cards.show([ringing(number=None)])
        await a_card(redis, lambda c: c.match == "withheld" and said(c) == {"customers": "ok"})
    assert system.requests == []


async def write_note(engine: AsyncEngine, text: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(
            insert(notes).values(call_id="main-1.1", text=text, author_kind="agent", author="101")
        )


async def test_what_is_written_during_the_call_is_shown_however_often(
    engine: AsyncEngine, redis: Redis, samples: None
) -> None:
    """More changes than a version has revs."""
    async with service(engine, redis) as cards:
        cards.show([ringing()])
        await a_card(redis, lambda c: said(c).get("customers") == "ok")
        for number in range(20):
            await write_note(engine, f"note {number}")
            await cards.look_again("main-1.1").wait()
        card = await a_card(redis, lambda c: len(c.notes) == 20)
        assert card.notes[0].text == "note 19"
        # The next event of the call outranks them all.
        cards.show([update(call(state="answered", legs=(leg("101", "answered", answered=3),)), 11)])
        answered = await a_card(redis, lambda c: c.state == "answered")
    assert answered.rev > card.rev
    assert len(answered.notes) == 20


async def test_a_process_that_took_over_is_heard_although_the_one_before_had_said_more(
    engine: AsyncEngine, redis: Redis, samples: None
) -> None:
    async with service(engine, redis) as before:
        before.show([ringing()])
        await a_card(redis, lambda c: said(c).get("customers") == "ok")
        for number in range(5):
            await write_note(engine, f"note {number}")
            await before.look_again("main-1.1").wait()
        await a_card(redis, lambda c: len(c.notes) == 5)
    async with service(engine, redis) as after:
        after.show([ringing()])

        async def known() -> bool:
            held = after.of("main-1.1")
            return held is not None and held[2].looked_up_at is not None

        await until(known)
        await write_note(engine, "after the restart")
        await after.look_again("main-1.1").wait()
        await a_card(redis, lambda c: len(c.notes) == 6)


async def test_other_processes_look_again_also_when_redis_was_restarted(
    engine: AsyncEngine, redis: Redis, valkey: EmbeddedValkey, samples: None
) -> None:
    other = connect_redis(valkey.url)
    async with service(engine, redis) as holds, service(engine, other) as writes:
        hears, tells = Again(redis, holds), Again(other, writes)
        running = asyncio.create_task(hears.run())
        holds.show([ringing()])
        await a_card(redis, lambda c: said(c).get("customers") == "ok")

        async def subscribed() -> bool:
            return (await redis.pubsub_numsub("callcard:again"))[0][1] == 1

        await until(subscribed)
        await write_note(engine, "one")
        await tells.tell("main-1.1")
        await a_card(redis, lambda c: len(c.notes) == 1)
        await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        await write_note(engine, "two")  # told to nobody
        await a_card(redis, lambda c: len(c.notes) == 2)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    await other.aclose()


async def test_an_ended_call_takes_what_is_written_after_it(
    engine: AsyncEngine, redis: Redis, samples: None
) -> None:
    async with service(engine, redis) as cards:
        cards.show([ringing()])
        await a_card(redis, lambda c: said(c).get("customers") == "ok")
        cards.show([ended()])
        await a_card(redis, lambda c: c.state == "closed")
        await write_note(engine, "wrap-up")
        await cards.look_again("main-1.1").wait()
        held = cards.of("main-1.1")
        assert held is not None
        assert [note.text for note in held[2].found.notes] == ["wrap-up"]
        assert [c.state for c in await published(redis)][-1] == "closed"


async def test_an_erased_person_is_forgotten_by_every_process(
    engine: AsyncEngine, redis: Redis, samples: None, system: Crm
) -> None:
    kept = system.watched(cache=1000)
    async with service(engine, redis, kept) as holds, service(engine, redis) as erases:
        hears, tells = Again(redis, holds), Again(redis, erases)
        running = asyncio.create_task(hears.run())

        async def subscribed() -> bool:
            return (await redis.pubsub_numsub("callcard:again"))[0][1] == 1

        await until(subscribed)
        question = Question("+79001112233")
        assert await kept.find(question) == await kept.find(question)
        assert len(system.requests) == 1
        holds.show([ringing()])
        await a_card(redis, lambda c: "crm" in said(c))
        holds.show([ended()])
        await a_card(redis, lambda c: c.state == "closed")
        assert holds.of("main-1.1") is not None
        await tells.forget_callers()

        async def forgotten() -> bool:
            return holds.of("main-1.1") is None

        await until(forgotten)
        system.says = answer({"name": "", "id": "gone"})
        assert await kept.find(question) == []
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_an_answer_that_was_on_its_way_when_somebody_was_erased_is_not_kept(system: Crm) -> None:
    kept, go = system.watched(cache=1000), asyncio.Event()

    async def wait() -> None:
        await go.wait()

    system.answering = wait
    question = Question("+79001112233")
    asked = asyncio.create_task(kept.find(question))
    await system.asked.wait()
    kept.forget()
    go.set()
    assert [c.name for c in await asked] == [LIVE["name"]]
    await kept.find(question)
    assert len(system.requests) == 2
    await kept.close()
