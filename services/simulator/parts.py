"""What calls are made of: an arrival, a stay in a queue, a Dial, a conversation, its end. Scenarios put them together.

Each part writes the events in the order the recorded traces have them.
"""

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal

from services.simulator.call import Call, Signal, Stage, Wait
from services.simulator.channel import Channel
from services.simulator.config import Seconds, SimCaller
from services.simulator.packets import CALL, headers, packet
from services.simulator.pbx import DIAL_RESETS, QUEUE_RESETS, Pbx
from services.simulator.queues import Member, Queue, QueueEntry
from shared.contracts.call import (
    CallEndReason,
    Direction,
    LegEndReason,
    QueueOutcome,
    TransferKind,
    TransferOutcome,
)

Behaviour = Literal["answer", "ignore", "decline"]
Party = Literal["caller", "agent"]
"""Who hangs up: the end that began the call, or the called one (in a queue call an agent)."""

RETRY_PAUSE = 1.0
"""Seconds between two attempts of a queue (`retry` of queues.conf)."""

PLAYBACK_SECONDS = 2.8
"""Length of the announcement vm-nobodyavail in the traces."""

CANCELLED, DECLINED, BUSY_HERE = (127, 487), (21, 603), (17, 486)
"""Q.850 cause and SIP answer of a call the caller cancelled, a declined and a busy phone."""


@dataclass(frozen=True, slots=True)
class Script:
    """How people behave in one queue call.

    behaviours: of whom rings first, second …; the last one goes on for ever. patience: the caller gives up after so
    many seconds; None: waits as long as the queue lets him. max_wait: instead of the queue's own limit.
    """

    behaviours: tuple[Behaviour, ...] = ("answer",)
    patience: Seconds | None = None
    max_wait: float | None = None

    def behaviour(self, attempt: int) -> Behaviour:
        return self.behaviours[min(attempt, len(self.behaviours) - 1)]


@dataclass(frozen=True, slots=True)
class Talk:
    """An answered call. queue and member: None where no queue took part. rung_at … : for HoldTime and TalkTime."""

    leg: Channel
    began: float
    queue: Queue | None = None
    member: Member | None = None
    waited: float = 0.0


def between(pbx: Pbx, seconds: Seconds) -> float:
    """A time drawn evenly from a range."""
    return pbx.rng.uniform(*seconds)


# ---- arrival ---------------------------------------------------------------------------------------------------------


def caller_of(pbx: Pbx, call: Call) -> SimCaller:
    """Who calls: as ordered, else anybody."""
    return call.order.caller or pbx.rng.choice(pbx.config.callers)


def arrive(pbx: Pbx, call: Call, did: str, caller: SimCaller) -> Channel:
    """A call comes in on the trunk."""
    channel = pbx.new_channel(
        pbx.config.trunk,
        4,
        number=caller.number,
        party=caller.name,
        context="from-pstn",
        exten=did,
        uniqueid=call.order.uniqueid,
    )
    channel.dnid = did
    call.begin(channel, Direction.INBOUND, did, pbx.now)
    pbx.var(channel, "SIPDOMAIN", "127.0.0.1")
    return channel


def answer_caller(pbx: Pbx, channel: Channel) -> None:
    """The dialplan answers: Up."""
    pbx.set_state(channel, 6)
    pbx.refresh(channel.endpoint)


def give_up_channel(
    pbx: Pbx, call: Call, cause: int, tech: int | None = None, leg: LegEndReason = LegEndReason.HANGUP
) -> None:
    """The first channel ends; with `leg`, if it is a phone that rang (a callback's)."""
    channel = call.channel
    pbx.hangup(channel, cause, tech)
    if channel in call.leg_channels:
        call.leg_ends(channel, leg, pbx.now)
    pbx.refresh(channel.endpoint)


# ---- queue -----------------------------------------------------------------------------------------------------------


def stay_in_queue(pbx: Pbx, call: Call, name: str, script: Script) -> Generator[Wait, Signal, Talk | None]:
    """Wait in a queue until somebody answers (→ Talk) or the call is over (→ None)."""
    queue, caller = pbx.queues[name], call.channel
    call.queues(name)
    limit = queue.config.max_wait if script.max_wait is None else script.max_wait
    pbx.record(caller, 1, context=f"q-{name}")
    options = "tT" if queue.config.announce else "rtT"
    pbx.run(caller, "Queue", f"{name},{options},,,{limit:g}", priority=2)
    pbx.clear(caller, QUEUE_RESETS)
    entry = pbx.join(name, caller)
    if call.order.agent is not None:
        entry.next_member = place_of(queue, call.order.agent.endpoint)
    if queue.config.announce:
        pbx.tell("MusicOnHoldStart", caller, "Class: default\r\n")
    pbx.refresh(caller.endpoint)
    leaves_at = entry.joined + limit
    gives_up_at = entry.joined + between(pbx, script.patience) if script.patience else math.inf
    attempt = 0
    while True:
        if pbx.now >= min(gives_up_at, leaves_at):
            if gives_up_at <= leaves_at:
                abandon_queue(pbx, call, queue, entry, [])
            else:
                yield from time_out(pbx, call, queue, entry)
            return None
        members = queue.pick(entry, pbx.is_free)
        if not members:
            signal = yield Wait(Stage.QUEUED, min(gives_up_at, leaves_at) - pbx.now, queue=name)
            if signal is Signal.FREE:
                continue
            if signal is Signal.GO and leaves_at < gives_up_at:
                yield from time_out(pbx, call, queue, entry)
            else:
                abandon_queue(pbx, call, queue, entry, [])
            return None
        legs = [(member, call_member(pbx, call, queue, member)) for member in members]
        for _, leg in legs:
            start_ringing(pbx, call, leg, app="AppQueue")
        began = pbx.now
        behaviour = script.behaviour(attempt)
        attempt += 1
        seconds, event = next_event(
            pbx, call, queue, behaviour, gives_up_at, leaves_at, limited=script.max_wait is not None
        )
        signal = yield Wait(Stage.RINGING, seconds)
        while signal is Signal.LEG_GONE and len(legs) > 1:  # one phone of several; the others ring on
            gone = next(pair for pair in legs if pair[1] is call.gone)
            legs.remove(gone)
            decline(pbx, call, queue, [gone])
            signal = yield Wait(Stage.RINGING, began + seconds - pbx.now)
        if signal is Signal.CALLER_GONE:
            event = "give up"
        elif signal is not Signal.GO:
            event = "decline"
        if event == "answer":
            winner = who_answers(pbx, call, [member for member, _ in legs])
            return pick_up(pbx, call, queue, entry, legs, winner, began)
        if event == "give up":
            abandon_queue(pbx, call, queue, entry, [leg for _, leg in legs])
            return None
        if event == "decline":
            decline(pbx, call, queue, legs)
        elif event == "time out":
            for _, leg in legs:
                pbx.dial_end(caller, leg, "CANCEL")
                drop_leg(pbx, call, leg, 0, None, LegEndReason.CANCELLED)
            yield from time_out(pbx, call, queue, entry)
            return None
        else:
            ring_out(pbx, call, queue, legs, began)
        yield Wait(None, min(RETRY_PAUSE, gives_up_at - pbx.now, leaves_at - pbx.now))


def next_event(
    pbx: Pbx,
    call: Call,
    queue: Queue,
    behaviour: Behaviour,
    gives_up_at: float,
    leaves_at: float,
    *,
    limited: bool,
) -> tuple[float, str]:
    """What ends this ringing, and in how many seconds; in manual pace, what the script means at once."""
    limit = queue.config.ring_seconds
    # People who will answer do so before the attempt is over, however short the queue rings.
    answer_in = min(between(pbx, pbx.config.ring), 0.9 * limit)
    if call.manual:
        if behaviour != "ignore":
            return 0.0, behaviour
        if gives_up_at < math.inf:
            return 0.0, "give up"
        return 0.0, "time out" if limited else "ring out"
    options = [(limit, "ring out"), (gives_up_at - pbx.now, "give up"), (leaves_at - pbx.now, "time out")]
    if behaviour != "ignore":
        options.append((answer_in, behaviour))
    return min(options)


def place_of(queue: Queue, endpoint: str) -> int:
    """Where in the queue's list a phone stands; 0 if nowhere."""
    for place, member in enumerate(queue.members):
        if member.state_interface == endpoint:
            return place
    return 0


def who_answers(pbx: Pbx, call: Call, members: list[Member]) -> Member:
    """Of several ringing phones: the ordered one, else anybody's."""
    if call.order.agent is not None:
        for member in members:
            if member.state_interface == call.order.agent.endpoint:
                return member
    return pbx.rng.choice(members)


def call_member(pbx: Pbx, call: Call, queue: Queue, member: Member) -> Channel:
    """The queue dials an agent: a new leg, AgentCalled, DialBegin."""
    caller = call.channel
    agent = pbx.devices[member.state_interface].agent
    assert agent is not None
    leg = pbx.new_channel(
        agent.endpoint,
        0,
        number=agent.extension,
        party=agent.name,
        context="internal",
        exten="s",
        linked_to=caller,
    )
    pbx.var(leg, "DIALEDPEERNUMBER", agent.login)
    call.rings(leg, pbx.now)
    leg.connect(caller.number, caller.party)
    pbx.agent_event("AgentCalled", queue, member, caller, leg)
    leg.connect(None, None)  # DialBegin does not show the connected line yet
    pbx.dial("DialBegin", caller, leg, f"DialString: {member.interface}\r\n")
    leg.connect(caller.number, caller.party)
    if queue.config.strategy != "ringall":
        pbx.connect(caller, leg)
    return leg


def start_ringing(pbx: Pbx, call: Call, leg: Channel, app: str) -> None:
    """The phone says 180 Ringing."""
    pbx.set_state(leg, 5)
    if app == "AppQueue":
        pbx.run(leg, app, "(Outgoing Line)")
        if leg.connected_number is not None:
            pbx.tell("NewConnectedLine", leg)
    pbx.refresh(leg.endpoint)
    pbx.dial("DialState", call.channel, leg, "DialStatus: RINGING\r\n")


def pick_up(
    pbx: Pbx,
    call: Call,
    queue: Queue,
    entry: QueueEntry,
    legs: list[tuple[Member, Channel]],
    winner: Member,
    began: float,
) -> Talk:
    """One of the ringing agents answers; the others stop ringing, answered elsewhere."""
    caller, now = call.channel, pbx.now
    leg = next(channel for member, channel in legs if member is winner)
    losers = [channel for member, channel in legs if member is not winner]
    pbx.set_state(leg, 6)
    call.answers(leg, now)
    pbx.dial_end(caller, leg, "ANSWER")
    for loser in losers:
        pbx.dial_end(caller, loser, "CANCEL")
    if queue.config.strategy == "ringall":
        pbx.connect(caller, leg)
    for loser in losers:  # app_queue tells it a second time when it cleans up
        pbx.dial_end(caller, loser, "CANCEL")
    pbx.refresh(leg.endpoint)
    if queue.config.announce:
        pbx.tell("MusicOnHoldStop", caller)
    waited = now - entry.joined
    if pbx.config.noise:
        name_member(pbx, caller, leg, winner, entry, int(waited))
    pbx.leave_queue(queue, entry)
    call.leaves_queue(QueueOutcome.ANSWERED)
    queue.count_answer(waited)
    pbx.var(caller, "QUEUEWAIT", int(waited))
    pbx.var(caller, "QUEUEWAIT_MS", int(waited * 1000))
    winner.in_call = 1
    extra = f"HoldTime: {int(waited)}\r\nRingTime: {int(now - began)}\r\n"
    pbx.agent_event("AgentConnect", queue, winner, caller, leg, extra)
    for loser in losers:
        drop_leg(pbx, call, loser, 26, None, LegEndReason.ANSWERED_ELSEWHERE)
    if caller.state != 6:
        answer_caller(pbx, caller)
    pbx.bridge(leg, caller)
    return Talk(leg, now, queue, winner, waited)


def name_member(
    pbx: Pbx, caller: Channel, leg: Channel, member: Member, entry: QueueEntry, waited: int
) -> None:
    """setinterfacevar and setqueueentryvar of queues.conf: 18 variables nobody asked for."""
    values = (
        ("MEMBERINTERFACE", member.interface),
        ("MEMBERNAME", member.name),
        ("MEMBERCALLS", member.calls_taken),
        ("MEMBERLASTCALL", member.last_call),
        ("MEMBERPENALTY", member.penalty),
        ("MEMBERDYNAMIC", int(member.dynamic)),
        ("MEMBERREALTIME", 0),
    )
    stay = (("QEHOLDTIME", waited), ("QEORIGINALPOS", entry.position))
    for group in (values, stay):
        for channel in (caller, leg):
            for name, value in group:
                pbx.var(channel, name, value)


def drop_leg(pbx: Pbx, call: Call, leg: Channel, cause: int, tech: int | None, reason: LegEndReason) -> None:
    """A phone stops ringing."""
    pbx.hangup(leg, cause, tech)
    call.leg_ends(leg, reason, pbx.now)
    pbx.refresh(leg.endpoint)


def ring_out(pbx: Pbx, call: Call, queue: Queue, legs: list[tuple[Member, Channel]], began: float) -> None:
    """Nobody picked up in time: the attempt is over, the caller waits on."""
    caller = call.channel
    pbx.rtcp(caller)
    for member, leg in legs:
        extra = f"RingTime: {int((pbx.now - began) * 1000)}\r\n"
        pbx.agent_event("AgentRingNoAnswer", queue, member, caller, leg, extra)
        pbx.dial_end(caller, leg, "NOANSWER")
    for _, leg in legs:
        pbx.dial_end(caller, leg, "CANCEL")
        drop_leg(pbx, call, leg, 0, None, LegEndReason.NO_ANSWER)


def decline(pbx: Pbx, call: Call, queue: Queue, legs: list[tuple[Member, Channel]]) -> None:
    """The agents press the red button: DialEnd says NOANSWER, only the cause tells."""
    caller = call.channel
    for member, leg in legs:
        pbx.request_hangup(leg, *DECLINED)
        pbx.dial_end(caller, leg, "NOANSWER")
        pbx.agent_event("AgentRingNoAnswer", queue, member, caller, leg, "RingTime: 0\r\n")
        drop_leg(pbx, call, leg, *DECLINED, LegEndReason.REJECTED)


def abandon_queue(pbx: Pbx, call: Call, queue: Queue, entry: QueueEntry, legs: list[Channel]) -> None:
    """The caller gives up, waiting or ringing."""
    caller = call.channel
    waited = pbx.now - entry.joined
    pbx.statistics(caller)
    pbx.request_hangup(caller)
    if queue.config.announce:
        pbx.tell("MusicOnHoldStop", caller)
    for _ in range(2):
        for leg in legs:
            pbx.dial_end(caller, leg, "CANCEL")
    pbx.var(caller, "QUEUEWAIT", int(waited))
    pbx.var(caller, "QUEUEWAIT_MS", int(waited * 1000))
    pbx.abandon(queue, entry)
    for leg in legs:
        drop_leg(pbx, call, leg, 0, None, LegEndReason.CANCELLED)
    pbx.leave_queue(queue, entry)
    pbx.soft_hangup(caller)
    pbx.cdr(caller, legs[0] if legs else None, caller.created, "ANSWERED")
    give_up_channel(pbx, call, 0)
    call.leaves_queue(QueueOutcome.ABANDONED)
    call.ends(CallEndReason.ABANDONED, pbx.now)


def time_out(pbx: Pbx, call: Call, queue: Queue, entry: QueueEntry) -> Generator[Wait, Signal, None]:
    """The queue's limit ran out: an announcement, then the PBX hangs up."""
    caller = call.channel
    waited = pbx.now - entry.joined
    pbx.abandon(queue, entry)
    pbx.var(caller, "QUEUEWAIT", int(waited))
    pbx.var(caller, "QUEUEWAIT_MS", int(waited * 1000))
    if queue.config.announce:
        pbx.tell("MusicOnHoldStop", caller)
    pbx.leave_queue(queue, entry)
    call.leaves_queue(QueueOutcome.TIMEOUT)
    pbx.var(caller, "QUEUESTATUS", "TIMEOUT")
    pbx.run(caller, "NoOp", "QUEUESTATUS=TIMEOUT", priority=3)
    pbx.run(caller, "Playback", "vm-nobodyavail", priority=4)
    yield Wait(None, PLAYBACK_SECONDS)
    pbx.var(caller, "PLAYBACKSTATUS", "SUCCESS")
    pbx.run(caller, "Hangup", priority=5)
    pbx.soft_hangup(caller)
    pbx.statistics(caller)
    pbx.cdr(caller, None, caller.created, "ANSWERED")
    give_up_channel(pbx, call, 16)
    call.ends(CallEndReason.NO_ANSWER, pbx.now)


# ---- Dial ------------------------------------------------------------------------------------------------------------


def dial(
    pbx: Pbx, call: Call, endpoint: str, target: str, limit: int, *, priority: int, silent: bool = False
) -> Channel:
    """Dial() one phone or the trunk; it rings when this returns.

    target: the dial string without its technology (`agent101`, `+79…@trunk`). silent: the caller is not told whom
    he is connected to (callbacks).
    """
    caller = call.channel
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
    pbx.set_state(leg, 5)
    pbx.refresh(leg.endpoint)
    pbx.var(caller, "RINGTIME", 0)
    pbx.var(caller, "RINGTIME_MS", 1)
    pbx.refresh(caller.endpoint)
    pbx.dial("DialState", caller, leg, "DialStatus: RINGING\r\n")
    return leg


def connect_dial(pbx: Pbx, call: Call, leg: Channel) -> Talk:
    """The dialled end answers."""
    caller = call.channel
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
    pbx.set_state(caller, 7)
    pbx.refresh(caller.endpoint)
    pbx.request_hangup(caller, *BUSY_HERE)
    pbx.soft_hangup(caller, BUSY_HERE[1])
    run_h(pbx, caller, 17, "BUSY")
    pbx.cdr(caller, leg, None, "BUSY")
    give_up_channel(pbx, call, *BUSY_HERE)


def run_h(pbx: Pbx, caller: Channel, cause: int, status: str) -> None:
    """The h extension of calls from outside; the others have none."""
    if caller.context == "from-pstn":
        note = f"{caller.name} cause {cause} queue  dial {status}"
        pbx.run(caller, "NoOp", note, exten="h", priority=1)
        caller.update(priority=2)


# ---- conversation ----------------------------------------------------------------------------------------------------


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
