"""Click-to-call and callbacks: AMI Originate, the agent's phone first, then the customer."""

from collections.abc import Generator
from typing import Literal

from services.simulator.call import Act, Call, Signal, Stage, Wait
from services.simulator.channel import Channel
from services.simulator.config import SimAgent, SimCaller
from services.simulator.dialling import connect_dial, dial
from services.simulator.local import open_pair, ring_front, tell_pair
from services.simulator.packets import CALL, headers, packet
from services.simulator.parts import BUSY_HERE, between, give_up_channel
from services.simulator.pbx import Pbx
from services.simulator.scenarios.phones import OUTSIDE_NUMBER, dial_outside, free_agent, ring_phone
from services.simulator.talking import DIAL_SECONDS, collapse
from shared.contracts.call import CallEndReason, Direction, LegEndReason

Reply = Literal["answer", "busy", "ignore"]
REASONS = {"busy": 0, "ignore": 3, "answer": 4}
"""`Reason` of OriginateResponse; 0 is what Asterisk 22 writes for a phone that is busy."""


def callback_originate(pbx: Pbx, call: Call) -> Act:
    """Both answer."""
    return callback(pbx, call)


def callback_agent_busy(pbx: Pbx, call: Call) -> Act:
    """The agent's phone is busy: nobody is called."""
    return callback(pbx, call, agent_does="busy")


def callback_agent_no_answer(pbx: Pbx, call: Call) -> Act:
    """The agent does not pick up until Originate's time is over."""
    return callback(pbx, call, agent_does="ignore")


def callback_client_busy(pbx: Pbx, call: Call) -> Act:
    """The agent picks up, the customer's phone is busy."""
    return callback(pbx, call, client_does="busy")


def callback_client_no_answer(pbx: Pbx, call: Call) -> Act:
    """The agent picks up, the customer does not."""
    return callback(pbx, call, client_does="ignore")


def callback(pbx: Pbx, call: Call, *, agent_does: Reply = "answer", client_does: Reply = "answer") -> Act:
    """The agent's phone rings first, then the customer is dialled."""
    agent = call.order.agent or free_agent(pbx)
    number = call.order.did or OUTSIDE_NUMBER
    shown = call.order.caller or SimCaller(number)
    channel = pbx.new_channel(
        agent.endpoint,
        0,
        number=agent.extension,
        party=agent.name,
        context="internal",
        exten="s",
        uniqueid=call.order.uniqueid,
    )
    call.begin(channel, Direction.OUTBOUND, number, pbx.now)
    true_leg = call.rings(channel, pbx.now)
    if pbx.devices[agent.endpoint].channels > 1:
        agent_does = "busy"
    pbx.run(channel, "AppDial2", "(Outgoing Line)")
    pbx.identify(channel, shown.number, shown.name or agent.name)
    channel.connect(shown.number, shown.name)
    pbx.tell("NewConnectedLine", channel)
    pbx.dial("DialBegin", None, channel, f"DialString: {agent.login}\r\n")
    if "busy" in (agent_does, client_does):  # the recordings have both orders
        pbx.dial("DialState", None, channel, "DialStatus: RINGING\r\n")
        pbx.set_state(channel, 5)
    else:
        pbx.set_state(channel, 5)
        pbx.dial("DialState", None, channel, "DialStatus: RINGING\r\n")
    pbx.refresh(channel.endpoint)
    # The agent asked for this call, so he picks up well before Originate's timeout.
    soon = min(between(pbx, pbx.config.ring), 0.9 * call.order.timeout)
    signal = yield Wait(Stage.RINGING, call.order.timeout if agent_does == "ignore" else soon)
    if signal is not Signal.GO:
        agent_does = "busy"
    if agent_does != "answer":
        agent_fails(pbx, call, agent, shown, number, agent_does)
        return
    pbx.set_state(channel, 6)
    true_leg.answered_at = pbx.now  # the agent; the call is answered when the customer answers
    originate_response(pbx, call, agent.endpoint, shown, number, "answer")
    pbx.refresh(channel.endpoint)
    pbx.dial_end(None, channel, "ANSWER")
    channel.update(exten=number)
    leg = dial_number(pbx, call, channel, number)
    yield from ring_phone(pbx, call, leg, client_does, priority=5, ended_by="agent")


def agent_fails(
    pbx: Pbx, call: Call, agent: SimAgent, shown: SimCaller, number: str, agent_does: Reply
) -> None:
    """The agent's phone was busy, or rang in vain."""
    busy = agent_does == "busy"
    if busy:
        pbx.request_hangup(call.channel, *BUSY_HERE)
        pbx.dial_end(None, call.channel, "BUSY")
    originate_response(pbx, call, agent.endpoint, shown, number, agent_does)
    cause, tech = BUSY_HERE if busy else (19, 480)
    give_up_channel(pbx, call, cause, tech, LegEndReason.BUSY if busy else LegEndReason.NO_ANSWER)
    call.ends(CallEndReason.BUSY if busy else CallEndReason.NO_ANSWER, pbx.now)


def dial_number(pbx: Pbx, call: Call, channel: Channel, number: str) -> Channel:
    """The dialplan at the agent's end: a colleague's phone, or the outside."""
    colleague = next((one for one in pbx.config.agents if one.extension == number), None)
    if colleague is not None:
        return dial(pbx, call, colleague.endpoint, colleague.login, DIAL_SECONDS, priority=1, caller=channel)
    return dial_outside(pbx, call, channel, number, silent=True)


def originate_response(pbx: Pbx, call: Call, asked: str, shown: SimCaller, number: str, reply: Reply) -> None:
    """What became of an asynchronous Originate; in the event stream, found by its ActionID."""
    success = reply == "answer"
    pairs = [
        ("Response", "Success" if success else "Failure"),
        ("Channel", call.channel.name if success else asked),
        ("Context", "internal"),
        ("Exten", number),
        ("Reason", str(REASONS[reply])),
        ("Uniqueid", call.channel.uniqueid if success else "<unknown>"),
        ("CallerIDNum", shown.number or "<unknown>"),
        ("CallerIDName", shown.name or "<unknown>"),
    ]
    if call.order.action_id:
        pairs.insert(0, ("ActionID", call.order.action_id))
    pbx.out.append(packet("OriginateResponse", CALL, headers(*pairs), call.channel.uniqueid))


def callback_local_channel(pbx: Pbx, call: Call) -> Act:
    """Originate to Local/101@internal: the dialplan calls the agent's phone, both answer."""
    agent = call.order.agent or free_agent(pbx)
    number = call.order.did or OUTSIDE_NUMBER
    shown = call.order.caller or SimCaller(number)
    pair = open_pair(pbx, agent.extension, "internal", None)
    one, two = pair.one, pair.two
    call.begin(one, Direction.OUTBOUND, number, pbx.now)
    call.truth.number = agent.extension  # whose call it is: the Local channel is nobody
    pbx.identify(one, shown.number, shown.name)
    one.connect(shown.number, shown.name)
    pbx.tell("NewConnectedLine", one)
    two.connect(shown.number, shown.name)
    pbx.identify(two, shown.number, shown.name)
    pbx.tell("NewConnectedLine", two)
    tell_pair(pbx, pair, optimizes=True)
    pbx.dial("DialBegin", None, one, f"DialString: {agent.extension}@internal\r\n")
    phone = dial(pbx, call, agent.endpoint, agent.login, DIAL_SECONDS, priority=1, caller=two)
    ring_front(pbx, None, pair, told=True)
    signal = yield Wait(Stage.RINGING, between(pbx, pbx.config.ring))
    if signal is not Signal.GO:
        collapse(pbx, call)
        return
    call.leg(phone).answered_at = pbx.now
    connect_dial(pbx, call, phone, caller=two)
    call.truth.answered_at = call.truth.answered_by = None  # the agent; the customer is called now
    originate_response(pbx, call, one.endpoint, shown, number, "answer")
    pbx.set_state(one, 6)
    pbx.dial_end(None, one, "ANSWER")
    yield from then_customer(pbx, call, phone, two, number)


def then_customer(
    pbx: Pbx, call: Call, phone: Channel, two: Channel, number: str
) -> Generator[Wait, Signal, None]:
    """The other half of the Local channel calls the customer; the agent hangs up in the end."""
    one = call.channel
    leg = dial_outside(pbx, call, one, number, silent=True)
    signal = yield Wait(Stage.RINGING, between(pbx, pbx.config.ring))
    if signal is not Signal.GO:
        collapse(pbx, call)
        return
    connect_dial(pbx, call, leg)
    signal = yield Wait(Stage.ANSWERED, between(pbx, pbx.config.talk))
    if signal is not Signal.GO:
        collapse(pbx, call)
        return
    pbx.request_hangup(phone, 16)
    pbx.leave(phone)
    pbx.leave(two)
    pbx.soft_hangup(two)
    pbx.request_hangup(one, 16)
    pbx.hangup(two, 16)
    pbx.hangup(phone, 16)
    pbx.refresh(phone.endpoint)
    pbx.leave(one)
    pbx.soft_hangup(one)
    pbx.hangup(one, 16)
    pbx.leave(leg)
    pbx.hangup(leg, 16)
    pbx.refresh(leg.endpoint)
    for end in (phone, leg):
        call.leg_ends(end, LegEndReason.HANGUP, pbx.now)
    call.ends(CallEndReason.COMPLETED, pbx.now)
