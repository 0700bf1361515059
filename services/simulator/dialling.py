"""Dial(): one phone or the trunk rings, and what becomes of it."""

from services.simulator.call import Call
from services.simulator.channel import Channel
from services.simulator.parts import (
    BUSY_HERE,
    CANCELLED,
    DECLINED,
    Talk,
    answer_caller,
    drop_leg,
    give_up_channel,
    run_h,
)
from services.simulator.pbx import DIAL_RESETS, Pbx
from shared.contracts.call import (
    LegEndReason,
)


def dial(
    pbx: Pbx,
    call: Call,
    endpoint: str,
    target: str,
    limit: int,
    *,
    priority: int,
    silent: bool = False,
    caller: Channel | None = None,
) -> Channel:
    """Dial() one phone or the trunk; it rings when this returns.

    target: the dial string without its technology (`agent101`, `+79…@trunk`). silent: the caller is not told whom
    he is connected to (callbacks). caller: the channel that dials, if it is not the call's first.
    """
    caller = caller or call.channel
    leg = begin_dial(pbx, call, endpoint, target, limit, priority=priority, silent=silent, caller=caller)
    ring_dialled(pbx, caller, leg)
    return leg


def begin_dial(
    pbx: Pbx,
    call: Call,
    endpoint: str,
    target: str,
    limit: int,
    *,
    priority: int,
    silent: bool,
    caller: Channel,
) -> Channel:
    """The INVITE is sent; the phone has not said anything yet."""
    agent = pbx.devices[endpoint].agent
    tail = f"{endpoint.partition('/')[0]}/{target},{limit},tT"
    pbx.run(caller, "Dial", tail, priority=priority)
    pbx.clear(caller, DIAL_RESETS)
    context = "internal" if agent else "from-pstn"
    leg = pbx.new_channel(
        endpoint,
        0,
        number=agent.extension if agent else None,
        party=agent.name if agent else None,
        context=context,
        exten="s",
        linked_to=caller,
    )
    pbx.var(leg, "DIALEDPEERNUMBER", target)
    call.rings(leg, pbx.now)
    leg.connect(caller.number, caller.party)
    if agent:
        pbx.run(leg, "AppDial", "(Outgoing Line)", exten=caller.exten)
    else:
        number = target.partition("@")[0]
        leg.identify(number, caller.connected_name)  # Dial() hands on what the caller knows of the other end
        pbx.run(leg, "AppDial", "(Outgoing Line)", exten=number)
        pbx.identify(leg, number, caller.connected_name)
    if leg.connected_number is not None:
        pbx.tell("NewConnectedLine", leg)
    pbx.dial("DialBegin", caller, leg, f"DialString: {target}\r\n")
    if not silent:
        pbx.connect(caller, leg)
    return leg


def ring_dialled(pbx: Pbx, caller: Channel, leg: Channel) -> None:
    """The phone says 180 Ringing."""
    pbx.set_state(leg, 5)
    pbx.refresh(leg.endpoint)
    pbx.var(caller, "RINGTIME", 0)
    pbx.var(caller, "RINGTIME_MS", 1)
    pbx.refresh(caller.endpoint)
    pbx.dial("DialState", caller, leg, "DialStatus: RINGING\r\n")


def connect_dial(pbx: Pbx, call: Call, leg: Channel, caller: Channel | None = None) -> Talk:
    """The dialled end answers. caller: the channel that dialled, if it is not the call's first."""
    caller = caller or call.channel
    pbx.set_state(leg, 6)
    call.answers(leg, pbx.now)
    pbx.var(caller, "DIALSTATUS", "ANSWER")
    pbx.var(caller, "DIALEDPEERNAME", leg.name)
    leg.update(exten="")
    pbx.dial_end(caller, leg, "ANSWER")
    if caller.state != 6:
        answer_caller(pbx, caller)
    pbx.refresh(leg.endpoint)
    pbx.bridge(leg, caller)
    return Talk(leg, pbx.now)


def decline_dial(pbx: Pbx, call: Call, leg: Channel, priority: int) -> None:
    """The dialled end declines; the dialplan lets the caller go."""
    caller = call.channel
    pbx.request_hangup(leg, *DECLINED)
    pbx.dial_end(caller, leg, "NOANSWER")
    drop_leg(pbx, call, leg, *DECLINED, LegEndReason.REJECTED)
    unanswered(pbx, call, leg, priority)


def ring_out_dial(pbx: Pbx, call: Call, leg: Channel, priority: int) -> None:
    """The dialled end lets it ring until the time is over; the dialplan lets the caller go."""
    pbx.dial_end(call.channel, leg, "NOANSWER")
    drop_leg(pbx, call, leg, 16, None, LegEndReason.NO_ANSWER)
    unanswered(pbx, call, leg, priority)


def unanswered(pbx: Pbx, call: Call, leg: Channel, priority: int) -> None:
    """What follows Dial() in the dialplan where nobody answered: Hangup(19)."""
    caller = call.channel
    pbx.var(caller, "DIALSTATUS", "NOANSWER")
    pbx.run(caller, "Hangup", "19", priority=priority + 2)
    pbx.soft_hangup(caller)
    run_h(pbx, caller, 19, "NOANSWER")
    pbx.cdr(caller, leg, None, "NO ANSWER")
    give_up_channel(pbx, call, 19, 480)


UNREACHABLE = (34, 503)
"""Q.850 cause and SIP answer of a trunk that is down."""


def fail_dial(pbx: Pbx, call: Call, leg: Channel, priority: int) -> None:
    """The dialled end cannot be reached at all; it never rang."""
    caller = call.channel
    pbx.request_hangup(leg, *UNREACHABLE)
    pbx.dial_end(caller, leg, "CONGESTION")
    drop_leg(pbx, call, leg, *UNREACHABLE, LegEndReason.FAILED)
    pbx.var(caller, "DIALSTATUS", "CONGESTION")
    pbx.run(caller, "Hangup", "34", priority=priority + 3)
    pbx.soft_hangup(caller)
    pbx.cdr(caller, leg, None, "FAILED")
    give_up_channel(pbx, call, *UNREACHABLE)


def cancel_dial(pbx: Pbx, call: Call, leg: Channel) -> None:
    """The end that dials gives up while the other one rings."""
    caller = call.channel
    pbx.request_hangup(caller, *CANCELLED)
    pbx.dial_end(caller, leg, "CANCEL")
    pbx.var(caller, "DIALSTATUS", "CANCEL")
    pbx.soft_hangup(caller, CANCELLED[1])
    run_h(pbx, caller, 127, "CANCEL")
    drop_leg(pbx, call, leg, 127, 500, LegEndReason.CANCELLED)
    pbx.cdr(caller, leg, None, "NO ANSWER")
    give_up_channel(pbx, call, *CANCELLED)


def refuse_dial(pbx: Pbx, call: Call, leg: Channel, priority: int) -> None:
    """The dialled end is busy: so is the one who dials."""
    caller = call.channel
    pbx.request_hangup(leg, *BUSY_HERE)
    pbx.dial_end(caller, leg, "BUSY")
    drop_leg(pbx, call, leg, *BUSY_HERE, LegEndReason.BUSY)
    pbx.var(caller, "DIALSTATUS", "BUSY")
    pbx.run(caller, "GotoIf", "1?busy", priority=priority + 1)
    pbx.run(caller, "Busy", "1", priority=priority + 3)
    if caller.state == 6:  # one who was answered hears the tone; no SIP answer can tell him any more
        pbx.soft_hangup(caller)
    else:
        pbx.set_state(caller, 7)
        pbx.refresh(caller.endpoint)
        pbx.request_hangup(caller, *BUSY_HERE)
        pbx.soft_hangup(caller, BUSY_HERE[1])
    run_h(pbx, caller, 17, "BUSY")
    pbx.cdr(caller, leg, None, "BUSY")
    give_up_channel(pbx, call, *BUSY_HERE)
