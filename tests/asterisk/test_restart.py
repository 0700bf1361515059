"""Asterisk restarts in mid-call, as an administrator does it: its calls end, and the next one rings."""

import asyncio
from collections.abc import Iterator

import pytest

from shared.contracts.call import CallEndReason
from shared.contracts.card import CardState
from tests.asterisk import pbx
from tests.asterisk.calls.ami import Ami
from tests.asterisk.calls.scenarios import SUPPORT, answered_on, pstn
from tests.asterisk.calls.world import World
from tests.asterisk.pbx import Asterisk, Flavour
from tests.asterisk.test_first_ring import STRANGER, answered, rings
from tests.e2e.stack import Stack

pytestmark = pytest.mark.asterisk

# Its modules come up one after another; on a busy machine that took 3 s.
_UP_SECONDS = 20


@pytest.fixture(scope="module", params=[Flavour.V22, Flavour.V16])
def asterisk(request: pytest.FixtureRequest) -> Iterator[Asterisk]:
    flavour: Flavour = request.param
    why_not = pbx.installed(flavour)
    if why_not:
        pytest.skip(why_not)
    failed_before = request.session.testsfailed
    running = pbx.start(flavour)
    yield running
    pbx.stop(running, keep=request.session.testsfailed > failed_before)


async def test_restart_of_the_pbx_in_mid_call_ends_it_and_the_next_rings(
    asterisk: Asterisk, stack: Stack, world: World
) -> None:
    one, two = await stack.tab("101"), await stack.tab("102")
    caller, phone = await answered_on(world, 101)
    card = await one.card(lambda c: c.state is CardState.ANSWERED)
    waiting = await pstn(world, SUPPORT, STRANGER)
    ringing = await world.a[102].next_call()
    second = await two.card(rings)

    await restart(asterisk, world)

    for tab, call_id in ((one, card.call_id), (two, second.call_id)):
        await tab.closed(call_id)
        assert tab.shown == {}
        call = await stack.stored(call_id)
        # Going down in order it may still tell some of its hang-ups; of the others nobody knows how they ended.
        assert call.gap is (call.end_reason is CallEndReason.UNKNOWN)
    for line in (caller, phone, waiting, ringing):
        await line.hangup()
    for agent in world.a.values():
        await agent.register()

    # Asterisk counts its channels from 0 again: the names of the dead are used once more.
    again = await pstn(world, SUPPORT)
    phone = await world.a[101].next_call()
    third = await one.card(lambda c: rings(c) and c.call_id != card.call_id)
    await phone.answer()
    await answered(one, third.call_id)
    await again.hangup()
    await one.closed(third.call_id)
    call = await stack.stored(third.call_id)
    assert (call.end_reason, call.missed) == (CallEndReason.COMPLETED, False)


async def restart(asterisk: Asterisk, world: World) -> None:
    """As an administrator does it; returns when calls can be placed again."""
    with pytest.raises(TimeoutError):
        await world.ami.action("Command", timeout=1, Command="core restart now")
    async with asyncio.timeout(_UP_SECONDS):
        while True:
            try:
                fresh = await Ami(port=asterisk.ami_port).connect()
                break
            except (OSError, TimeoutError, RuntimeError):
                await asyncio.sleep(0.1)
    await fresh.event("FullyBooted", _UP_SECONDS)
    await fresh.close()
