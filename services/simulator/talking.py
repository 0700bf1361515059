"""A conversation, and how people leave it: hanging up, passing the caller on."""

from collections.abc import Generator

from services.simulator.call import Call, Signal, Stage, Wait
from services.simulator.dialling import cancel_dial, connect_dial, dial
from services.simulator.packets import CALL, headers, packet
from services.simulator.parts import Party, Talk, between, drop_leg, give_up_channel, run_h
from services.simulator.pbx import Pbx
from shared.contracts.call import (
    CallEndReason,
    LegEndReason,
    TransferKind,
    TransferOutcome,
)


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
    caller, leg = call.channel, talk.leg
    by, other = (caller, leg) if ended_by == "caller" else (leg, caller)
    pbx.statistics(by, other)
    pbx.request_hangup(by, None if talk.queue else 16)
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
    drop_leg(pbx, call, leg, 16, None, LegEndReason.HANGUP)
    pbx.statistics(other)
    give_up_channel(pbx, call, 16)
    call.ends(CallEndReason.COMPLETED, pbx.now)


def leave_agent(pbx: Pbx, call: Call, talk: Talk, reason: str) -> None:
    """AgentComplete, if a queue brought the agent."""
    if talk.queue is None or talk.member is None:
        return
    seconds = pbx.now - talk.began
    extra = f"HoldTime: {int(talk.waited)}\r\nTalkTime: {int(seconds)}\r\nReason: {reason}\r\n"
    pbx.agent_event("AgentComplete", talk.queue, talk.member, call.channel, talk.leg, extra)
    talk.queue.count_talk(seconds)
    talk.member.in_call = 0
    pbx.completed(talk.member.interface)


def transfer_blind(
    pbx: Pbx, call: Call, talk: Talk, exten: str, ended_by: Party
) -> Generator[Wait, Signal, None]:
    """The agent passes the caller on by REFER, then hangs up at once."""
    caller, leg = call.channel, talk.leg
    bridge = leg.bridge
    assert bridge is not None
    pbx.unhold(leg, caller)  # Asterisk tells it though nobody held
    pbx.var(caller, "BLINDTRANSFER", leg.name)
    pbx.var(leg, "BLINDTRANSFER", caller.name)
    pbx.var(caller, "SIPTRANSFER", "yes")
    pbx.forget_peers(leg)
    body = (
        "Result: Success\r\n"
        + leg.render("Transferer")
        + caller.render("Transferee")
        + bridge.block
        + headers(("IsExternal", "Yes"), ("Context", "internal"), ("Extension", exten))
    )
    pbx.out.append(packet("BlindTransfer", CALL, body, caller.uniqueid))
    call.transferred(TransferKind.BLIND, leg.endpoint, exten, pbx.now)
    yield from follow(pbx, call, talk, exten, ended_by)


def follow(pbx: Pbx, call: Call, talk: Talk, exten: str, ended_by: Party) -> Generator[Wait, Signal, None]:
    """The caller leaves the agent and is put through to another extension."""
    caller, leg = call.channel, talk.leg
    target = next((agent for agent in pbx.config.agents if agent.extension == exten), None)
    pbx.run(caller, "Queue", caller.app_data, context="internal", exten=exten, priority=1)
    pbx.leave(caller)
    leave_agent(pbx, call, talk, "transfer")
    pbx.leave(leg)
    drop_leg(pbx, call, leg, 16, None, LegEndReason.TRANSFERRED)
    if target is None:  # nobody has this number: the dialplan hangs up
        pbx.soft_hangup(caller)
        pbx.cdr(caller, leg, talk.began, "ANSWERED")
        give_up_channel(pbx, call, 16)
        call.transfer_became(TransferOutcome.FAILED)
        call.ends(CallEndReason.COMPLETED, pbx.now)
        return
    new_leg = dial(pbx, call, target.endpoint, target.login, 20, priority=1)
    signal = yield Wait(Stage.RINGING, between(pbx, pbx.config.ring))
    if signal is not Signal.GO:
        cancel_dial(pbx, call, new_leg)
        call.transfer_became(TransferOutcome.CANCELLED)
        call.ends(CallEndReason.COMPLETED, pbx.now)
        return
    call.transfer_became(TransferOutcome.ANSWERED)
    yield from converse(pbx, call, connect_dial(pbx, call, new_leg), ended_by)
