"""One delivery: signed, tried again, given up, replayed; in order; at least once."""

import asyncio
import hashlib
import hmac
from base64 import b64decode
from datetime import timedelta
from uuid import UUID

import pytest

from card_api.events.outbox import EventType
from card_api.webhooks.retry import TRIES
from card_api.webhooks.signing import OVERLAP, secret
from tests.card_api.conftest import SECRET
from tests.card_api.webhooks.conftest import START, Hooks, event
from tests.card_api.webhooks.receiver import Receiver, Request, always


def signatures(request: Request, webhook_id: UUID, version: int) -> bool:
    """Is one of the signatures made with this version of the hook's secret? Written out as the specification says."""
    key = b64decode(secret(SECRET, webhook_id, version).removeprefix("whsec_"))
    content = (
        f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    )
    given = [b64decode(s.removeprefix("v1,")) for s in request.headers["webhook-signature"].split(" ")]
    return any(hmac.compare_digest(hmac.digest(key, content, hashlib.sha256), one) for one in given)


async def test_what_is_sent_is_signed_and_named(hooks: Hooks, receiver: Receiver) -> None:
    webhook_id = await hooks.add(receiver.url)
    said = event(name="Иванов")
    (delivery,) = await hooks.say(said)
    hooks.clock.forward(60)
    assert await hooks.courier.deliver(delivery) is None
    (request,) = receiver.got
    assert request.path == "/hook?token=t0p"
    assert request.json == {
        "type": "call.started",
        "timestamp": "2026-11-22T12:00:00.000Z",
        "data": {"call_id": "main-1.1", "customer_number": "+79001112233", "name": "Иванов"},
    }
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == str(said.id)
    # Of the try, not of the event: a receiver refuses what is old.
    assert int(request.headers["webhook-timestamp"]) == START.timestamp() + 60
    assert signatures(request, webhook_id, 1)
    row = await hooks.row(delivery)
    assert (row.state, row.attempts, row.status_code, row.next_at) == ("delivered", 1, 204, None)
    assert (await hooks.hook(webhook_id)).last_success_at == hooks.clock.now
    # Once more, as after a crash of the worker between the answer and the end of its job.
    assert await hooks.courier.deliver(delivery) is None
    assert len(receiver.got) == 1


async def test_a_failure_is_tried_again_for_a_day_and_then_listed(hooks: Hooks, receiver: Receiver) -> None:
    webhook_id = await hooks.add(receiver.url)
    receiver.answer = always(500, "the CRM\nis \0 ill" + "!" * 10_000)
    (delivery,) = await hooks.say(event())
    waits = []
    while (wait := await hooks.courier.deliver(delivery)) is not None:
        row = await hooks.row(delivery)
        assert (row.state, row.status_code, row.next_at) == ("pending", 500, hooks.clock.now + wait)
        waits.append(wait)
        hooks.clock.forward(wait)
    assert len(receiver.got) == TRIES == len(waits) + 1
    assert waits[0] < timedelta(seconds=7)
    assert timedelta(hours=16) < sum(waits, timedelta()) < timedelta(hours=28)
    row = await hooks.row(delivery)
    assert (row.state, row.attempts, row.next_at) == ("dead", TRIES, None)
    assert row.error.startswith("Answered 500: the CRM is ill!!!")
    assert len(row.error) < 600
    assert (await hooks.hook(webhook_id)).failing_since == START

    assert await hooks.deliveries.replay(webhook_id, delivery, hooks.clock.now)
    assert not await hooks.deliveries.replay(webhook_id, delivery, hooks.clock.now), "it is on its way again"
    receiver.answer = always(200)
    assert await hooks.courier.deliver(delivery) is None
    row = await hooks.row(delivery)
    assert (row.state, row.attempts, row.error) == ("delivered", 1, None)
    assert (await hooks.hook(webhook_id)).failing_since is None
    assert {r.headers["webhook-id"] for r in receiver.got} == {str(row.event_id)}, "one event, one name"


@pytest.mark.parametrize(
    ("status", "said"), [(301, "redirects are not followed"), (404, "Answered 404"), (429, "Answered 429")]
)
async def test_only_2xx_is_delivered(hooks: Hooks, receiver: Receiver, status: int, said: str) -> None:
    await hooks.add(receiver.url)
    receiver.answer = always(status)
    (delivery,) = await hooks.say(event())
    assert await hooks.courier.deliver(delivery) is not None
    assert said in (await hooks.row(delivery)).error
    assert len(receiver.got) == 1


async def test_nobody_there_is_a_failure_with_a_sentence(hooks: Hooks) -> None:
    await hooks.add("http://127.0.0.1:1/")
    (delivery,) = await hooks.say(event())
    assert await hooks.courier.deliver(delivery) is not None
    row = await hooks.row(delivery)
    assert row.status_code is None
    assert row.error.startswith("No connection: ")


async def test_a_receiver_that_is_gone_is_left_alone(hooks: Hooks, receiver: Receiver) -> None:
    webhook_id = await hooks.add(receiver.url)
    receiver.answer = always(410)
    first, second = await hooks.say(event(call_id="a"), event(call_id="b"))
    assert await hooks.courier.deliver(first) is None
    hook = await hooks.hook(webhook_id)
    assert (hook.active, "410" in hook.switched_off) == (False, True)
    assert await hooks.courier.deliver(second) is None
    assert len(receiver.got) == 1
    assert [row.state for row in await hooks.rows()] == ["dead", "dead"]
    await hooks.book.refresh()
    assert await hooks.say(event(call_id="c")) == []


async def test_a_call_is_told_in_order_and_does_not_hold_up_others(hooks: Hooks, receiver: Receiver) -> None:
    await hooks.add(receiver.url)
    started, answered, other = await hooks.say(
        event(EventType.CALL_STARTED), event(EventType.CALL_ANSWERED), event(call_id="main-2.2")
    )
    receiver.answer = always(503)
    wait = await hooks.courier.deliver(started)
    assert wait is not None
    behind = await hooks.courier.deliver(answered)
    assert behind is not None
    assert behind > wait, "it comes after the one before it"
    receiver.answer = always(200)
    assert await hooks.courier.deliver(other) is None
    hooks.clock.forward(behind)
    assert await hooks.courier.deliver(answered) is not None
    assert await hooks.courier.deliver(started) is None
    assert await hooks.courier.deliver(answered) is None
    assert [(r.json["type"], r.json["data"]["call_id"]) for r in receiver.got] == [
        ("call.started", "main-1.1"),
        ("call.started", "main-2.2"),
        ("call.started", "main-1.1"),
        ("call.answered", "main-1.1"),
    ]


async def test_after_a_rotation_both_secrets_sign_for_a_day(hooks: Hooks, receiver: Receiver) -> None:
    webhook_id = await hooks.add(receiver.url)
    rotated = await hooks.hooks.rotate(webhook_id)
    assert rotated is not None
    hooks.clock.now = rotated.secret_rotated_at
    for call_id in ("a", "b"):
        (delivery,) = await hooks.say(event(call_id=call_id))
        assert await hooks.courier.deliver(delivery) is None
        hooks.clock.forward(OVERLAP)
    old, new = receiver.got
    assert signatures(old, webhook_id, 1)
    assert signatures(old, webhook_id, 2)
    assert not signatures(new, webhook_id, 1)
    assert signatures(new, webhook_id, 2)


async def test_a_receiver_that_drips_is_not_waited_for(hooks: Hooks, receiver: Receiver) -> None:
    hooks.sender._deadline = 0.05
    await hooks.add(receiver.url)

    never = asyncio.Event()

    async def hang(_: Request) -> int:
        await never.wait()
        return 200

    receiver.answer = hang
    (delivery,) = await hooks.say(event())
    assert await hooks.courier.deliver(delivery) is not None
    assert (await hooks.row(delivery)).error == "No answer within 0.05 s."
    never.set()
