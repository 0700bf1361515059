"""Erasing a person, rescuing lost jobs, clearing up."""

from datetime import timedelta
from uuid import uuid4

from sqlalchemy.sql.expression import text

from card_api.events.outbox import Event, EventType
from card_api.webhooks.delivery import SWITCHED_OFF
from card_api.webhooks.repository import erase
from tests.card_api.webhooks.conftest import START, Hooks, event
from tests.card_api.webhooks.receiver import Receiver, always


async def test_erasing_a_person_leaves_nothing_of_them(hooks: Hooks, receiver: Receiver) -> None:
    webhook_id = await hooks.add(receiver.url)
    customer = uuid4()
    receiver.answer = always(500, "I do not know +79001112233")
    theirs = await hooks.say(
        event(call_id="a"),
        event(call_id="b"),
        Event(EventType.CUSTOMER_CHANGED, START, {"id": str(customer), "name": "Иванов"}),
    )
    (other,) = await hooks.say(
        Event(EventType.CALL_STARTED, START, {"call_id": "c", "customer_number": "+7999"})
    )
    await hooks.courier.deliver(theirs[0])
    async with hooks.engine.begin() as connection:
        assert await erase(connection, ["+79001112233"], [customer]) == 3
        await hooks.outbox.add(connection, [Event(EventType.CUSTOMER_DELETED, START, {"id": str(customer)})])
    rows = {row.id: row for row in await hooks.rows()}
    for delivery in theirs:
        row = rows[delivery]
        assert (row.state, row.payload, row.number) == ("dead", None, None)
        assert row.error in (None, "erased")
        assert await hooks.courier.deliver(delivery) is None
        assert not await hooks.deliveries.replay(webhook_id, delivery, hooks.clock.now)
    assert rows[other].payload is not None
    receiver.answer = always(200)
    (deleted,) = (row for row in rows.values() if row.type == "customer.deleted")
    assert await hooks.courier.deliver(deleted.id) is None
    assert (await hooks.row(deleted.id)).state == "delivered"
    assert await hooks.deliveries.replay_dead(webhook_id, hooks.clock.now) == 0


async def test_a_delivery_whose_job_was_lost_has_a_new_one(hooks: Hooks) -> None:
    await hooks.add("http://127.0.0.1:1/")
    await hooks.say(event(call_id="a"), event(call_id="b"))
    due = (await hooks.rows())[0].next_at + timedelta(minutes=5)
    assert await hooks.deliveries.rescue(due) == 0
    async with hooks.engine.begin() as connection:
        await connection.execute(text("delete from pgqueuer where id = (select min(id) from pgqueuer)"))
    assert await hooks.deliveries.rescue(due - timedelta(minutes=6)) == 0, "not due for long enough"
    assert await hooks.deliveries.rescue(due) == 1
    assert await hooks.jobs() == 2


async def test_all_that_was_given_up_is_sent_once_more(hooks: Hooks, receiver: Receiver) -> None:
    webhook_id = await hooks.add(receiver.url)
    first, second = await hooks.say(event(call_id="a"), event(call_id="b"))
    await hooks.hooks.change(webhook_id, {"active": False})
    for delivery in (first, second):
        assert await hooks.courier.deliver(delivery) is None
    assert {(row.state, row.error) for row in await hooks.rows()} == {("dead", SWITCHED_OFF)}
    assert receiver.got == []
    await hooks.hooks.change(webhook_id, {"active": True})
    async with hooks.engine.begin() as connection:
        await connection.execute(text("delete from pgqueuer"))  # their jobs were done
    assert await hooks.deliveries.replay_dead(webhook_id, hooks.clock.now) == 2
    assert await hooks.jobs() == 2
    for delivery in (first, second):
        assert await hooks.courier.deliver(delivery) is None
    assert len(receiver.got) == 2


async def test_what_is_done_is_cleared_away_in_time(hooks: Hooks, receiver: Receiver) -> None:
    await hooks.add(receiver.url)
    delivered, dead, pending = await hooks.say(event(call_id="a"), event(call_id="b"), event(call_id="c"))
    assert await hooks.courier.deliver(delivered) is None
    receiver.answer = always(410)
    assert await hooks.courier.deliver(dead) is None
    day = timedelta(days=1)
    assert await hooks.deliveries.clear(START, START, START) == 0
    assert await hooks.deliveries.clear(START + day, START, START) == 1
    assert await hooks.deliveries.clear(START, START + day, START + 1000 * day) == 1
    assert [row.id for row in await hooks.rows()] == [pending]
    async with hooks.engine.connect() as connection:
        assert await connection.scalar(text("select count(*) from pgqueuer_log")) == 0
