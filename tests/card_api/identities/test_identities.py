"""What agents say from a card, end to end: REST → tables → every screen's desk in Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.app import card_api
from services.samples import SHARED_NUMBER
from shared.contracts.call import CallUpdate
from shared.contracts.card import Card
from shared.push import DeskReader, agent_channel
from shared.settings import Settings
from tests.card_api.conftest import SECRET, Client, Send, sign_in, until
from tests.card_api.makers import call, ended, leg, ringing, update
from tests.card_api.sources.crm import MAP, Crm, answer, crm

STRANGER = "+79261234567"
CALL = "main-1.1"
TALKING = leg("101", "answered", answered=3)


def answered(version: int = 11, number: str | None = STRANGER, **more: Any) -> CallUpdate:
    return update(call(state="answered", legs=(TALKING,), number=number, **more), version)


def passed_on(version: int = 12, number: str | None = STRANGER) -> CallUpdate:
    """101 has passed the call on to 102."""
    legs = (leg("101", "ended", "transferred", answered=3, ended=30), leg("102", "answered", answered=31))
    return update(call(state="answered", legs=legs, number=number), version)


async def desk(redis: Redis, login: str) -> list[Card]:
    state = await DeskReader(redis).read(agent_channel(login))
    return [Card.model_validate_json(card) for card in state.cards]


async def on_desk(redis: Redis, login: str, wanted: Callable[[Card], bool] = lambda _: True) -> Card:
    async def look() -> list[Card]:
        return [card for card in await desk(redis, login) if wanted(card)]

    return (await until(look))[0]


def known(card: Card) -> bool:
    return "customers" in {s.name for s in card.sources if s.status == "ok"}


class Phone:
    """An agent who talks, with a token."""

    def __init__(self, client: Client, token: str) -> None:
        self.client = client
        self.headers = {"Authorization": f"Bearer {token}"}

    async def post(
        self,
        what: str,
        body: dict[str, Any],
        call_id: str = CALL,
        if_match: str | None = None,
        **more: str,
    ) -> httpx.Response:
        headers = {**self.headers, **({"If-Match": if_match} if if_match else {}), **more}
        return await self.client.post(f"/api/v1/cards/{call_id}/{what}", json=body, headers=headers)

    async def acts(self, seen: Card, what: str, body: dict[str, Any]) -> httpx.Response:
        """As a tab that shows this card does."""
        tag = next(action.if_match for action in seen.actions if action.name == what)
        assert tag is not None
        return await self.post(what, body, if_match=tag)

    async def does(self, what: str, body: dict[str, Any], call_id: str = CALL) -> Card:
        got = await self.post(what, body, call_id)
        assert got.status_code == 200, got.text
        return Card.model_validate_json(got.content)

    async def card(self, **query: str) -> Card:
        got = await self.client.get(f"/api/v1/cards/{CALL}", params=query, headers=self.headers)
        assert got.status_code == 200, got.text
        return Card.model_validate_json(got.content)


@pytest.fixture
async def anna(client: Client) -> Phone:
    return Phone(client, await sign_in(client, "101"))


@pytest.fixture
async def dmitry(client: Client) -> Phone:
    return Phone(client, await sign_in(client, "102"))


async def one(engine: AsyncEngine, statement: str, **values: Any) -> Any:
    async with engine.connect() as connection:
        return (await connection.execute(text(statement), values)).one()


async def test_one_of_several_is_picked_and_the_next_agent_knows(
    anna: Phone, dmitry: Phone, redis: Redis, send: Send, engine: AsyncEngine
) -> None:
    await send(answered(number=SHARED_NUMBER))
    card = await on_desk(redis, "101", known)
    assert (card.match, len(card.candidates)) == ("several", 2)
    assert [a.name for a in card.actions] == ["identify", "person", "notes", "customer"]
    picked = card.candidates[1]
    shown = await anna.does("identify", {"customer_id": picked.customer_id})
    assert (shown.match, shown.caller.name, shown.caller.matched_by) == ("one", picked.name, "agent")
    assert "undo" in [a.name for a in shown.actions]
    assert (await on_desk(redis, "101", lambda c: c.match == "one")).caller.name == picked.name
    # The network lost the answer: the tab says it again, and it is written once.
    said = {"text": "Хочет вернуть роутер"}
    first, again = [await anna.post("notes", said, **{"Idempotency-Key": "n"}) for _ in range(2)]
    assert (first.status_code, again.status_code, again.headers["idempotent-replayed"]) == (200, 200, "true")
    assert [n.text for n in Card.model_validate_json(again.content).notes] == ["Хочет вернуть роутер"]
    await anna.does("person", {"name": "Анна", "role": "жена"})
    await send(passed_on(number=SHARED_NUMBER))
    second = await on_desk(redis, "102", known)
    assert (second.caller.name, second.caller.person, second.notes[0].text) == (
        picked.name,
        "Анна",
        "Хочет вернуть роутер",
    )
    assert ("Анна", "жена", "agent:101") in [(p.name, p.role, p.source) for p in second.caller.people]
    # What the second agent does, the first one's screen would show too; undone, all is as before.
    undone = await dmitry.does("identify", {})
    assert (undone.match, len(undone.candidates), undone.caller.person) == ("several", 2, None)
    assert [n.text for n in undone.notes] == ["Хочет вернуть роутер"]
    row = await one(engine, "select customer_id from notes where call_id = :c", c=CALL)
    assert row.customer_id is None
    actions = await one(
        engine,
        "select array_agg(action order by id) from audit_log where actor = '101' and action like 'call.%'",
    )
    assert actions[0] == ["call.identified", "call.person"]


async def test_a_stranger_becomes_a_customer_during_the_call(
    anna: Phone, redis: Redis, send: Send, engine: AsyncEngine
) -> None:
    await send(answered())
    await on_desk(redis, "101", known)
    await anna.does("notes", {"text": "Спрашивал о тарифах"})
    card = await anna.does("customer", {"name": "Ковалёв Олег", "tags": ["lead"], "purpose": "mobile"})
    assert (card.match, card.caller.name, card.caller.source) == ("one", "Ковалёв Олег", "callcard")
    assert [n.text for n in card.notes] == ["Спрашивал о тарифах"]
    again = await anna.does("customer", {"name": "Ковалёв Олег Ильич", "greet_as": "Олег Ильич"})
    assert (again.caller.customer_id, again.caller.name) == (card.caller.customer_id, "Ковалёв Олег Ильич")
    await on_desk(redis, "101", lambda c: c.caller.name == "Ковалёв Олег Ильич")
    await send(ringing("main-2.2", login="102", number=STRANGER))
    assert (await on_desk(redis, "102", lambda c: c.match == "one")).caller.name == "Ковалёв Олег Ильич"
    note = await one(engine, "select customer_id from notes where call_id = :c", c=CALL)
    assert str(note.customer_id) == card.caller.customer_id


async def test_whom_the_number_belongs_to_is_not_made_anew(anna: Phone, redis: Redis, send: Send) -> None:
    await send(answered(number="+79001112233"))
    await on_desk(redis, "101", known)
    refused = await anna.post("customer", {"name": "Другой"})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:callcard:error:conflict")


async def test_a_contract_says_who_it_is_and_a_wrong_one_is_refused(
    anna: Phone, redis: Redis, send: Send, engine: AsyncEngine
) -> None:
    number, name = await one(
        engine,
        "select a.number, c.name from accounts a join customers c on c.id = a.customer_id order by a.id limit 1",
    )
    await send(answered())
    await on_desk(redis, "101", known)
    wrong = await anna.post("identify", {"account": "no-such"})
    assert (wrong.status_code, wrong.json()["type"]) == (404, "urn:callcard:error:unknown-account")
    assert "No source knows a contract no-such" in wrong.json()["detail"]
    card = await anna.does("identify", {"account": number})
    assert card.caller.name == name
    assert "number" in [a.name for a in card.actions]
    with_number = await anna.does("number", {"purpose": "work"})
    assert with_number.caller.name == name
    await send(ringing("main-2.2", login="102", number=STRANGER))
    assert (await on_desk(redis, "102", known)).caller.name == name
    revision = await one(
        engine, "select revision from customers where id = cast(:i as uuid)", i=card.caller.customer_id
    )
    assert revision[0] == 2


async def test_of_two_tabs_the_first_wins_and_the_other_learns_what_holds(
    anna: Phone, client: Client, redis: Redis, send: Send, engine: AsyncEngine
) -> None:
    await send(answered(number=SHARED_NUMBER))
    seen = await on_desk(redis, "101", known)
    one_, other = seen.candidates
    second = Phone(client, await sign_in(client, "101"))
    both = await asyncio.gather(
        anna.acts(seen, "identify", {"customer_id": one_.customer_id}),
        second.acts(seen, "identify", {"customer_id": other.customer_id}),
    )
    won, lost = sorted(both, key=lambda answer: answer.status_code)
    assert (won.status_code, lost.status_code) == (200, 409)
    card, problem = Card.model_validate_json(won.content), lost.json()
    assert problem["type"] == "urn:callcard:error:identified-meanwhile"
    holds = problem["identity"]
    assert (holds["customer_id"], holds["by"]) == (card.caller.customer_id, "101")
    assert problem["detail"].startswith(f"You have said in another tab that it is {card.caller.name}.")
    # Both tabs are one desk; a retry of what won is no conflict, and changes nothing.
    again = await anna.acts(seen, "identify", {"customer_id": card.caller.customer_id})
    assert Card.model_validate_json(again.content).caller == card.caller
    shown = await on_desk(redis, "101", lambda c: c.match == "one")
    assert {a.if_match for a in shown.actions if a.name != "notes"} == {holds["if_match"]}
    # Nobody was added to the wrong customer; who has seen what holds now may correct it.
    for what, body in (("person", {"name": "Анна"}), ("number", {}), ("customer", {"name": "Новый"})):
        late = await second.post(what, body, if_match=seen.actions[0].if_match)
        assert late.status_code == 409, what
    loser = other if card.caller.customer_id == one_.customer_id else one_
    corrected = await second.acts(shown, "identify", {"customer_id": loser.customer_id})
    assert Card.model_validate_json(corrected.content).caller.name == loser.name
    written = await one(engine, "select count(*) from audit_log where action = 'call.identified'")
    assert written[0] == 2


async def test_of_two_agents_who_add_the_caller_one_does(
    anna: Phone, dmitry: Phone, redis: Redis, send: Send, engine: AsyncEngine
) -> None:
    await send(answered())
    await on_desk(redis, "101", known)
    await send(passed_on())
    seen = await on_desk(redis, "102", known)
    both = await asyncio.gather(
        anna.acts(seen, "customer", {"name": "Ковалёв Олег"}),
        dmitry.acts(seen, "customer", {"name": "Ковалев О."}),
    )
    assert sorted(answer.status_code for answer in both) == [200, 409]
    lost = next(answer.json() for answer in both if answer.status_code == 409)
    assert lost["detail"].startswith(("Анна Смирнова has said", "Дмитрий Кузнецов has said"))
    name = await one(engine, "select name, revision from customers where source = 'callcard'")
    assert tuple(name) == (lost["identity"]["name"], 1)


async def test_a_named_person_does_not_make_the_customer_another(
    anna: Phone, redis: Redis, send: Send
) -> None:
    await send(answered(number="+79001112233"))
    before = await on_desk(redis, "101", known)
    assert [a.name for a in before.actions] == ["identify", "person", "notes"]
    card = await anna.does("person", {"name": "Мария"})
    assert (card.caller.matched_by, card.caller.person) == ("number", "Мария")
    assert [a.name for a in card.actions] == ["identify", "person", "notes", "undo"]
    undone = await anna.does("identify", {})
    assert (undone.caller.person, undone.caller.name) == (None, before.caller.name)


async def test_a_call_of_others_or_of_yesterday_is_not_ones_own(
    client: Client, anna: Phone, dmitry: Phone, redis: Redis, send: Send
) -> None:
    await send(answered())
    await on_desk(redis, "101", known)
    assert (await dmitry.post("notes", {"text": "x"})).status_code == 404
    supervisor = Phone(client, await sign_in(client, "104"))
    card = await supervisor.does("notes", {"text": "от старшего"})
    assert (card.agent, card.notes[0].author, card.notes[0].login) == ("101", "Олег Соколов", "104")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    talked = leg("101", "ended", "hangup", answered=3, ended=60)
    old = call("main-9.9", "ended", (talked,), ended_at=yesterday, end_reason="completed", number=STRANGER)
    await send(update(old, 5))

    async def stored() -> bool:
        got = await client.get("/api/v1/cards/main-9.9", headers=anna.headers)
        return got.status_code == 200

    await until(stored)
    refused = await anna.post("notes", {"text": "x"}, "main-9.9")
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:callcard:error:forbidden")
    assert (await supervisor.does("notes", {"text": "y"}, "main-9.9")).notes[0].text == "y"


async def test_the_wrap_up_of_a_call_that_is_over(anna: Phone, redis: Redis, send: Send) -> None:
    await send(answered())
    await on_desk(redis, "101", known)
    await send(ended(number=STRANGER))

    async def gone() -> bool:
        return not await desk(redis, "101")

    await until(gone)
    card = await anna.does("customer", {"name": "Поздний"})
    assert (card.state, card.caller.name) == ("closed", "Поздний")
    assert await desk(redis, "101") == []


async def test_wrong_bodies_get_a_sentence(anna: Phone, redis: Redis, send: Send) -> None:
    await send(answered(number=None))
    await on_desk(redis, "101", known)
    for what, body, status in (
        ("identify", {"source": "crm"}, 422),
        ("identify", {"source": "crm", "external_id": "no-such"}, 404),
        ("identify", {"customer_id": "00000000-0000-0000-0000-000000000000"}, 404),
        ("identify", {"customer_id": "x"}, 422),
        ("notes", {"text": " "}, 422),
        ("number", {}, 409),
        ("person", {"name": "x" * 301}, 422),
        ("customer", {"name": "A", "phones": ["1"]}, 422),
    ):
        got = await anna.post(what, body)
        assert (what, got.status_code) == (what, status), got.text
        assert got.json()["detail"]
    # Hidden, but named: known all the same, and a person without a customer is greeted.
    assert (await anna.does("person", {"name": "Мария"})).caller.person == "Мария"


async def test_the_card_in_the_space_of_a_pop_up(anna: Phone, redis: Redis, send: Send) -> None:
    await send(answered(number="+79001112233"))
    await on_desk(redis, "101", known)
    got = await anna.client.get(f"/api/v1/cards/{CALL}", params={"form": "compact"}, headers=anna.headers)
    assert got.json()["counts"]["tickets"] == len((await anna.card()).tickets)


@asynccontextmanager
async def with_crm(
    system: Crm, database_url: str, redis_url: str, source: dict[str, Any] | None = None
) -> AsyncIterator[Client]:
    source = source or {"url": "?p={number}", "map": MAP}
    source = {**source, "url": f"http://127.0.0.1:{system.port}/{source['url']}"}
    settings = Settings.model_validate({"sources": {"crm": source}})
    running = card_api(settings, database_url=database_url, redis_url=redis_url, auth_secret=SECRET)
    async with (
        running as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http,
    ):
        yield http


async def test_whom_only_the_crm_knows_becomes_ours_when_somebody_says_so(
    database_url: str, redis_url: str, samples: None, redis: Redis, send: Send, engine: AsyncEngine
) -> None:
    async with crm() as system, with_crm(system, database_url, redis_url) as client:
        system.says = answer([{"name": "А", "id": "a-1", "phone": STRANGER}, {"name": "Б", "id": "b-2"}])
        await send(answered())
        card = await on_desk(redis, "101", lambda c: len(c.candidates) == 2)
        assert {c.customer_id for c in card.candidates} == {None}
        anna = Phone(client, await sign_in(client, "101"))
        picked = await anna.does("identify", {"source": "crm", "external_id": "b-2"})
        assert (picked.caller.name, picked.caller.external_id, picked.match) == ("Б", "b-2", "one")
        assert picked.caller.customer_id is not None
        await anna.does("notes", {"text": "важное"})
        assert (await on_desk(redis, "101", lambda c: bool(c.notes))).caller.name == "Б"
    row = await one(engine, "select id, name from customers where source = 'crm' and external_id = 'b-2'")
    assert (str(row.id), row.name) == (picked.caller.customer_id, "Б")
    phone = await one(engine, "select e164, source from customer_phones where customer_id = :id", id=row.id)
    assert tuple(phone) == (STRANGER, "crm")


async def test_a_contract_that_only_the_crm_knows_makes_its_customer_ours(
    database_url: str, redis_url: str, samples: None, redis: Redis, send: Send, engine: AsyncEngine
) -> None:
    where = {
        "url": "?contract={account}",
        "map": {**MAP, "accounts[]": "$.contracts[*]", "accounts[].number": "$"},
    }
    async with crm() as system, with_crm(system, database_url, redis_url, where) as client:
        system.says = answer({"name": "ООО Заря", "id": "z-1", "kind": "company", "contracts": ["Z-77"]})
        await send(answered())
        await on_desk(redis, "101", known)
        assert system.requests == []  # nobody has told a contract yet
        anna = Phone(client, await sign_in(client, "101"))
        card = await anna.does("identify", {"account": "Z-77"})
        assert (card.caller.name, [a.number for a in card.caller.accounts]) == ("ООО Заря", ["Z-77"])
        # Their number is not ours to say: they may have called from a neighbour's.
        assert "number" in [a.name for a in card.actions]
    counted = await one(engine, "select count(*) from customer_phones where e164 = :n", n=STRANGER)
    assert counted[0] == 0
