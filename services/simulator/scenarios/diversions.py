"""A call that rings at one phone and is answered at another: pickup by *8, a phone that forwards by itself (302)."""

from services.simulator.call import Act, Call, Signal, Stage, Wait
from services.simulator.channel import Channel
from services.simulator.config import SimAgent
from services.simulator.dialling import begin_dial, cancel_dial, connect_dial, dial
from services.simulator.local import open_pair, optimize, ring_front, tell_pair
from services.simulator.packets import CALL, packet
from services.simulator.parts import Talk, answer_caller, arrive, between, caller_of, drop_leg
from services.simulator.pbx import Pbx
from services.simulator.scenarios.phones import free_agent, some_agent
from services.simulator.talking import DIAL_SECONDS, collapse, converse
from shared.contracts.call import CallEndReason, LegEndReason

PICKUP = "*8"
MOVED = (23, 302)
"""Q.850 cause and SIP answer of a phone that forwards."""


def to_direct_number(pbx: Pbx, call: Call, agent: SimAgent) -> Channel:
    """From the trunk to somebody's direct number, up to Dial()."""
    did = call.order.did or f"{pbx.config.direct_prefix}{agent.extension}"
    channel = arrive(pbx, call, did, caller_of(pbx, call))
    pbx.run(channel, "Set", f"AG={agent.extension}")
    pbx.var(channel, "AG", agent.extension)
    pbx.record(channel, 2)
    return channel


def call_pickup(pbx: Pbx, call: Call) -> Act:
    """A colleague dials *8 while the phone rings, and has the caller."""
    agent = call.order.agent or some_agent(pbx)
    caller = to_direct_number(pbx, call, agent)
    leg = dial(pbx, call, agent.endpoint, agent.login, DIAL_SECONDS, priority=3)
    signal = yield Wait(Stage.RINGING, between(pbx, pbx.config.ring))
    others = [one for one in pbx.free_agents() if one is not agent]
    if signal is not Signal.GO or not others:
        cancel_dial(pbx, call, leg)
        call.ends(CallEndReason.ABANDONED, pbx.now)
        return
    colleague = call.order.other or pbx.rng.choice(others)
    taken = pbx.new_channel(
        colleague.endpoint,
        4,
        number=colleague.extension,
        party=colleague.name,
        context="internal",
        exten=PICKUP,
    )
    taken.dnid = PICKUP
    aside = call.consults(taken, PICKUP, pbx.now)
    pbx.connect(taken, caller)
    pbx.set_state(taken, 6)
    pbx.out.append(packet("Pickup", CALL, taken.block + leg.render("Target"), taken.uniqueid))
    pbx.connect(caller, taken)
    call.rings(taken, pbx.now)
    call.answers(taken, pbx.now)
    taken.update(exten="")
    pbx.dial_end(caller, taken, "ANSWER")
    answer_caller(pbx, caller)
    pbx.refresh(taken.endpoint)
    leg.update(exten=PICKUP)
    drop_leg(pbx, call, leg, 16, None, LegEndReason.ANSWERED_ELSEWHERE)
    aside.ends(CallEndReason.COMPLETED, pbx.now)
    pbx.bridge(taken, caller)
    taken.relink(caller.linkedid)
    yield from converse(pbx, call, Talk(taken, pbx.now, cause=None), "caller")


def phone_forward_302(pbx: Pbx, call: Call) -> Act:
    """The phone says 302: the PBX calls the number it names, over a Local channel."""
    agent = call.order.agent or some_agent(pbx)
    target = call.order.other or free_agent(pbx, besides=agent)
    caller = to_direct_number(pbx, call, agent)
    leg = begin_dial(
        pbx, call, agent.endpoint, agent.login, DIAL_SECONDS, priority=3, silent=False, caller=caller
    )
    pair = open_pair(pbx, target.extension, "internal", caller)
    one, two = pair.one, pair.two
    pbx.request_hangup(leg, *MOVED)
    pbx.identify(one, caller.dnid, None)
    pbx.connect(one, caller)
    two.connect(caller.dnid, None)
    pbx.identify(two, caller.number, caller.party)
    pbx.tell("NewConnectedLine", two)
    tell_pair(pbx, pair, optimizes=True)
    pbx.dial("DialEnd", caller, leg, f"Forward: {target.extension}\r\nDialStatus: CANCEL\r\n")
    pbx.dial("DialBegin", caller, one, f"DialString: {target.extension}@internal\r\n")
    drop_leg(pbx, call, leg, *MOVED, LegEndReason.TRANSFERRED)
    other = dial(pbx, call, target.endpoint, target.login, DIAL_SECONDS, priority=1, caller=two)
    pbx.connect(caller, other)
    ring_front(pbx, caller, pair, told=True)
    signal = yield Wait(Stage.RINGING, between(pbx, pbx.config.ring))
    if signal is not Signal.GO:
        collapse(pbx, call)
        return
    connect_dial(pbx, call, other, caller=two)
    pbx.set_state(one, 6)
    one.update(exten="")
    pbx.dial_end(caller, one, "ANSWER")
    answer_caller(pbx, caller)
    pbx.bridge(one, caller)
    optimize(pbx, pair, caller, two)
    yield from converse(pbx, call, Talk(other, pbx.now), "caller")
