"""Whatever a trunk lets a caller send as number and name: through AMI to the agent's tab and into the record."""

from services.simulator.config import SimCaller
from services.simulator.simulator import Simulator
from shared.contracts.card import CardState, MatchKind
from tests.e2e.stack import Stack

HOSTILE = [
    "'; drop table customers; --",
    '"><img src=x onerror=alert(1)>',
    "\u202e33221110097+",
    "\u0000NUL\u0000",
    "📞👩‍👩‍👧",
    "Channel: PJSIP/agent101-00000001",
    "x" * 10_000,
    "9" * 10_000,
]


async def test_each_rings_with_a_card_and_ends(pbx: Simulator, stack: Stack) -> None:
    tab = await stack.tab("101")
    for raw in HOSTILE:
        call = await pbx.place("direct_did", caller=SimCaller(raw, raw), agent="101", pace="manual")
        call_id = f"main-{call.uniqueid}"
        card = await tab.card(lambda c, of=call_id: c.call_id == of and c.state is CardState.RINGING)  # type: ignore[misc]
        assert (card.match, card.caller.name) == (MatchKind.NONE, None), raw[:50]
        assert len(card.call.number or "") <= 64
        assert "\u202e" not in (card.call.number or "")
        await call.hang_up()
        await tab.closed(call_id)
        assert (await stack.stored(call_id)).call_id == call_id
    assert tab.shown == {}
