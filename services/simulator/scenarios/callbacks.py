"""Click-to-call and callbacks: AMI Originate, the agent's phone first."""

from services.simulator.call import Act, Call, Signal, Stage, Wait
from services.simulator.config import SimAgent, SimCaller
from services.simulator.dialling import dial
from services.simulator.packets import CALL, headers, packet
from services.simulator.parts import BUSY_HERE, between, give_up_channel
from services.simulator.pbx import Pbx
from services.simulator.scenarios.phones import OUTSIDE_NUMBER, dial_outside, free_agent, ring_phone
from shared.contracts.call import (
    CallEndReason,
    Direction,
    LegEndReason,
)


def callback_originate(pbx: Pbx, call: Call) -> Act:
    """AMI Originate: the agent's phone rings first, then the customer is dialled."""
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
    busy = pbx.devices[agent.endpoint].channels > 1
    pbx.run(channel, "AppDial2", "(Outgoing Line)")
    pbx.identify(channel, shown.number, shown.name or agent.name)
    channel.connect(shown.number, shown.name)
    pbx.tell("NewConnectedLine", channel)
    pbx.dial("DialBegin", None, channel, f"DialString: {agent.login}\r\n")
    pbx.set_state(channel, 5)
    pbx.dial("DialState", None, channel, "DialStatus: RINGING\r\n")
    pbx.refresh(channel.endpoint)
    # The agent asked for this call, so he picks up well before Originate's timeout.
    signal = yield Wait(Stage.RINGING, min(between(pbx, pbx.config.ring), 0.9 * call.order.timeout))
    if signal is not Signal.GO or busy:
        pbx.request_hangup(channel, *BUSY_HERE)
        pbx.dial_end(None, channel, "BUSY")
        originate_response(pbx, call, agent, shown, number, reason=0)
        give_up_channel(pbx, call, *BUSY_HERE, LegEndReason.BUSY)
        call.ends(CallEndReason.BUSY, pbx.now)
        return
    pbx.set_state(channel, 6)
    true_leg.answered_at = pbx.now  # the agent; the call is answered when the customer answers
    originate_response(pbx, call, agent, shown, number, reason=4)
    pbx.refresh(channel.endpoint)
    pbx.dial_end(None, channel, "ANSWER")
    channel.update(exten=number)
    colleague = next((one for one in pbx.config.agents if one.extension == number), None)
    if colleague is not None:
        leg = dial(pbx, call, colleague.endpoint, colleague.login, 20, priority=1)
    else:
        leg = dial_outside(pbx, call, channel, number, silent=True)
    yield from ring_phone(pbx, call, leg, "answer", priority=5, ended_by="agent")


def originate_response(
    pbx: Pbx, call: Call, agent: SimAgent, shown: SimCaller, number: str, *, reason: int
) -> None:
    """What became of an asynchronous Originate; in the event stream, found by its ActionID."""
    success = reason == 4
    pairs = [
        ("Response", "Success" if success else "Failure"),
        ("Channel", call.channel.name if success else agent.endpoint),
        ("Context", "internal"),
        ("Exten", number),
        ("Reason", str(reason)),
        ("Uniqueid", call.channel.uniqueid if success else "<unknown>"),
        ("CallerIDNum", shown.number or "<unknown>"),
        ("CallerIDName", shown.name or "<unknown>"),
    ]
    if call.order.action_id:
        pairs.insert(0, ("ActionID", call.order.action_id))
    pbx.out.append(packet("OriginateResponse", CALL, headers(*pairs), call.channel.uniqueid))
