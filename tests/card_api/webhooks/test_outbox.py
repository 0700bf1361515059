"""An event and its delivery happen together or not at all, and cost nothing where nobody listens."""

import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.calls.repository import CallRepository
from card_api.calls.row import call_row
from card_api.events.outbox import Event, EventType
from card_api.webhooks import jobs
from card_api.webhooks.outbox import HookOutbox
from shared.contracts.call import CallUpdate
from tests.card_api.conftest import until
from tests.card_api.makers import DIRECTORY, at, call, ended, ringing, update
from tests.card_api.webhooks.conftest import Hooks, event

URL = "http://127.0.0.1:1/"


def row_of(said: CallUpdate):  # type: ignore[no-untyped-def]
    return call_row(said, said.to_json(), DIRECTORY, lambda _: "RU")


async def test_an_event_makes_a_delivery_and_a_job_for_each_hook_that_wants_it(hooks: Hooks) -> None:
    await hooks.add(URL)
    await hooks.add(URL, ["call.started"])
    await hooks.add(URL, ["customer.created"])
    assert len(await hooks.say(event())) == 2
    assert len(await hooks.say(event(EventType.CALL_ENDED))) == 1
    assert await hooks.jobs() == 3


async def test_the_same_event_goes_out_once(hooks: Hooks) -> None:
    await hooks.add(URL)
    said = event()
    assert len(await hooks.say(said, said)) == 1
    assert await hooks.say(said) == []
    assert await hooks.jobs() == 1


async def test_what_is_rolled_back_was_never_said(hooks: Hooks) -> None:
    await hooks.add(URL)
    async with hooks.engine.connect() as connection:
        await hooks.outbox.add(connection, [event()])
        await connection.rollback()
    assert await hooks.rows() == []
    assert await hooks.jobs() == 0


async def test_a_job_outside_a_transaction_is_refused(hooks: Hooks) -> None:
    webhook_id = await hooks.add(URL)
    autocommit = hooks.engine.execution_options(isolation_level="AUTOCOMMIT")
    async with autocommit.connect() as connection:
        with pytest.raises(RuntimeError, match="transaction"):
            await hooks.outbox.add(connection, [event()])
    async with hooks.engine.connect() as connection:
        with pytest.raises(RuntimeError, match="transaction"):
            await jobs.enqueue(connection, [(1, webhook_id)])
    assert await hooks.jobs() == 0


async def test_text_that_postgresql_has_not_is_left_out(hooks: Hooks) -> None:
    await hooks.add(URL)
    (delivery,) = await hooks.say(
        event(name="a\0b \ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"))
    )
    assert (await hooks.row(delivery)).payload["data"]["name"] == "ab 😀"


async def test_a_hook_deleted_meanwhile_costs_nobody_anything(hooks: Hooks) -> None:
    webhook_id = await hooks.add(URL)
    assert await hooks.hooks.delete(webhook_id)
    assert await hooks.say(event()) == [], "the copy in memory still has it"


async def test_nobody_listens_no_statement(hooks: Hooks, engine: AsyncEngine) -> None:
    await hooks.book.refresh()
    statements: list[str] = []

    @sqlalchemy_event.listens_for(engine.sync_engine, "before_cursor_execute")
    def note(_c: object, _cur: object, statement: str, *_: object) -> None:
        statements.append(statement)

    async with engine.begin() as connection:
        await hooks.outbox.add(connection, [event()])
    assert statements == []
    # And calls are stored by the one statement they always were.
    calls = CallRepository(engine, hooks.outbox, hooks.clock)
    assert await calls.store([row_of(ringing())]) == {"main-1.1"}
    assert len(statements) == 1
    await hooks.add(URL, ["customer.changed"])
    statements.clear()
    await calls.store([row_of(ended())])
    assert len(statements) == 1


async def test_a_call_tells_what_became_of_it_with_its_document(hooks: Hooks, engine: AsyncEngine) -> None:
    hooks.clock.now = at(61)
    await hooks.add(URL)
    calls = CallRepository(engine, hooks.outbox, hooks.clock)
    await calls.store([row_of(ringing(version=10))])
    assert [r.type for r in await hooks.rows()] == ["call.started"]
    await calls.store([row_of(ringing(version=10))])
    await calls.store([row_of(ringing(version=11))])
    assert [r.type for r in await hooks.rows()] == ["call.started"]
    # The answer was never seen by itself: what became true by the end is told with it.
    assert await calls.store([row_of(ended(version=20))]) == {"main-1.1"}
    rows = await hooks.rows()
    assert [r.type for r in rows] == ["call.started", "call.answered", "call.ended"]
    assert [r.payload["timestamp"] for r in rows] == [
        "2126-11-21T09:00:00.000Z",
        "2126-11-21T09:00:03.000Z",
        "2126-11-21T09:01:00.000Z",
    ]
    assert {(r.subject, r.number) for r in rows} == {("main-1.1", "+79001112233")}
    data = rows[-1].payload["data"]
    assert (data["state"], data["agents"], data["talk_seconds"]) == ("ended", ["101"], 57)
    assert (data["customer_number"], data["caller"]["number"]) == ("+79001112233", "+79001112233")
    assert await hooks.jobs() == 3


async def test_of_two_processes_that_store_at_once_one_is_heard(hooks: Hooks, engine: AsyncEngine) -> None:
    """The second looks before the first commits: it finds the same events, which have the same ids."""
    hooks.clock.now = at(61)
    await hooks.add(URL)
    written, go = asyncio.Event(), asyncio.Event()

    class Slow(HookOutbox):
        async def add(self, connection: AsyncConnection, events: Sequence[Event]) -> None:
            written.set()
            await go.wait()
            await super().add(connection, events)

    slow = CallRepository(engine, Slow(hooks.book), hooks.clock)
    first = asyncio.create_task(slow.store([row_of(ringing(version=10))]))
    await written.wait()
    missed = update(call("main-1.1", "ended", ended_at=at(60), missed=True, end_reason="abandoned"), 20)
    quick = CallRepository(engine, hooks.outbox, hooks.clock)
    second = asyncio.create_task(quick.store([row_of(missed)]))

    async def blocked() -> bool:
        async with engine.connect() as connection:
            waiting = text("select count(*) from pg_locks where not granted")
            return bool(await connection.scalar(waiting))

    await until(blocked)
    go.set()
    assert await first == await second == {"main-1.1"}
    assert sorted(r.type for r in await hooks.rows()) == ["call.ended", "call.missed", "call.started"]
