"""Places where callers wait or meet: parking spaces and conference rooms."""

from collections.abc import Generator, Sequence

from services.simulator.call import Act, Call, Signal, Stage, Wait
from services.simulator.channel import Bridge, BridgeKind, Channel
from services.simulator.config import SimAgent
from services.simulator.packets import CALL, headers, packet
from services.simulator.parts import Talk, between, drop_leg, give_up_channel
from services.simulator.pbx import Pbx
from services.simulator.scenarios.queue_calls import talk_to_agent
from services.simulator.scenarios.transfers import Step, colleague, pass_on, talks_a_while
from services.simulator.talking import end_talk, leave_agent
from shared.contracts.call import CallEndReason, LegEndReason, TransferKind, TransferOutcome

FIRST_SPACE = 701
PARKING = "700"
"""What is dialled to park; the space that was free is told by ParkedCall."""
ROOM = "650"
TO_A_ROOM: Sequence[Step] = ("transfer", "report", "move", "part", "drop")
PARKING_SECONDS = 20


def park_retrieve(pbx: Pbx, call: Call) -> Act:
    """The agent parks the caller; a colleague dials the space and has him."""
    talk = yield from talk_to_agent(pbx, call)
    if talk is None or not (yield from talks_a_while(pbx, call, talk)):
        return
    space = park(pbx, call, talk)
    signal = yield Wait(Stage.HELD, between(pbx, pbx.config.ring))
    free = [one for one in pbx.free_agents() if one.endpoint != talk.leg.endpoint]
    target = call.order.other or (pbx.rng.choice(free) if free else None)
    if signal is not Signal.GO or target is None:
        leave_space(pbx, call, space, talk)
        return
    yield from retrieve(pbx, call, talk, space, target)


def park_abandoned(pbx: Pbx, call: Call) -> Act:
    """The agent parks the caller, who hangs up."""
    talk = yield from talk_to_agent(pbx, call)
    if talk is None or not (yield from talks_a_while(pbx, call, talk)):
        return
    space = park(pbx, call, talk)
    yield Wait(Stage.HELD, between(pbx, pbx.config.ring))
    leave_space(pbx, call, space, talk)


def park(pbx: Pbx, call: Call, talk: Talk) -> int:
    """REFER to a parking space: the caller hears music there, the agent is out of the call; the space."""
    caller, leg = call.channel, talk.leg
    bridge = leg.bridge
    assert bridge is not None
    space = next(number for number in range(FIRST_SPACE, FIRST_SPACE + 100) if number not in pbx.parked)
    pbx.unhold(leg, caller)
    body = (
        "Result: Success\r\n"
        + leg.render("Transferer")
        + caller.render("Transferee")
        + bridge.block
        + headers(("IsExternal", "Yes"), ("Context", "internal"), ("Extension", PARKING))
    )
    pbx.out.append(packet("BlindTransfer", CALL, body, caller.uniqueid))
    call.transferred(TransferKind.BLIND, leg.endpoint, str(space), pbx.now)
    leave_agent(pbx, call, talk, "transfer")
    pbx.parked[space] = caller
    parked_event(pbx, call, "ParkedCall", space, talk, PARKING_SECONDS)
    pbx.leave(caller)
    pbx.enter(caller, pbx.lot)
    pbx.tell("MusicOnHoldStart", caller, "Class: default\r\n")
    pbx.leave(leg)
    drop_leg(pbx, call, leg, 16, None, LegEndReason.TRANSFERRED)
    return space


def parked_event(
    pbx: Pbx, call: Call, event: str, space: int, talk: Talk, left: int, retriever: Channel | None = None
) -> None:
    """ParkedCall, UnParkedCall, ParkedCallGiveUp."""
    body = (
        call.channel.render("Parkee")
        + (retriever.render("Retriever") if retriever else "")
        + headers(
            ("ParkerDialString", talk.leg.endpoint),
            ("Parkinglot", "default"),
            ("ParkingSpace", space),
            ("ParkingTimeout", left),
            ("ParkingDuration", PARKING_SECONDS - left),
        )
    )
    pbx.out.append(packet(event, CALL, body, call.channel.uniqueid))


def leave_space(pbx: Pbx, call: Call, space: int, talk: Talk) -> None:
    """The parked caller hangs up."""
    caller = call.channel
    del pbx.parked[space]
    pbx.request_hangup(caller)
    pbx.tell("MusicOnHoldStop", caller)
    pbx.leave(caller, stays=True)
    parked_event(pbx, call, "ParkedCallGiveUp", space, talk, PARKING_SECONDS // 2)
    pbx.soft_hangup(caller)
    give_up_channel(pbx, call, 16)
    call.transfer_became(TransferOutcome.CANCELLED)
    call.ends(CallEndReason.COMPLETED, pbx.now)


def retrieve(pbx: Pbx, call: Call, talk: Talk, space: int, target: SimAgent) -> Generator[Wait, Signal, None]:
    """A colleague dials the space; they talk till the caller hangs up."""
    caller = call.channel
    phone = lift(pbx, target, str(space))
    aside = call.consults(phone, str(space), pbx.now)
    pbx.set_state(phone, 6)
    pbx.refresh(phone.endpoint)
    del pbx.parked[space]
    meeting = pbx.new_bridge()
    pbx.tell("MusicOnHoldStop", caller)
    parked_event(pbx, call, "UnParkedCall", space, talk, PARKING_SECONDS // 2, phone)
    pbx.leave(caller, stays=True)
    pbx.enter(caller, meeting)
    phone.relink(caller.linkedid)
    pbx.enter(phone, meeting)
    pbx.connect(caller, phone)
    pbx.connect(phone, caller)
    aside.ends(CallEndReason.COMPLETED, pbx.now)
    call.rings(phone, pbx.now)
    call.answers(phone, pbx.now)
    call.transfer_became(TransferOutcome.ANSWERED)
    signal = yield Wait(Stage.ANSWERED, between(pbx, pbx.config.talk))
    if signal is Signal.LEG_GONE:
        end_talk(pbx, call, Talk(phone, pbx.now, cause=None), "agent")
        return
    pbx.request_hangup(caller)
    pbx.leave(caller)
    pbx.leave(phone)
    pbx.soft_hangup(phone)
    pbx.soft_hangup(caller)
    drop_leg(pbx, call, phone, 16, None, LegEndReason.HANGUP)
    give_up_channel(pbx, call, 16)
    call.ends(CallEndReason.COMPLETED, pbx.now)


def lift(pbx: Pbx, agent: SimAgent, number: str) -> Channel:
    """An agent dials something that answers by itself."""
    phone = pbx.new_channel(
        agent.endpoint, 4, number=agent.extension, party=agent.name, context="internal", exten=number
    )
    phone.dnid = number
    return phone


# ---- conference ------------------------------------------------------------------------------------------------------


def conference_by_transfer(pbx: Pbx, call: Call) -> Act:
    """The agent passes the caller on to a room, then dials it himself, and a colleague does too."""
    talk = yield from talk_to_agent(pbx, call)
    if talk is None or not (yield from talks_a_while(pbx, call, talk)):
        return
    agent, other = pbx.config.agent(talk.leg.endpoint), colleague(pbx, call, talk)
    if other is None:
        end_talk(pbx, call, talk, "caller")
        return
    caller = call.channel
    pass_on(pbx, call, talk, ROOM, TO_A_ROOM)
    room = pbx.new_bridge(BridgeKind("base", "softmix", "ConfBridge", ROOM))
    room.announcer = 1
    room_event(pbx, "ConfbridgeStart", room)
    pbx.run(caller, "ConfBridge", ROOM, priority=2)
    join_room(pbx, caller, room)
    for person in (agent, other):
        if pbx.is_free(person.endpoint):
            phone = lift(pbx, person, ROOM)
            aside = call.consults(phone, ROOM, pbx.now)
            pbx.set_state(phone, 6)
            pbx.refresh(phone.endpoint)
            pbx.run(phone, "ConfBridge", ROOM, priority=2)
            join_room(pbx, phone, room)
            aside.ends(CallEndReason.COMPLETED, pbx.now)
            call.rings(phone, pbx.now)
            call.answers(phone, pbx.now)
            call.transfer_became(TransferOutcome.ANSWERED)
        signal = yield Wait(Stage.ANSWERED, between(pbx, pbx.config.talk) / 4)
        if signal is not Signal.GO:
            break
    close_room(pbx, call, room)


def close_room(pbx: Pbx, call: Call, room: Bridge) -> None:
    """The caller leaves first, the others after him."""
    ends = list(room.channels)
    for end in ends:
        pbx.request_hangup(end, 16 if end is call.channel else None)
        room_event(pbx, "ConfbridgeLeave", room, end, "Admin: No\r\n")
        if len(room.channels) == 1:
            room.announcer = 0
            room_event(pbx, "ConfbridgeEnd", room)
        pbx.leave(end)
        pbx.soft_hangup(end)
        if end is call.channel:
            give_up_channel(pbx, call, 16)
        else:
            drop_leg(pbx, call, end, 16, None, LegEndReason.HANGUP)
    call.transfer_became(TransferOutcome.CANCELLED)
    call.ends(CallEndReason.COMPLETED, pbx.now)


def join_room(pbx: Pbx, channel: Channel, room: Bridge) -> None:
    """A person comes in."""
    pbx.enter(channel, room)
    room_event(pbx, "ConfbridgeJoin", room, channel, "Admin: No\r\nMuted: No\r\n")


def room_event(pbx: Pbx, event: str, room: Bridge, channel: Channel | None = None, extra: str = "") -> None:
    """ConfbridgeStart, ConfbridgeJoin, ConfbridgeLeave, ConfbridgeEnd."""
    who = channel.block if channel else ""
    uniqueid = channel.uniqueid if channel else ""
    pbx.out.append(packet(event, CALL, f"Conference: {ROOM}\r\n{room.block}{who}{extra}", uniqueid))
