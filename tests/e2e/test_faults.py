"""What may go wrong around a call: each has a clear state while it lasts and heals by itself."""

import pytest

from services.embedded import EmbeddedPostgres, EmbeddedValkey
from services.simulator.config import SimAccount, SimCaller
from services.simulator.simulator import Simulator
from shared.contracts.call import CallEndReason, CallState
from shared.contracts.card import CardState
from tests.e2e.conftest import CLIENT, CLIENT_NAME, Start, link
from tests.e2e.stack import Stack
from tests.e2e.test_first_ring import answered, rings


async def test_garbage_on_the_ami_socket_costs_nothing(pbx: Simulator, stack: Stack) -> None:
    tab = await stack.tab("101")
    pbx.send_raw(b"\x00\xff garbage\r\n\r\nEvent: \r\n\r\nno colon here\r\n\r\n: : :\r\n\r\n")
    # A message of 4 MB, then one of them without an end at all would swallow the rest: this one ends.
    pbx.send_raw(b"Event: Newchannel\r\nChannel: " + b"x" * (4 << 20) + b"\r\n\r\n")
    pbx.send_raw(b"Event: DialBegin\r\nUniqueid: nobody\r\nDestUniqueid: nobody-else\r\n\r\n")
    call = await pbx.place("answered_queue_call", caller=CLIENT, agent="101", pace="manual")
    card = await tab.card(rings)
    assert card.caller.name == CLIENT_NAME
    await call.hang_up()
    await tab.closed(card.call_id)


async def test_a_wrong_password_is_a_state_and_not_a_loop(pbx: Simulator, start: Start) -> None:
    wrong = SimAccount("callcard", "not the secret")
    async with start(wrong, wait=False) as stack:
        await link(stack, "refused")
        answer = await stack.http.get("/readyz")
        assert answer.status_code == 503
        assert "manager.conf" in answer.text
        assert "not the secret" not in answer.text


async def test_a_lost_link_in_mid_call_heals_and_the_card_closes(pbx: Simulator, stack: Stack) -> None:
    tab = await stack.tab("101")
    call = await pbx.place("answered_queue_call", caller=CLIENT, agent="101", pace="manual")
    card = await tab.card(rings)
    await call.proceed()
    await answered(tab, card.call_id)
    pbx.drop_clients()
    await call.hang_up()  # nobody is listening now, or the listener is just back; either way it must be known
    await tab.closed(card.call_id)
    assert (await stack.stored(card.call_id)).end_reason in (CallEndReason.COMPLETED, CallEndReason.UNKNOWN)


async def test_a_restarted_pbx_takes_its_calls_with_it(pbx: Simulator, stack: Stack) -> None:
    tab = await stack.tab("101")
    await pbx.place("answered_queue_call", caller=CLIENT, agent="101", pace="manual")
    card = await tab.card(rings)
    pbx.restart()
    await tab.closed(card.call_id)
    stored = await stack.stored(card.call_id)
    assert (stored.end_reason, stored.gap) == (CallEndReason.UNKNOWN, True)
    # And the next call rings as if nothing had been.
    call = await pbx.place("answered_queue_call", caller=CLIENT, agent="101", pace="manual")
    again = await tab.card(lambda c: c.call_id == f"main-{call.uniqueid}" and c.state is CardState.RINGING)
    await call.hang_up()
    await tab.closed(again.call_id)


async def test_calls_that_ended_while_the_product_was_down_are_closed(pbx: Simulator, start: Start) -> None:
    call = await pbx.place("answered_queue_call", caller=CLIENT, agent="101", pace="manual")
    async with start() as stack:
        tab = await stack.tab("101")
        card = await tab.card(lambda c: c.state is CardState.RINGING)
    await call.hang_up()
    async with start() as stack:
        stored = await stack.stored(card.call_id)
        assert (stored.end_reason, stored.gap) == (CallEndReason.UNKNOWN, True)
        tab = await stack.tab("101")
        await tab.empty()


async def test_a_call_that_ends_before_the_agents_are_known_leaves_no_card_behind(
    pbx: Simulator, start: Start, postgres: EmbeddedPostgres
) -> None:
    call = await pbx.place("answered_queue_call", caller=CLIENT, agent="101", pace="manual")
    async with start() as stack:
        tab = await stack.tab("101")
        card = await tab.card(lambda c: c.state is CardState.RINGING)
    postgres.kill()
    try:
        async with start(wait=False) as stack:
            await stack.said(card.call_id, CallState.RINGING)  # the listener follows the call again
            await call.hang_up()
            await stack.said(card.call_id, CallState.ENDED)
            postgres.start()
            await stack.ready()
            await (await stack.tab("101")).empty()
    finally:
        if not postgres.running:
            postgres.start()


async def test_redis_restarted_in_mid_call(pbx: Simulator, stack: Stack, valkey: EmbeddedValkey) -> None:
    """It comes back empty; the desk is rebuilt, the end of the call is not lost."""
    tab = await stack.tab("101")
    call = await pbx.place("answered_queue_call", caller=CLIENT, agent="101", pace="manual")
    card = await tab.card(rings)
    await call.proceed()
    await answered(tab, card.call_id)
    valkey.kill()
    await call.hang_up()
    valkey.start()
    assert (await stack.stored(card.call_id)).end_reason is CallEndReason.COMPLETED
    fresh = await stack.tab("101")
    assert fresh.shown == {}
    await stack.ready()


async def test_postgresql_down_at_the_start(pbx: Simulator, start: Start, postgres: EmbeddedPostgres) -> None:
    """Cards show the number at once and are completed when PostgreSQL is there; the call is stored."""
    async with start() as prepared:  # the samples are there, and on the disk
        await prepared.token("101")
    postgres.kill()
    try:
        running = start(wait=False)
        async with running as stack:
            answer = await stack.http.get("/readyz")
            assert answer.status_code == 503
            call = await pbx.place("answered_queue_call", caller=CLIENT, agent="101", pace="manual")
            postgres.start()
            await stack.ready()
            tab = await stack.tab("101")
            card = await tab.card(rings)
            assert card.caller.name == CLIENT_NAME
            await call.hang_up()
            await tab.closed(card.call_id)
            await stack.stored(card.call_id)
    finally:
        if not postgres.running:
            postgres.start()


@pytest.mark.parametrize(
    "name", ['Robert"); DROP TABLE calls;--', "\u202eevil\u202c", "💥" * 40, "<script>alert(1)</script>"]
)
async def test_a_hostile_caller_name_is_only_a_name(pbx: Simulator, stack: Stack, name: str) -> None:
    tab = await stack.tab("101")
    call = await pbx.place(
        "answered_queue_call", caller=SimCaller("+79990001122", name), agent="101", pace="manual"
    )
    card = await tab.card(lambda c: c.state is CardState.RINGING)
    await call.hang_up()
    await tab.closed(card.call_id)
    stored = await stack.stored(card.call_id)
    assert stored.caller.name is not None
