"""From the byte on the AMI socket to the agent's tab, through every piece, on real servers."""

from dataclasses import replace

from services.simulator.config import SimAccount
from services.simulator.simulator import Simulator
from shared.contracts.call import CallEndReason, Direction, Presentation
from shared.contracts.card import Card, CardState, CloseReason, MatchKind
from tests.e2e.conftest import CLIENT, CLIENT_NAME, Start
from tests.e2e.stack import Stack, Tab


def rings(card: Card) -> bool:
    """The phone rings, and the look-up has answered."""
    return card.state is CardState.RINGING and card.timings.looked_up is not None


async def answered(tab: Tab, call_id: str) -> Card:
    return await tab.card(lambda c: c.call_id == call_id and c.state is CardState.ANSWERED)


async def test_a_queue_call_rings_is_answered_and_ends(
    pbx: Simulator, start: Start, account: SimAccount
) -> None:
    async with start(account) as stack:
        one, two = await stack.tab("101"), await stack.tab("102")
        call = await pbx.place("answered_queue_call", caller=CLIENT, agent="101", pace="manual")
        card = await one.card(rings)
        assert (card.match, card.caller.name, card.call.queue) == (MatchKind.ONE, CLIENT_NAME, "support")
        assert card.call_id == f"main-{call.uniqueid}"

        await call.proceed()
        assert (await answered(one, card.call_id)).rev > card.rev

        await call.hang_up()
        assert (await one.closed(card.call_id)).close_reason is CloseReason.ENDED
        assert one.shown == {}
        stored = await stack.stored(card.call_id)
        assert (stored.end_reason, stored.missed) == (CallEndReason.COMPLETED, False)
        # Not only "did not arrive": nothing was ever sent to anybody else.
        assert two.heard == []
        assert await stack.published("102") == 0


async def test_ring_all_closes_the_others_when_one_answers(pbx: Simulator, stack: Stack) -> None:
    tabs = {login: await stack.tab(login) for login in ("101", "102", "103", "104")}
    call = await pbx.place("ringall_queue", caller=CLIENT, agent="103", pace="manual")
    cards = {login: await tab.card(rings) for login, tab in tabs.items()}
    call_id = cards["103"].call_id
    await call.proceed()
    await answered(tabs["103"], call_id)
    for login in ("101", "102", "104"):
        assert (await tabs[login].closed(call_id)).close_reason is CloseReason.ANSWERED_ELSEWHERE
    await call.hang_up()
    assert (await tabs["103"].closed(call_id)).close_reason is CloseReason.ENDED


async def test_a_caller_without_a_number_has_a_card(pbx: Simulator, stack: Stack) -> None:
    tab = await stack.tab("101")
    call = await pbx.place("anonymous_caller", agent="101", pace="manual")
    card = await tab.card(lambda c: c.state is CardState.RINGING)
    assert (card.match, card.call.number) == (MatchKind.WITHHELD, None)
    assert card.call.presentation is Presentation.WITHHELD
    await call.hang_up()
    assert (await tab.closed(card.call_id)).close_reason is CloseReason.CALLER_GAVE_UP


async def test_a_dialling_agent_sees_the_customer(pbx: Simulator, stack: Stack) -> None:
    tab = await stack.tab("101")
    call = await pbx.place("outbound_answered", agent="101", pace="manual")
    card = await tab.card(lambda c: c.call.direction is Direction.OUTBOUND)
    assert card.call.number == "+79003334455"
    await call.hang_up()
    await tab.closed(card.call_id)


async def test_a_tab_that_opens_late_has_the_desk_as_it_is(pbx: Simulator, stack: Stack) -> None:
    first = await stack.tab("101")
    call = await pbx.place("answered_queue_call", caller=CLIENT, agent="101", pace="manual")
    card = await first.card(rings)
    second = await stack.tab("101")
    assert [c.call_id for c in second.snapshot.cards] == [card.call_id]
    await call.hang_up()
    await second.closed(card.call_id)
    third = await stack.tab("101")
    assert third.snapshot.cards == []


async def test_two_calls_at_one_agent_are_two_cards(pbx: Simulator, stack: Stack) -> None:
    tab = await stack.tab("101")
    one = await pbx.place("direct_did", caller=CLIENT, agent="101", pace="manual")
    first = await tab.card(rings)
    await one.proceed()
    await answered(tab, first.call_id)
    two = await pbx.place("direct_did_missed", agent="101", pace="manual")
    second = await tab.card(lambda c: c.call_id == f"main-{two.uniqueid}")
    assert set(tab.shown) == {first.call_id, second.call_id}
    assert tab.shown[first.call_id].caller.name == CLIENT_NAME
    await two.hang_up()
    await tab.closed(second.call_id)
    assert set(tab.shown) == {first.call_id}
    await one.hang_up()
    await tab.closed(first.call_id)


async def test_random_traffic_is_stored_as_it_was(pbx: Simulator, start: Start) -> None:
    """Every kind of call, at full speed: the record equals what the simulated phones did."""
    config = replace(pbx.config, time_scale=60.0, calls_per_second=0.4, seed=11)
    async with Simulator(config) as busy:
        host, port = busy.address
        pbx.address = (host, port)
        async with start() as stack:
            busy.run_traffic(calls=60)
            await busy.quiet()
            for truth in busy.truth:
                call = await stack.stored(f"main-{truth.uniqueid}")
                assert (str(call.direction), str(call.end_reason), call.missed) == (
                    str(truth.direction),
                    str(truth.end_reason),
                    truth.missed,
                ), truth
