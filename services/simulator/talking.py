"""A conversation, and how people leave it: hanging up, passing the caller on."""

from collections.abc import Generator

from services.simulator.call import Call, Signal, Stage, Wait
from services.simulator.channel import Channel
from services.simulator.dialling import cancel_dial, connect_dial, decline_dial, dial, ring_out_dial
from services.simulator.parts import Behaviour, Party, Talk, between, drop_leg, give_up_channel, run_h
from services.simulator.pbx import Pbx
from shared.contracts.call import (
    CallEndReason,
    Direction,
    LegEndReason,
    TransferOutcome,
)

DIAL_SECONDS = 20
"""How long an extension rings (the third argument of Dial() in the traces' dialplan)."""


def converse(
    pbx: Pbx, call: Call, talk: Talk, ended_by: Party, *, hold: bool = False
) -> Generator[Wait, Signal, None]:
    """Talk until somebody hangs up, then end the call."""
    seconds = between(pbx, pbx.config.talk)
    parts = 3 if hold else 1
    signal = yield Wait(Stage.ANSWERED, seconds / parts)
    if hold and signal is Signal.GO:
        pbx.hold(talk.leg, call.channel)
        call.truth.holds += 1
        signal = yield Wait(Stage.HELD, seconds / parts)
        pbx.unhold(talk.leg, call.channel)
        if signal is Signal.GO:
            signal = yield Wait(Stage.ANSWERED, seconds / parts)
    if signal is Signal.REDIRECT:
        yield from follow(pbx, call, talk, call.redirect_to, ended_by)
        return
    if signal is not Signal.GO:
        ended_by = "caller" if signal is Signal.CALLER_GONE else "agent"
    end_talk(pbx, call, talk, ended_by)


def end_talk(pbx: Pbx, call: Call, talk: Talk, ended_by: Party) -> None:
    """One end hangs up: both leave the bridge and are gone."""
    caller, leg = call.channel, call.front(talk.leg)
    if leg is not talk.leg and ended_by == "agent":
        hang_up_behind(pbx, call, talk.leg)
    by, other = (caller, leg) if ended_by == "caller" else (leg, caller)
    pbx.statistics(by, other)
    pbx.request_hangup(by, 16 if by is leg is not talk.leg else talk.cause)
    leave_agent(pbx, call, talk, ended_by)
    pbx.forget_peers(by, other)
    pbx.leave(by)
    pbx.leave(other)
    if pbx.config.noise:
        seconds = pbx.now - talk.began
        pbx.var(caller, "ANSWEREDTIME", int(seconds))
        pbx.var(caller, "ANSWEREDTIME_MS", int(seconds * 1000))
        pbx.var(caller, "DIALEDTIME", int(seconds + talk.waited))
        pbx.var(caller, "DIALEDTIME_MS", int((seconds + talk.waited) * 1000))
    pbx.soft_hangup(caller)
    if talk.queue is None:
        run_h(pbx, caller, 16, "ANSWER")
    pbx.cdr(caller, leg, talk.began, "ANSWERED")
    drop_leg(pbx, call, talk.leg, 16, None, LegEndReason.HANGUP)
    pbx.statistics(other)
    give_up_channel(pbx, call, 16)
    call.ends(CallEndReason.COMPLETED, pbx.now)


def hang_up_behind(pbx: Pbx, call: Call, leg: Channel) -> None:
    """The phone behind a Local channel hangs up: the half that called it ends, the other one is asked to."""
    pair = call.fronts[leg]
    pbx.request_hangup(leg, 16)
    pbx.leave(leg)
    pbx.leave(pair.two)
    pbx.soft_hangup(pair.two)
    pbx.hangup(pair.two, 16)


def cut_talk(pbx: Pbx, call: Call, talk: Talk) -> None:
    """Somebody ends the caller's channel by AMI: no end asked for it."""
    caller, leg = call.channel, talk.leg
    pbx.leave(caller)
    pbx.soft_hangup(caller)
    leave_agent(pbx, call, talk, "caller")
    pbx.leave(leg)
    drop_leg(pbx, call, leg, 16, None, LegEndReason.HANGUP)
    give_up_channel(pbx, call, 16)
    call.ends(CallEndReason.COMPLETED, pbx.now)


def leave_agent(pbx: Pbx, call: Call, talk: Talk, reason: str) -> None:
    """AgentComplete, if a queue brought the agent."""
    if talk.queue is None or talk.member is None:
        return
    seconds = pbx.now - talk.began
    extra = f"HoldTime: {int(talk.waited)}\r\nTalkTime: {int(seconds)}\r\nReason: {reason}\r\n"
    pbx.agent_event("AgentComplete", talk.queue, talk.member, call.channel, call.front(talk.leg), extra)
    talk.queue.count_talk(seconds)
    talk.member.in_call = 0
    pbx.completed(talk.member.interface)


def follow(pbx: Pbx, call: Call, talk: Talk, exten: str, ended_by: Party) -> Generator[Wait, Signal, None]:
    """The caller was taken away from the agent (AMI Redirect) and is put through to another extension."""
    caller, leg = call.channel, talk.leg
    pbx.run(caller, "Queue", caller.app_data, context="internal", exten=exten, priority=1)
    pbx.leave(caller)
    leave_agent(pbx, call, talk, "transfer")
    pbx.leave(leg)
    drop_leg(pbx, call, leg, 16, None, LegEndReason.TRANSFERRED)
    next_talk = yield from put_through(pbx, call, exten)
    if next_talk is not None:
        yield from converse(pbx, call, next_talk, ended_by)


def put_through(
    pbx: Pbx, call: Call, exten: str, behaviour: Behaviour = "answer"
) -> Generator[Wait, Signal, Talk | None]:
    """The dialplan calls the extension the caller was sent to (→ Talk), or the call is over (→ None)."""
    target = next((agent for agent in pbx.config.agents if agent.extension == exten), None)
    if target is None:  # nobody has this number: the dialplan hangs up
        caller = call.channel
        pbx.soft_hangup(caller)
        give_up_channel(pbx, call, 16)
        over_after_transfer(pbx, call, TransferOutcome.FAILED)
        return None
    leg = dial(pbx, call, target.endpoint, target.login, DIAL_SECONDS, priority=1)
    seconds = DIAL_SECONDS if behaviour == "ignore" else between(pbx, pbx.config.ring)
    signal = yield Wait(Stage.RINGING, seconds)
    if signal is Signal.CALLER_GONE:
        cancel_dial(pbx, call, leg)
        over_after_transfer(pbx, call, TransferOutcome.CANCELLED)
    elif signal is not Signal.GO or behaviour == "decline":
        decline_dial(pbx, call, leg, priority=1)
        over_after_transfer(pbx, call, TransferOutcome.REJECTED)
    elif behaviour == "ignore":
        ring_out_dial(pbx, call, leg, priority=1)
        over_after_transfer(pbx, call, TransferOutcome.NO_ANSWER)
    else:
        call.transfer_became(TransferOutcome.ANSWERED)
        return connect_dial(pbx, call, leg)
    return None


def over_after_transfer(pbx: Pbx, call: Call, outcome: TransferOutcome) -> None:
    """The call ended without a second talk; it was answered before."""
    call.transfer_became(outcome)
    call.ends(CallEndReason.COMPLETED, pbx.now)


def collapse(pbx: Pbx, call: Call, talk: Talk | None = None) -> None:
    """The caller hangs up in the middle of something: everybody stops ringing and talking at once."""
    caller, now = call.channel, pbx.now
    pbx.request_hangup(caller)
    if caller.held:
        pbx.unhold(talk.leg if talk else caller, caller)
    if talk is not None:
        leave_agent(pbx, call, talk, "caller")
    linked = {one.channel.linkedid for one in call.everything}
    channels = [one for one in pbx.channels.values() if one.linkedid in linked]
    for channel in channels:
        pbx.leave(channel)
    pbx.soft_hangup(caller)
    for channel in sorted(channels, key=lambda one: one is caller):  # the caller last
        pbx.hangup(channel, 16)
        pbx.refresh(channel.endpoint)
    call.transfer_became(TransferOutcome.CANCELLED)
    for one in call.everything:
        for leg in list(one.leg_channels):
            answered = one.leg(leg).answered_at is not None
            one.leg_ends(leg, LegEndReason.HANGUP if answered else LegEndReason.CANCELLED, now)
        if one.ended:
            continue
        if one.truth.answered_at is not None:
            one.ends(CallEndReason.COMPLETED, now)
        else:
            gave_up = one.truth.direction is Direction.INBOUND
            one.ends(CallEndReason.ABANDONED if gave_up else CallEndReason.NO_ANSWER, now)
