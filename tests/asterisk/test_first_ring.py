"""The first ring, for real: calls through Asterisk 22, seen on the tabs of the agents they are for, and on no other."""

import asyncio

import pytest

from shared.contracts.call import CallEndReason, Direction, Presentation
from shared.contracts.card import Card, CardState, CloseReason, MatchKind
from tests.asterisk import pbx
from tests.asterisk.calls.scenarios import BILLING, CLIENT, IVR, SUPPORT, pstn
from tests.asterisk.calls.world import World
from tests.asterisk.conftest import Product
from tests.asterisk.pbx import Asterisk
from tests.e2e.stack import Stack, Tab

pytestmark = pytest.mark.asterisk

STRANGER = "+79990001122"
# Whom the sample customers have at CLIENT.
CLIENT_NAME = "Иванов Пётр Сергеевич"


def rings(card: Card) -> bool:
    """The phone rings, and the look-up has answered."""
    return card.state is CardState.RINGING and card.timings.looked_up is not None


async def answered(tab: Tab, call_id: str) -> Card:
    return await tab.card(lambda c: c.call_id == call_id and c.state is CardState.ANSWERED)


async def nothing_came(stack: Stack, *tabs: Tab) -> None:
    for tab in tabs:
        assert tab.heard == []
        assert await stack.published(tab.login) == 0


@pytest.mark.parametrize("account", ["callcard", "cardmin"])
async def test_queue_call_shows_its_customer_while_the_phone_rings(
    account: str, start: Product, world: World
) -> None:
    """cardmin may read call and agent events and nothing else; the card is the same."""
    async with start(account) as stack:
        one, two = await stack.tab("101"), await stack.tab("102")

        caller = await pstn(world, SUPPORT)
        phone = await world.a[101].next_call()
        ringing = await one.card(rings)

        assert not phone.answered.is_set()
        assert not phone.ended.is_set()
        assert ringing.match is MatchKind.ONE
        assert ringing.caller.name == CLIENT_NAME
        assert ringing.agent == "101"
        assert (ringing.call.direction, ringing.call.queue) == (Direction.INBOUND, "support")
        assert (ringing.call.number, ringing.call.did) == (CLIENT, SUPPORT)

        await phone.answer()
        talking = await answered(one, ringing.call_id)
        assert talking.rev > ringing.rev
        assert talking.caller == ringing.caller

        await caller.hangup()
        closed = await one.closed(ringing.call_id)
        assert closed.close_reason is CloseReason.ENDED
        assert closed.rev > talking.rev
        assert one.shown == {}

        call = await stack.stored(ringing.call_id)
        assert (call.direction, call.end_reason, call.missed) == (
            Direction.INBOUND,
            CallEndReason.COMPLETED,
            False,
        )
        await nothing_came(stack, two)


async def test_ring_all_closes_the_losers_cards_when_one_answers(stack: Stack, world: World) -> None:
    tabs = {n: await stack.tab(str(n)) for n in world.a}

    caller = await pstn(world, BILLING)
    phones = {n: await world.a[n].next_call() for n in world.a}
    ringing = {n: await tab.card(rings) for n, tab in tabs.items()}
    assert len({card.call_id for card in ringing.values()}) == 1
    assert {card.caller.name for card in ringing.values()} == {CLIENT_NAME}
    call_id = ringing[103].call_id

    await phones[103].answer()
    await answered(tabs[103], call_id)
    for n in (101, 102, 104):
        assert (await tabs[n].closed(call_id)).close_reason is CloseReason.ANSWERED_ELSEWHERE
        assert tabs[n].shown == {}
    assert not phones[103].ended.is_set()
    assert list(tabs[103].shown) == [call_id]

    await caller.hangup()
    assert (await tabs[103].closed(call_id)).close_reason is CloseReason.ENDED
    call = await stack.stored(call_id)
    assert (call.end_reason, call.missed) == (CallEndReason.COMPLETED, False)


async def test_unknown_number_has_a_card_with_the_number(stack: Stack, world: World) -> None:
    tab = await stack.tab("101")

    caller = await pstn(world, SUPPORT, STRANGER)
    await world.a[101].next_call()
    card = await tab.card(rings)

    assert card.match is MatchKind.NONE
    assert card.call.number == STRANGER
    assert card.caller.display_number == "+7 999 000-11-22"
    assert card.caller.name is None

    await caller.hangup()
    await tab.closed(card.call_id)


@pytest.mark.parametrize(
    "caller_id",
    [
        pytest.param(
            {
                "who": "anonymous",
                "from_name": "Anonymous",
                "extra": [("Privacy", "id")],
            },
            id="hidden",
        ),
        pytest.param({"who": ""}, id="none sent"),
    ],
)
async def test_caller_without_a_number_has_a_card(
    caller_id: dict[str, object], stack: Stack, world: World
) -> None:
    tab = await stack.tab("101")

    caller = await pstn(world, SUPPORT, **caller_id)
    phone = await world.a[101].next_call()
    card = await tab.card(lambda c: c.state is CardState.RINGING)

    assert card.match is MatchKind.WITHHELD
    assert card.call.presentation is not Presentation.ALLOWED
    assert card.call.number is None
    assert card.caller.customer_id is None

    await phone.answer()
    await answered(tab, card.call_id)
    await caller.hangup()
    await tab.closed(card.call_id)
    assert (await stack.stored(card.call_id)).caller.number is None


async def test_direct_number_rings_at_its_agent_only(stack: Stack, world: World) -> None:
    one, two = await stack.tab("101"), await stack.tab("102")

    caller = await pstn(world, "+78430000102")
    phone = await world.a[102].next_call()
    card = await two.card(rings)
    assert (card.call.did, card.call.queue) == ("+78430000102", None)
    assert card.caller.name == CLIENT_NAME

    await phone.answer()
    await answered(two, card.call_id)
    await phone.hangup()
    await caller.wait("ended")
    assert (await two.closed(card.call_id)).close_reason is CloseReason.ENDED
    assert (await stack.stored(card.call_id)).end_reason is CallEndReason.COMPLETED
    await nothing_came(stack, one)


async def test_second_call_to_a_talking_agent_has_a_card_of_its_own(stack: Stack, world: World) -> None:
    tab = await stack.tab("101")
    first_caller = await pstn(world, SUPPORT, "+79001110001")
    phone = await world.a[101].next_call()
    first = await tab.card(rings)
    await phone.answer()
    await answered(tab, first.call_id)

    second_caller = await pstn(world, "+78430000101", "+79001110002")
    await world.a[101].next_call()
    second = await tab.card(lambda c: rings(c) and c.call_id != first.call_id)
    assert {card.call.number: card.caller.name for card in tab.shown.values()} == {
        "+79001110001": "Фёдоров Михаил Юрьевич",
        "+79001110002": "Каримова Алсу Рустамовна",
    }

    await second_caller.hangup()
    assert (await tab.closed(second.call_id)).close_reason is CloseReason.CALLER_GAVE_UP
    assert list(tab.shown) == [first.call_id]
    await first_caller.hangup()
    assert (await tab.closed(first.call_id)).close_reason is CloseReason.ENDED


async def test_caller_who_gives_up_closes_the_card_and_is_missed(stack: Stack, world: World) -> None:
    tab = await stack.tab("101")

    caller = await pstn(world, SUPPORT)
    await world.a[101].next_call()
    card = await tab.card(rings)
    await caller.hangup()

    assert (await tab.closed(card.call_id)).close_reason is CloseReason.CALLER_GAVE_UP
    call = await stack.stored(card.call_id)
    assert (call.end_reason, call.missed) == (CallEndReason.ABANDONED, True)


async def test_ring_without_answer_moves_the_card_to_the_next_agent(stack: Stack, world: World) -> None:
    one, two = await stack.tab("101"), await stack.tab("102")

    caller = await pstn(world, SUPPORT)
    await world.a[101].next_call()
    first = await one.card(rings)
    phone = await world.a[102].next_call()
    second = await two.card(rings)
    assert second.call_id == first.call_id
    assert (await one.closed(first.call_id)).close_reason is CloseReason.NO_ANSWER
    assert one.shown == {}

    await phone.answer()
    await answered(two, first.call_id)
    await caller.hangup()
    assert (await two.closed(first.call_id)).close_reason is CloseReason.ENDED
    assert one.shown == {}
    call = await stack.stored(first.call_id)
    assert (call.end_reason, call.missed) == (CallEndReason.COMPLETED, False)


async def test_agent_who_refuses_has_the_card_closed_as_rejected(stack: Stack, world: World) -> None:
    one, two = await stack.tab("101"), await stack.tab("102")

    caller = await pstn(world, SUPPORT)
    phone = await world.a[101].next_call()
    card = await one.card(rings)
    phone.reject(486)

    assert (await one.closed(card.call_id)).close_reason is CloseReason.REJECTED
    await world.a[102].next_call()
    assert (await two.card(rings)).call_id == card.call_id
    await caller.hangup()
    assert (await two.closed(card.call_id)).close_reason is CloseReason.CALLER_GAVE_UP


async def test_ivr_choice_is_on_the_card(stack: Stack, world: World) -> None:
    tab = await stack.tab("102")

    caller = await pstn(world, IVR)
    await caller.wait("answered")
    await caller.dtmf("2")
    phones = {n: await world.a[n].next_call() for n in world.a}
    card = await tab.card(rings)
    assert (card.call.did, card.call.queue) == (IVR, "billing")
    assert card.call.digits == ["2"]

    await phones[102].answer()
    await answered(tab, card.call_id)
    await caller.hangup()
    await tab.closed(card.call_id)


async def test_internal_call_shows_the_colleague(stack: Stack, world: World) -> None:
    one, two = await stack.tab("101"), await stack.tab("102")

    line = await world.a[101].call("102")
    phone = await world.a[102].next_call()
    card = await two.card(lambda c: c.state is CardState.RINGING)
    assert card.call.direction is Direction.INTERNAL
    assert card.match is MatchKind.COLLEAGUE
    assert card.call.number == "101"

    await phone.answer()
    await answered(two, card.call_id)
    await line.hangup()
    assert (await two.closed(card.call_id)).close_reason is CloseReason.ENDED
    call = await stack.stored(card.call_id)
    assert (call.direction, call.end_reason) == (Direction.INTERNAL, CallEndReason.COMPLETED)
    await nothing_came(stack, one)


async def test_outbound_call_shows_the_customer_to_the_agent_who_dials(stack: Stack, world: World) -> None:
    one, two = await stack.tab("101"), await stack.tab("102")

    line = await world.a[101].call("8" + CLIENT.removeprefix("+7"))
    customer = await world.trunk.next_call()
    card = await one.card(rings)
    assert card.call.direction is Direction.OUTBOUND
    assert card.call.number == CLIENT
    assert card.caller.name == CLIENT_NAME

    await customer.answer()
    await answered(one, card.call_id)
    await line.hangup()
    assert (await one.closed(card.call_id)).close_reason is CloseReason.ENDED
    call = await stack.stored(card.call_id)
    assert (call.direction, call.end_reason) == (Direction.OUTBOUND, CallEndReason.COMPLETED)
    await nothing_came(stack, two)


@pytest.mark.parametrize("account", ["callcard", "cardmin"])
async def test_listener_that_comes_in_mid_call_shows_the_card(
    account: str, start: Product, world: World
) -> None:
    caller = await pstn(world, SUPPORT)
    phone = await world.a[101].next_call()
    await phone.answer()
    await caller.wait("answered")
    await world.ami.event("AgentConnect")

    async with start(account) as stack:
        one, two = await stack.tab("101"), await stack.tab("102")
        card = await one.card(lambda c: c.state is CardState.ANSWERED and c.timings.looked_up is not None)
        assert card.call.number == CLIENT
        assert card.caller.name == CLIENT_NAME

        await caller.hangup()
        assert (await one.closed(card.call_id)).close_reason is CloseReason.ENDED
        call = await stack.stored(card.call_id)
        assert (call.direction, call.end_reason) == (Direction.INBOUND, CallEndReason.COMPLETED)
        assert call.gap
        await nothing_came(stack, two)


async def test_crash_of_the_pbx_closes_what_it_ended_and_the_next_call_shows(
    asterisk: Asterisk, stack: Stack, world: World
) -> None:
    tab = await stack.tab("101")
    lost = await pstn(world, SUPPORT)
    phone = await world.a[101].next_call()
    card = await tab.card(rings)
    await phone.answer()
    await answered(tab, card.call_id)

    # No Hangup, no Shutdown event: AMI just ends, and nobody tells the phones.
    pbx.kill(asterisk)
    await asyncio.to_thread(pbx.start_again, asterisk)

    assert (await tab.closed(card.call_id)).close_reason is CloseReason.ENDED
    call = await stack.stored(card.call_id)
    assert (call.end_reason, call.gap) == (CallEndReason.UNKNOWN, True)

    for line in (lost, phone):
        await line.hangup()
    for agent in world.a.values():
        await agent.register()
    caller = await pstn(world, SUPPORT, STRANGER)
    await world.a[101].next_call()
    second = await tab.card(lambda c: rings(c) and c.call.number == STRANGER)
    assert list(tab.shown) == [second.call_id]
    await caller.hangup()
    await tab.closed(second.call_id)
