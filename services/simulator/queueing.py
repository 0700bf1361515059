"""A stay in a queue: whom it rings, who answers, who gives up."""

import math
from collections.abc import Generator

from services.simulator.call import Call, Signal, Stage, Wait
from services.simulator.channel import Channel
from services.simulator.config import SimAgent
from services.simulator.dialling import connect_dial, dial
from services.simulator.local import open_pair, tell_pair
from services.simulator.parts import (
    BUSY_HERE,
    DECLINED,
    PLAYBACK_SECONDS,
    RETRY_PAUSE,
    Behaviour,
    Script,
    Talk,
    answer_caller,
    between,
    drop_leg,
    give_up_channel,
)
from services.simulator.pbx import QUEUE_RESETS, Pbx
from services.simulator.queues import Member, Queue, QueueEntry
from shared.contracts.call import (
    CallEndReason,
    LegEndReason,
    QueueOutcome,
)


def stay_in_queue(pbx: Pbx, call: Call, name: str, script: Script) -> Generator[Wait, Signal, Talk | None]:
    """Wait in a queue until somebody answers (→ Talk) or the call is over (→ None)."""
    queue, caller = pbx.queues[name], call.channel
    call.queues(name)
    limit = queue.config.max_wait if script.max_wait is None else script.max_wait
    options = "tT" if queue.config.announce else "rtT"
    data = f"{name},{options},,,{limit:g}"
    if queue.config.recorded:
        pbx.record(caller, 1, context=f"q-{name}")
        pbx.run(caller, "Queue", data, priority=2)
    else:
        pbx.run(caller, "Queue", data, context=f"q-{name}", exten="s", priority=1)
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
                yield from time_out(pbx, call, queue, entry, script)
            return None
        members = queue.pick(entry, pbx.is_free, pbx.now)
        if not members:
            until = min(gives_up_at, leaves_at, queue.next_rested(pbx.now))
            signal = yield Wait(Stage.QUEUED, until - pbx.now, queue=name)
            if signal is Signal.FREE or (signal is Signal.GO and not call.manual and pbx.now < leaves_at):
                continue  # somebody may be rung; if it was patience that ran out, the loop begins with that
            if signal is Signal.GO and leaves_at < gives_up_at:
                yield from time_out(pbx, call, queue, entry, script)
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
        if event in ("decline", "busy"):
            decline(pbx, call, queue, legs, busy=event == "busy")
        elif event == "time out":
            for _, leg in legs:
                pbx.dial_end(caller, call.front(leg), "CANCEL")
                drop_leg(pbx, call, leg, 0, None, LegEndReason.CANCELLED)
            yield from time_out(pbx, call, queue, entry, script)
            return None
        else:
            ring_out(pbx, call, queue, legs, began)
        signal = yield Wait(None, min(RETRY_PAUSE, gives_up_at - pbx.now, leaves_at - pbx.now))
        if signal is Signal.CALLER_GONE:
            abandon_queue(pbx, call, queue, entry, [])
            return None


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
    for wanted in (call.order.agent, call.order.other):
        for member in members:
            if wanted is not None and member.state_interface == wanted.endpoint:
                return member
    return pbx.rng.choice(members)


def call_member(pbx: Pbx, call: Call, queue: Queue, member: Member) -> Channel:
    """The queue dials an agent: AgentCalled, DialBegin; the phone's channel, also if a Local one stands before it."""
    caller = call.channel
    agent = pbx.devices[member.state_interface].agent
    assert agent is not None
    if member.interface != agent.endpoint:
        return call_over_local(pbx, call, queue, member, agent)
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


def call_over_local(pbx: Pbx, call: Call, queue: Queue, member: Member, agent: SimAgent) -> Channel:
    """The queue dials a Local channel, whose dialplan dials the phone; it rings when this returns."""
    caller = call.channel
    exten, _, context = member.interface.removeprefix("Local/").removesuffix("/n").partition("@")
    pair = open_pair(pbx, exten, context, caller)
    one, two = pair.one, pair.two
    pbx.identify(one, caller.connected_number or caller.dnid, caller.connected_name)
    two.connect(one.number, one.party)
    pbx.identify(two, caller.number, caller.party)
    pbx.tell("NewConnectedLine", two)
    tell_pair(pbx, pair, optimizes=False)
    one.connect(caller.number, caller.party)
    one.update(exten="s")
    pbx.agent_event("AgentCalled", queue, member, caller, one)
    one.connect(None, None)
    one.update(exten=exten)
    pbx.dial("DialBegin", caller, one, f"DialString: {member.interface}\r\n")
    one.connect(caller.number, caller.party)
    one.update(exten="s")
    leg = dial(pbx, call, agent.endpoint, agent.login, 20, priority=1, caller=two)
    call.fronts[leg] = pair
    pbx.connect(caller, leg)
    return leg


def start_ringing(pbx: Pbx, call: Call, leg: Channel, app: str) -> None:
    """The phone says 180 Ringing."""
    pair = call.fronts.get(leg)
    if pair is not None:
        pair.one.identify(leg.number, leg.party)
        pbx.set_state(pair.one, 5)
        pbx.identify(pair.one, leg.number, leg.party)
        pbx.tell("NewConnectedLine", pair.one)
        pbx.dial("DialState", call.channel, pair.one, "DialStatus: RINGING\r\n")
        return
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
    front = call.front(leg)
    if front is not leg:
        connect_dial(pbx, call, leg, caller=call.fronts[leg].two)
    else:
        call.answers(leg, now)
    pbx.set_state(front, 6)
    pbx.dial_end(caller, front, "ANSWER")
    for loser in losers:
        pbx.dial_end(caller, call.front(loser), "CANCEL")
    if queue.config.strategy == "ringall":
        pbx.connect(caller, leg)
    for loser in losers:  # app_queue tells it a second time when it cleans up
        pbx.dial_end(caller, call.front(loser), "CANCEL")
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
    pbx.agent_event("AgentConnect", queue, winner, caller, front, extra)
    for loser in losers:
        drop_leg(pbx, call, loser, 26, None, LegEndReason.ANSWERED_ELSEWHERE)
    if caller.state != 6:
        answer_caller(pbx, caller)
    pbx.bridge(front, caller)
    return Talk(leg, now, queue, winner, waited, cause=None)


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


def ring_out(pbx: Pbx, call: Call, queue: Queue, legs: list[tuple[Member, Channel]], began: float) -> None:
    """Nobody picked up in time: the attempt is over, the caller waits on."""
    caller = call.channel
    pbx.rtcp(caller)
    for member, leg in legs:
        extra = f"RingTime: {int((pbx.now - began) * 1000)}\r\n"
        pbx.agent_event("AgentRingNoAnswer", queue, member, caller, call.front(leg), extra)
        pbx.dial_end(caller, call.front(leg), "NOANSWER")
    for _, leg in legs:
        pbx.dial_end(caller, call.front(leg), "CANCEL")
        drop_leg(pbx, call, leg, 0, None, LegEndReason.NO_ANSWER)


def decline(
    pbx: Pbx, call: Call, queue: Queue, legs: list[tuple[Member, Channel]], *, busy: bool = False
) -> None:
    """The agents press the red button, or are busy: DialEnd says NOANSWER, only the cause tells."""
    caller = call.channel
    cause = BUSY_HERE if busy else DECLINED
    for member, leg in legs:
        pbx.request_hangup(leg, *cause)
        pbx.dial_end(caller, call.front(leg), "NOANSWER")
        pbx.agent_event("AgentRingNoAnswer", queue, member, caller, call.front(leg), "RingTime: 0\r\n")
        drop_leg(pbx, call, leg, *cause, LegEndReason.BUSY if busy else LegEndReason.REJECTED)


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
            pbx.dial_end(caller, call.front(leg), "CANCEL")
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


def time_out(
    pbx: Pbx, call: Call, queue: Queue, entry: QueueEntry, script: Script
) -> Generator[Wait, Signal, None]:
    """The queue's limit ran out: an announcement, then the PBX hangs up; or another queue has its turn."""
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
    if script.overflow:
        return
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
