"""Who talks with whom."""

from datetime import datetime

from ami_listener.message import AmiMessage
from ami_listener.tracker import sight
from ami_listener.tracker.book import Book
from ami_listener.tracker.endpoints import EndpointKind
from ami_listener.tracker.state import CallRecord, Channel, HoldRecord
from shared.contracts.call import LegState

_CONFERENCE = "ConfBridge"
# Bridges in which each channel waits for itself and nobody hears anybody: parking lots, BridgeWait(), pools of agents.
_WAITING, _PARKING = "holding_bridge", "Parking"


def enter(book: Book, event: AmiMessage, at: datetime) -> None:
    channel = sight.main(book, event, at)
    bridge = event.get("BridgeUniqueid")
    if channel is None or not bridge:
        return
    swapped = sight.known(book, event, "SwapUniqueid")
    book.relink(channel, event.get("Linkedid", ""), at)
    call = channel.call
    if event.get("BridgeTechnology") == _WAITING:
        book.leave_bridge(channel)
        if event.get("BridgeCreator") != _PARKING:
            book.set_aside(channel, at)
        elif call.parked is None:
            call.parked = channel
            book.note(call, "parked")
        return
    if call.parked is channel:
        call.parked = None
    book.enter_bridge(channel, bridge)
    if event.get("BridgeCreator") == _CONFERENCE:
        book.rooms.add(bridge)
    _become_one(book, bridge, channel, swapped, at)
    call = channel.call
    if not channel.helper and channel is not call.anchor:
        book.answer(channel, at)
        if channel.leg is not None:
            channel.leg.unsure = False  # he was not seen to talk; now he is
    book.who_talks(call)


def leave(book: Book, event: AmiMessage, at: datetime) -> None:
    """Not the end of a conversation: channels leave bridges to consult, to be merged, to be optimised."""
    channel = sight.known(book, event)
    if channel is not None:
        if channel.bridge == event.get("BridgeUniqueid"):
            book.leave_bridge(channel)
        book.relink(channel, event.get("Linkedid", ""), at)


def hold(book: Book, event: AmiMessage, at: datetime) -> None:
    channel = sight.known(book, event)
    if channel is None or channel.helper:
        return
    call = channel.call
    if any(h.ended_at is None and h.uniqueid == channel.uniqueid for h in call.holds):
        return
    call.holds.append(HoldRecord(channel.endpoint, channel.uniqueid, at))
    if channel.leg is not None and channel.leg.state is LegState.ANSWERED:
        channel.leg.state = LegState.HELD
    book.tell(call, at, "held", _who(channel))


def unhold(book: Book, event: AmiMessage, at: datetime) -> None:
    """Comes also where nobody held (before a blind transfer): then it says nothing."""
    channel = sight.known(book, event)
    if channel is not None and book.close_holds(channel.call, channel, at):
        book.tell(channel.call, at, "resumed", _who(channel))


def _become_one(book: Book, bridge: str, channel: Channel, swapped: Channel | None, at: datetime) -> None:
    """Channels of two calls in one bridge: the customer's call goes on, or the older one, with all of them."""
    members = [m for m in book.bridges.get(bridge, {}).values() if m is not swapped]
    if all(m.call is channel.call for m in members):
        return
    calls = {m.call.call_id: m.call for m in members}.values()
    main = min(calls, key=lambda call: (not _of_customer(call), call.started_at, call.call_id))
    for member in members:
        if member.call is not main:
            book.move(member, main, at)
            if not member.helper and member.call is main and member is not main.anchor:
                book.answer(member, at)


def _of_customer(call: CallRecord) -> bool:
    return call.anchor is not None and call.anchor.kind is EndpointKind.TRUNK


def _who(channel: Channel) -> str:
    leg = channel.leg
    return (leg.agent if leg is not None else None) or channel.number or channel.endpoint
