"""The agent asks a colleague first: by a second line and REFER, or by the feature code *2 over a Local channel."""

from collections.abc import Callable

from services.simulator.call import Act, Call, LocalPair, Signal, Stage, Wait
from services.simulator.channel import Bridge, Channel
from services.simulator.config import SimAgent
from services.simulator.dialling import connect_dial, dial, refuse_dial
from services.simulator.local import open_pair, optimize, ring_front, tell_pair
from services.simulator.packets import CALL, headers, packet
from services.simulator.parts import Talk, between, drop_leg
from services.simulator.pbx import Pbx
from services.simulator.scenarios.queue_calls import talk_to_agent
from services.simulator.scenarios.transfers import colleague, talks_a_while, types_extension
from services.simulator.talking import DIAL_SECONDS, collapse, converse, end_talk, leave_agent
from shared.contracts.call import CallEndReason, LegEndReason, TransferKind, TransferOutcome

FEATURE_ATTENDED = "*2"

How = Callable[[Pbx, Call, Talk, SimAgent], Act]
"""What the agent does with a free colleague."""


def attended_transfer_refer(pbx: Pbx, call: Call) -> Act:
    """The agent calls a colleague on a second line, talks, and joins the two by REFER with Replaces."""
    return with_colleague(pbx, call, by_second_line)


def attended_transfer_abandoned(pbx: Pbx, call: Call) -> Act:
    """The colleague is busy: the agent goes back to the caller."""
    return with_colleague(pbx, call, consults_in_vain)


def attended_transfer_feature(pbx: Pbx, call: Call) -> Act:
    """The agent presses *2 and the extension, talks to the colleague, and hangs up."""
    return with_colleague(pbx, call, by_feature)


def attended_transfer_blonde(pbx: Pbx, call: Call) -> Act:
    """The same, but the agent hangs up while the colleague's phone still rings."""

    def by_feature_at_once(pbx: Pbx, call: Call, talk: Talk, target: SimAgent) -> Act:
        return by_feature(pbx, call, talk, target, blonde=True)

    return with_colleague(pbx, call, by_feature_at_once)


def with_colleague(pbx: Pbx, call: Call, how: How) -> Act:
    """A queue call in which the agent asks a free colleague; without one it is a plain call."""
    talk = yield from talk_to_agent(pbx, call)
    if talk is None or not (yield from talks_a_while(pbx, call, talk)):
        return
    target = colleague(pbx, call, talk)
    if target is None:
        end_talk(pbx, call, talk, "agent")
        return
    yield from how(pbx, call, talk, target)


# ---- on a second line ------------------------------------------------------------------------------------------------


def call_colleague(pbx: Pbx, call: Call, talk: Talk, target: SimAgent) -> tuple[Call, Channel]:
    """The caller is put on hold, and the colleague's phone rings; the consultation and that phone."""
    agent = pbx.config.agent(talk.leg.endpoint)
    pbx.hold(talk.leg, call.channel)
    call.truth.holds += 1
    second = pbx.new_channel(
        agent.endpoint,
        4,
        number=agent.extension,
        party=agent.name,
        context="internal",
        exten=target.extension,
    )
    second.dnid = target.extension
    aside = call.consults(second, target.extension, pbx.now)
    leg = dial(pbx, aside, target.endpoint, target.login, DIAL_SECONDS, priority=1)
    return aside, leg


def consults_in_vain(pbx: Pbx, call: Call, talk: Talk, target: SimAgent) -> Act:
    """The colleague is busy; the agent takes the caller back."""
    aside, leg = call_colleague(pbx, call, talk, target)
    signal = yield Wait(Stage.HELD, between(pbx, pbx.config.ring))
    if signal is not Signal.GO:
        collapse(pbx, call, talk)
        return
    refuse_dial(pbx, aside, leg, priority=1)
    aside.ends(CallEndReason.BUSY, pbx.now)
    pbx.unhold(talk.leg, call.channel)
    yield from converse(pbx, call, talk, "agent")


def by_second_line(pbx: Pbx, call: Call, talk: Talk, target: SimAgent) -> Act:
    """The colleague answers, hears what it is about, and gets the caller."""
    aside, leg = call_colleague(pbx, call, talk, target)
    signal = yield Wait(Stage.HELD, between(pbx, pbx.config.ring))
    if signal is not Signal.GO:
        collapse(pbx, call, talk)
        return
    connect_dial(pbx, aside, leg)
    signal = yield Wait(Stage.HELD, between(pbx, pbx.config.talk) / 4)
    if signal is not Signal.GO:
        collapse(pbx, call, talk)
        return
    join_by_refer(pbx, call, talk, aside, leg, target)
    yield from converse(pbx, call, Talk(leg, pbx.now, cause=None), "caller")


def join_by_refer(pbx: Pbx, call: Call, talk: Talk, aside: Call, leg: Channel, target: SimAgent) -> None:
    """REFER with Replaces: the colleague takes the agent's place in the caller's bridge."""
    caller, first, second, now = call.channel, talk.leg, aside.channel, pbx.now
    ours, theirs = first.bridge, second.bridge
    assert ours is not None
    assert theirs is not None
    told = (
        "Result: Success\r\n"
        + first.render("OrigTransferer")
        + ours.render("Orig")
        + second.render("SecondTransferer")
        + theirs.render("Second")
        + caller.render("Transferee")
        + leg.render("TransferTarget")
        + headers(("IsExternal", "No"), ("DestType", "Bridge"), ("DestBridgeUniqueid", ours.uniqueid))
    )
    pbx.unhold(first, caller)
    pbx.tell("Unhold", second)
    pbx.leave(leg, stays=True)
    pbx.leave(first, stays=True)
    leg.relink(caller.linkedid)
    pbx.enter(leg, ours, swap=first)
    pbx.connect(caller, leg)
    pbx.tell("SoftHangupRequest", second, "Cause: 1\r\n")
    pbx.out.append(packet("AttendedTransfer", CALL, told, caller.uniqueid))
    leave_agent(pbx, call, talk, "transfer")
    pbx.connect(leg, caller)
    pbx.leave(second)
    pbx.soft_hangup(second)
    call.transferred(TransferKind.ATTENDED, first.endpoint, target.extension, now)
    call.transfer_became(TransferOutcome.ANSWERED)
    drop_leg(pbx, call, first, 16, None, LegEndReason.TRANSFERRED)
    pbx.hangup(second, 16)
    pbx.refresh(second.endpoint)
    aside.leg_ends(leg, LegEndReason.TRANSFERRED, now)
    aside.ends(CallEndReason.COMPLETED, now)
    call.rings(leg, now)
    call.answers(leg, now)


# ---- by feature code -------------------------------------------------------------------------------------------------


def by_feature(pbx: Pbx, call: Call, talk: Talk, target: SimAgent, *, blonde: bool = False) -> Act:
    """*2: the PBX calls the colleague for the agent, over a Local channel. blonde: the agent does not wait for him."""
    if not (yield from types_extension(pbx, call, talk, FEATURE_ATTENDED, target.extension)):
        return
    caller, agent = call.channel, talk.leg
    ours = agent.bridge
    assert ours is not None
    pair, theirs, leg = ask_over_local(pbx, call, agent, target)
    signal = yield Wait(Stage.HELD, between(pbx, pbx.config.ring))
    if signal is not Signal.GO:
        collapse(pbx, call, talk)
        return
    if not blonde:
        colleague_answers(pbx, call, pair, leg)
        signal = yield Wait(Stage.HELD, between(pbx, pbx.config.talk) / 4)
        if signal is not Signal.GO:
            collapse(pbx, call, talk)
            return
    kind = TransferKind.BLONDE if blonde else TransferKind.ATTENDED
    leave_them_alone(pbx, call, talk, pair, (ours, theirs), leg, kind, target)
    if blonde:
        signal = yield Wait(Stage.RINGING, between(pbx, pbx.config.ring))
        if signal is not Signal.GO:
            collapse(pbx, call)
            return
        pbx.identify(pair.two, caller.number, caller.party)
        colleague_answers(pbx, call, pair, leg)
    else:
        pbx.connect(leg, caller)
        pbx.identify(pair.two, caller.number, caller.party)
    pbx.destroy(theirs)
    call.transfer_became(TransferOutcome.ANSWERED)
    optimize(pbx, pair, leg, pair.one, asked_first=blonde)
    yield from converse(pbx, call, Talk(leg, pbx.now, cause=None), "caller")


def ask_over_local(
    pbx: Pbx, call: Call, agent: Channel, target: SimAgent
) -> tuple[LocalPair, Bridge, Channel]:
    """The agent leaves the caller to the music and hears the colleague's phone ring."""
    pair = open_pair(pbx, target.extension, "internal", call.channel)
    theirs = pbx.new_bridge()
    pbx.identify(pair.two, agent.number, agent.party)
    tell_pair(pbx, pair, optimizes=True)
    pbx.connect(pair.one, agent)
    pbx.enter(pair.one, theirs)
    pbx.leave(agent, stays=True)
    pbx.enter(agent, theirs)
    agent.connect(None, None)
    pbx.tell("NewConnectedLine", agent)
    leg = dial(pbx, call, target.endpoint, target.login, DIAL_SECONDS, priority=1, caller=pair.two)
    pbx.connect(agent, leg)
    pbx.identify(pair.one, leg.number, leg.party)
    ring_front(pbx, None, pair, told=False)
    return pair, theirs, leg


def colleague_answers(pbx: Pbx, call: Call, pair: LocalPair, leg: Channel) -> None:
    """The phone behind the Local channel is picked up."""
    connect_dial(pbx, call, leg, caller=pair.two)
    pbx.set_state(pair.one, 6)
    pbx.dial_end(None, pair.one, "ANSWER")


def leave_them_alone(
    pbx: Pbx,
    call: Call,
    talk: Talk,
    pair: LocalPair,
    bridges: tuple[Bridge, Bridge],
    leg: Channel,
    kind: TransferKind,
    target: SimAgent,
) -> None:
    """The agent hangs up: who was asked gets the caller. bridges: the caller's, and the one of the consultation."""
    caller, agent = call.channel, talk.leg
    ours, theirs = bridges
    pbx.request_hangup(agent)
    pbx.leave(agent, stays=True)
    pbx.tell("MusicOnHoldStop", caller)
    caller.held = False
    pbx.devices[caller.endpoint].held -= 1
    pbx.out.append(packet("BridgeMerge", CALL, ours.render("To") + theirs.render("From")))
    pbx.leave(pair.one, stays=True)
    pbx.enter(pair.one, ours)
    if kind is TransferKind.ATTENDED:
        pbx.connect(pair.one, caller)
        caller.connect(leg.number, leg.party)
    told = (
        "Result: Success\r\n"
        + agent.render("OrigTransferer")
        + ours.render("Orig")
        + agent.render("SecondTransferer")
        + theirs.render("Second")
        + caller.render("Transferee")
        + headers(("IsExternal", "No"), ("DestType", "Bridge"), ("DestBridgeUniqueid", ours.uniqueid))
    )
    pbx.out.append(packet("AttendedTransfer", CALL, told, caller.uniqueid))
    leave_agent(pbx, call, talk, "transfer")
    if kind is TransferKind.BLONDE:
        pbx.connect(pair.one, caller)
    pbx.connect(caller, leg)
    if kind is TransferKind.BLONDE:
        pbx.connect(leg, caller)
    call.transferred(kind, agent.endpoint, target.extension, pbx.now)
    drop_leg(pbx, call, agent, 16, None, LegEndReason.TRANSFERRED)
    pbx.refresh(caller.endpoint)
