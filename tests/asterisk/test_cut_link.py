"""The link to a real Asterisk is cut in mid-call: what goes on goes on, what ended ends, what came is found."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.contracts.call import Call, CallEndReason, Direction, LegEndReason
from shared.contracts.card import CardState, CloseReason
from tests.asterisk.calls.scenarios import CLIENT, SUPPORT, answered_on, pstn
from tests.asterisk.calls.world import World
from tests.asterisk.link import Link, link_to
from tests.asterisk.pbx import Asterisk
from tests.asterisk.test_first_ring import answered, rings
from tests.e2e.conftest import link as link_state
from tests.e2e.stack import Stack, product

pytestmark = pytest.mark.asterisk


@pytest.fixture
async def link(asterisk: Asterisk) -> AsyncIterator[Link]:
    async with link_to(asterisk.ami_port) as link:
        yield link


@pytest.fixture
async def stack(
    asterisk: Asterisk, link: Link, world: World, database_url: str, redis_url: str, tmp_path: Path
) -> AsyncIterator[Stack]:
    """The product, following Asterisk over `link`; ready."""
    account = asterisk.account().model_copy(update={"port": link.port})
    async with product(database_url, redis_url, tmp_path, {"main": account}) as running:
        yield running


async def cut(link: Link, stack: Stack) -> None:
    link.cut()
    await link_state(stack, "lost")


async def mend(link: Link, stack: Stack) -> None:
    """Returns when the product has read what goes on."""
    link.mend()
    await link_state(stack, "up")


def ends(call: Call) -> list[tuple[str, bool, LegEndReason | None]]:
    return [(leg.endpoint, leg.answered_at is not None, leg.end_reason) for leg in call.legs]


async def test_talk_goes_on_through_a_cut_link(link: Link, stack: Stack, world: World) -> None:
    tab = await stack.tab("101")
    caller, phone = await answered_on(world, 101)
    card = await tab.card(lambda c: c.state is CardState.ANSWERED)

    await cut(link, stack)
    await mend(link, stack)
    assert list(tab.shown) == [card.call_id]

    await phone.hangup()
    await caller.wait("ended")
    assert (await tab.closed(card.call_id)).close_reason is CloseReason.ENDED
    call = await stack.stored(card.call_id)
    assert (call.direction, call.end_reason, call.missed) == (
        Direction.INBOUND,
        CallEndReason.COMPLETED,
        False,
    )
    assert call.queue is not None and call.queue.name == "support"
    assert ends(call) == [("PJSIP/agent101", True, LegEndReason.HANGUP)]


async def test_call_that_ends_while_the_link_is_cut_ends_unknown(
    link: Link, stack: Stack, world: World
) -> None:
    tab = await stack.tab("101")
    caller, phone = await answered_on(world, 101)
    card = await tab.card(lambda c: c.state is CardState.ANSWERED)

    await cut(link, stack)
    await caller.hangup()
    await phone.wait("ended")
    await mend(link, stack)

    await tab.closed(card.call_id)
    assert tab.shown == {}
    call = await stack.stored(card.call_id)
    assert (call.end_reason, call.gap, call.missed) == (CallEndReason.UNKNOWN, True, False)


async def test_call_answered_while_the_link_is_cut_is_answered(
    link: Link, stack: Stack, world: World
) -> None:
    tab = await stack.tab("101")
    caller = await pstn(world, SUPPORT)
    phone = await world.a[101].next_call()
    card = await tab.card(rings)

    await cut(link, stack)
    await phone.answer()
    await world.ami.event("AgentConnect")
    await mend(link, stack)
    await answered(tab, card.call_id)

    await caller.hangup()
    await tab.closed(card.call_id)
    call = await stack.stored(card.call_id)
    assert (call.end_reason, call.gap, call.missed) == (CallEndReason.COMPLETED, True, False)
    assert ends(call) == [("PJSIP/agent101", True, LegEndReason.HANGUP)]


async def test_call_passed_on_while_the_link_is_cut_is_at_the_other_agent(
    link: Link, stack: Stack, world: World
) -> None:
    one, two = await stack.tab("101"), await stack.tab("102")
    caller, phone = await answered_on(world, 101)
    card = await one.card(lambda c: c.state is CardState.ANSWERED)

    await cut(link, stack)
    await phone.refer("102")
    other = await world.a[102].next_call()
    await other.answer()
    await phone.wait("ended")
    await mend(link, stack)

    await answered(two, card.call_id)
    await one.closed(card.call_id)
    await caller.hangup()
    await two.closed(card.call_id)
    call = await stack.stored(card.call_id)
    assert (call.end_reason, call.gap, call.missed) == (CallEndReason.COMPLETED, True, False)
    assert [(leg.endpoint, leg.answered_at is not None) for leg in call.legs] == [
        ("PJSIP/agent101", True),
        ("PJSIP/agent102", True),
    ]


async def test_ring_that_moves_on_while_the_link_is_cut(link: Link, stack: Stack, world: World) -> None:
    one, two = await stack.tab("101"), await stack.tab("102")
    caller = await pstn(world, SUPPORT)
    phone = await world.a[101].next_call()
    card = await one.card(rings)

    await cut(link, stack)
    phone.reject(486)
    other = await world.a[102].next_call()
    await mend(link, stack)

    assert (await two.card(rings)).call_id == card.call_id
    await one.closed(card.call_id)
    await other.answer()
    await answered(two, card.call_id)
    await caller.hangup()
    await two.closed(card.call_id)
    call = await stack.stored(card.call_id)
    assert (call.end_reason, call.gap, call.missed) == (CallEndReason.COMPLETED, True, False)


async def test_call_that_comes_while_the_link_is_cut_appears(link: Link, stack: Stack, world: World) -> None:
    tab = await stack.tab("101")

    await cut(link, stack)
    caller = await pstn(world, SUPPORT)
    phone = await world.a[101].next_call()
    await mend(link, stack)

    card = await tab.card(rings)
    assert (card.call.number, card.call.queue) == (CLIENT, "support")
    await phone.answer()
    await answered(tab, card.call_id)
    await caller.hangup()
    await tab.closed(card.call_id)
    call = await stack.stored(card.call_id)
    assert (call.direction, call.end_reason, call.missed) == (
        Direction.INBOUND,
        CallEndReason.COMPLETED,
        False,
    )
