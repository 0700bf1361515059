"""Zammad's generic CTI as its documentation says, against a receiver that takes nothing else."""

from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.calls.repository import CallRepository
from card_api.calls.row import call_row
from card_api.webhooks import zammad
from card_api.webhooks.body import encoded
from card_api.webhooks.retry import ZAMMAD_TRIES
from card_api.webhooks.schemas import WebhookWrite
from card_api.webhooks.sender import Receiver as To
from shared.contracts.call import Call, Caller, Presentation, QueueStay
from tests.card_api.makers import ANNA, DIRECTORY, at, call, leg, update
from tests.card_api.webhooks.conftest import Hooks
from tests.card_api.webhooks.receiver import Receiver, always
from tests.card_api.webhooks.zammad_rules import Zammad

EVENTS = list(zammad.EVENTS)


async def live_through(hooks: Hooks, engine: AsyncEngine, *versions: Call) -> None:
    """Store these versions of calls and deliver what they cause, in order."""
    hooks.clock.now = at(100)
    calls = CallRepository(engine, hooks.outbox, hooks.clock)
    for number, version in enumerate(versions):
        said = update(version, number + 1)
        await calls.store([call_row(said, said.to_json(), DIRECTORY, lambda _: "RU")])
    for row in await hooks.rows():
        assert await hooks.courier.deliver(row.id) is None, (await hooks.row(row.id)).error


async def test_a_queue_call_from_ring_to_end(hooks: Hooks, engine: AsyncEngine, receiver: Receiver) -> None:
    receiver.answer = zammad_ = Zammad()
    await hooks.add(receiver.url, EVENTS, zammad.FORMAT)
    queue = QueueStay(name="support", joined_at=at(0))
    talked: dict[str, Any] = {"answered_at": at(5), "queue": queue}
    await live_through(
        hooks,
        engine,
        call(state="queued", queue=queue),
        call(state="ringing", queue=queue, legs=(leg("101"), leg("102"))),
        call(state="answered", legs=(leg("101", "answered", answered=5),), **talked),
        call(
            state="ended",
            legs=(leg("101", "ended", "hangup", answered=5, ended=60),),
            ended_at=at(60),
            end_reason="completed",
            **talked,
        ),
    )
    name = zammad.call_id("main-1.1")
    ends = {"from": "79001112233", "to": "78000000003", "direction": "in", "callId": name}
    assert zammad_.said == [
        {"event": "newCall", **ends, "queue": "support"},
        {"event": "answer", **ends, "user": [ANNA.name], "answeringNumber": "101"},
        {"event": "hangup", **ends, "user": [ANNA.name], "answeringNumber": "101", "cause": "normalClearing"},
    ]


async def test_an_outbound_call_names_who_dials(
    hooks: Hooks, engine: AsyncEngine, receiver: Receiver
) -> None:
    receiver.answer = zammad_ = Zammad()
    await hooks.add(receiver.url, EVENTS, zammad.FORMAT)
    who: dict[str, Any] = {
        "direction": "outbound",
        "caller": Caller(number="101", endpoint="PJSIP/agent101"),
        "did": "+74951234567",
    }
    await live_through(
        hooks, engine, call(**who), call(state="ended", ended_at=at(20), end_reason="busy", **who)
    )
    ends = {"from": "101", "to": "74951234567", "direction": "out", "callId": zammad.call_id("main-1.1")}
    assert zammad_.said == [
        {"event": "newCall", **ends, "user": [ANNA.name]},
        {"event": "hangup", **ends, "user": [ANNA.name], "answeringNumber": "101", "cause": "busy"},
    ]


async def test_calls_between_colleagues_are_none_of_zammads(
    hooks: Hooks, engine: AsyncEngine, receiver: Receiver
) -> None:
    await hooks.add(receiver.url, EVENTS, zammad.FORMAT)
    await live_through(hooks, engine, call(direction="internal", did="102"))
    assert receiver.got == []


@pytest.mark.parametrize(
    ("ended", "cause"),
    [
        ({"end_reason": "abandoned", "missed": True}, "cancel"),
        ({"end_reason": "no_answer", "missed": True}, "noAnswer"),
        ({"end_reason": "rejected"}, "noAnswer"),
        ({"end_reason": "busy"}, "busy"),
        ({"end_reason": "failed"}, "congestion"),
        ({"end_reason": "failed", "hangup_cause": 1}, "notFound"),
        ({"end_reason": "closed"}, "congestion"),
        ({"end_reason": "unknown"}, "cancel"),
        ({"end_reason": "unknown", "answered_at": at(1)}, "normalClearing"),
    ],
)
async def test_each_end_has_a_cause_of_theirs(
    hooks: Hooks, engine: AsyncEngine, receiver: Receiver, ended: dict[str, Any], cause: str
) -> None:
    receiver.answer = zammad_ = Zammad()
    await hooks.add(receiver.url, EVENTS, zammad.FORMAT)
    caller = Caller(number=None, presentation=Presentation.WITHHELD)
    await live_through(hooks, engine, call(state="ended", ended_at=at(9), caller=caller, did=None, **ended))
    assert (zammad_.said[-1]["cause"], zammad_.said[-1]["from"]) == (cause, "anonymous")


async def test_a_trial_is_a_call_that_zammad_takes(hooks: Hooks, receiver: Receiver) -> None:
    receiver.answer = zammad_ = Zammad()
    webhook_id = await hooks.add(receiver.url, EVENTS, zammad.FORMAT)
    for body in zammad.trial("1"):
        outcome = await hooks.sender.send(To(webhook_id, receiver.url, 1, None), "1", encoded(body))
        assert outcome.delivered, outcome
    assert list(zammad_.calls.values()) == ["hangup"]


async def test_what_is_minutes_late_is_not_told(
    hooks: Hooks, engine: AsyncEngine, receiver: Receiver
) -> None:
    receiver.answer = always(502)
    await hooks.add(receiver.url, EVENTS, zammad.FORMAT)
    hooks.clock.now = at(1)
    said = update(call(), 1)
    calls = CallRepository(engine, hooks.outbox, hooks.clock)
    await calls.store([call_row(said, said.to_json(), DIRECTORY, lambda _: "RU")])
    (row,) = await hooks.rows()
    while (wait := await hooks.courier.deliver(row.id)) is not None:
        hooks.clock.forward(wait)
    assert len(receiver.got) == ZAMMAD_TRIES
    assert (hooks.clock.now - at(1)).total_seconds() < 900


def test_it_has_no_words_for_customers() -> None:
    with pytest.raises(
        ValueError, match=r"knows call.started, call.answered, call.ended, not customer.created"
    ):
        WebhookWrite.model_validate(
            {"name": "Z", "url": "https://z.example/", "format": "zammad", "events": ["customer.created"]}
        )
    assert WebhookWrite(name="Z", url="https://z.example/", format="zammad").wanted() == EVENTS
