"""Taking up calls that a listener before us has told of: their history is theirs, their present is the PBX's.

A remembered call waits without channels until one shows up, in an event or in the resync's list. Its legs find their
channels by name. What no channel is found for has ended unseen.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from ami_listener.tracker import blind
from ami_listener.tracker.book import Book
from ami_listener.tracker.endpoints import EndpointKind
from ami_listener.tracker.state import (
    RINGING,
    TOLD_LATE,
    UP,
    CallRecord,
    Channel,
    DigitsRecord,
    HoldRecord,
    LegRecord,
    QueueRecord,
    Remembered,
    TransferRecord,
)
from shared.contracts.call import Call, CallState, Leg, LegEndReason, Transfer, TransferKind

# A PBX that was restarted counts its channels from one again, so an old name may belong to a new call. It was made
# after the leg it was remembered for; what it says of its age is in whole seconds.
_SAME_CHANNEL = timedelta(seconds=2)


def remember(book: Book, calls: Iterable[Call]) -> int:
    """Keep these open calls for their channels. Those that are open here are known better already. Returns how many
    are kept."""
    kept = 0
    for call in calls:
        if call.call_id in book.calls or call.state is CallState.ENDED or call.pbx != book.pbx:
            continue
        record = _record(book, call)
        if any(linkedid in book.by_linkedid for linkedid in record.linkedids):
            continue
        book.calls[record.call_id] = record
        for linkedid in record.linkedids:
            book.by_linkedid[linkedid] = record
        kept += 1
    return kept


def claim(book: Book, names: dict[str, tuple[str, datetime]]) -> None:
    """Before a resync looks at its channels: a conversation whose Linkedid has changed meanwhile is known by its legs.

    names: channel name → (its Linkedid, when it was made).
    """
    for call in list(book.calls.values()):
        if call.remembered is None:
            continue
        for name, leg in call.remembered.legs.items():
            linkedid, made_at = names.get(name, ("", None))
            began = leg.ringing_at or leg.answered_at
            if not leg.alive or made_at is None or began is None or made_at > began + _SAME_CHANNEL:
                continue
            if linkedid and linkedid not in book.by_linkedid:
                book.by_linkedid[linkedid] = call
                call.linkedids.append(linkedid)


def take_up(book: Book, channel: Channel, at: datetime) -> None:
    """A channel of a remembered call showed up: give it the part it had."""
    call = channel.call
    if channel.helper or call.remembered is None:
        return
    leg = call.remembered.legs.pop(channel.name, None)
    if leg is not None:
        channel.leg = leg
    if call.anchor is None and channel.uniqueid == call.linkedids[0]:
        _about(call, channel)
    for hold in call.holds:
        if hold.ended_at is None and not hold.uniqueid and hold.by == channel.endpoint:
            hold.uniqueid = channel.uniqueid
    if channel.state == UP and leg is not None and leg.answered_at is None:
        book.answer(channel, at)
    book.note(call, "found")


def settle(book: Book, found: Iterable[Channel], at: datetime, *, all_known: bool) -> None:
    """The PBX has said what goes on: remembered calls are calls like others now, or over.

    found: channels that the resync brought. all_known: False if the account may not list channels; then only calls
    that no event has spoken of are over.
    """
    for call in list(book.calls.values()):
        remembered = call.remembered
        if remembered is None or remembered.round >= book.round:
            continue
        call.remembered = None
        real = [channel for channel in call.channels.values() if not channel.helper]
        if call.channels and call.anchor is None:
            _find_anchor(call, real)
        if all_known:
            for leg in remembered.legs.values():
                if leg.alive:
                    book.end_leg(call, leg, LegEndReason.UNKNOWN, at)
        if not call.channels:
            call.blind_end = True
            book.finish(call, at)
    for channel in found:
        # Phones that were called, or picked up, while nobody listened.
        call = channel.call
        if channel.helper or channel is call.anchor or call.ended_at is not None:
            continue
        if channel.state == RINGING:
            book.ring(channel, at)
        elif channel.state == UP:
            book.answer(channel, at)


def _about(call: CallRecord, channel: Channel) -> None:
    call.anchor = channel
    call.picked_up_by_dialplan = channel.state == UP and channel.leg is None
    if call.state is CallState.HELD and not any(leg.talking for leg in call.legs):
        call.parked = channel  # nobody holds him, so he waits to be fetched


def _find_anchor(call: CallRecord, real: list[Channel]) -> None:
    """Who the call is about: the end that was the caller, else the customer's, else whoever was there longest."""
    own = [c for c in real if c.endpoint == call.endpoint]
    trunks = [c for c in real if c.kind is EndpointKind.TRUNK]
    for channel in (*(c for c in own if c.leg is None), *own, *trunks, *real):
        _about(call, channel)
        return


def _record(book: Book, call: Call) -> CallRecord:
    legs = [_leg(book, leg) for leg in call.legs]
    linkedid = call.call_id.removeprefix(f"{book.pbx}-").partition("~")[0]
    record = CallRecord(
        call_id=call.call_id,
        started_at=call.started_at,
        linkedids=[linkedid],
        gap=True,
        direction=call.direction,
        state=call.state,
        visible=True,
        originated=any(leg.endpoint == call.caller.endpoint for leg in call.legs),
        number=call.caller.number,
        name=call.caller.name,
        presentation=call.caller.presentation,
        endpoint=call.caller.endpoint,
        did=call.did,
        legs=legs,
        talking_to=call.talking_to,
        digits=[DigitsRecord(d.menu, d.digits, d.at) for d in call.digits],
        holds=[HoldRecord(h.by, "", h.started_at, h.ended_at) for h in call.holds],
        recording=call.recording,
        variables=dict(call.variables),
        timeline=list(call.timeline),
        answered_at=call.answered_at,
        remembered=Remembered({leg.channel: leg for leg in legs}, book.round),
    )
    if call.queue is not None:
        stay = call.queue
        record.queue = QueueRecord(stay.name, stay.joined_at, stay.position, stay.left_at, stay.outcome)
    record.transfers = [
        TransferRecord(t.kind, t.by, t.from_, t.to, t.at, t.outcome, _tried(t, record))
        for t in call.transfers
    ]
    _answered_meanwhile(record)
    blind.doubt(record, call.timeline[-1].at if call.timeline else call.started_at)
    return record


def _tried(transfer: Transfer, call: CallRecord) -> LegRecord | QueueRecord | None:
    """Whom the PBX had tried last for a transfer. The document tells times only, and these have to do."""
    queue, legs = call.queue, call.legs
    if transfer.kind is TransferKind.BLIND:
        before = sum(_rang_before(leg, transfer) for leg in legs)
    else:
        before = sum(leg.ringing_at is not None and leg.ringing_at <= transfer.at for leg in legs)
        before = max(0, before - 1)  # who was consulted was called before the transfer
    leg = legs[-1] if len(legs) > before else None
    if queue is None or (queue.left_at is not None and queue.left_at <= transfer.at):
        return leg
    rang_at = leg.ringing_at if leg is not None else None
    return leg if rang_at and queue.left_at and rang_at > queue.left_at else queue


def _rang_before(leg: LegRecord, transfer: Transfer) -> bool:
    """Was this phone called before the blind transfer, and not for it? The one it went to may ring in the same instant,
    when both events came with one read, or a moment earlier (see `transfers`). So may, on a very busy machine, all
    that the one who passed it on has done."""
    rang_at = leg.ringing_at
    if rang_at is None or rang_at > transfer.at:
        return False
    own = leg.endpoint == transfer.by
    over = leg.ended_at is not None and leg.ended_at <= transfer.at and rang_at < transfer.at
    return own or over or rang_at < transfer.at - TOLD_LATE


def _answered_meanwhile(call: CallRecord) -> None:
    """Who had answered while a phone rang, or while the caller waited."""
    queue = call.queue
    joined_at = queue.joined_at if queue is not None and queue.left_at is None else None
    for leg in call.legs:
        if leg.answered_at is None or not leg.alive:
            continue
        for other in call.legs:
            if other.answered_at is None and other.ringing_at and other.ringing_at <= leg.answered_at:
                other.rival = leg
        if queue is not None and joined_at is not None and joined_at <= leg.answered_at:
            queue.answered_by = leg


def _leg(book: Book, leg: Leg) -> LegRecord:
    return LegRecord(
        endpoint=leg.endpoint,
        channel=leg.channel,
        agent=leg.agent,
        kind=book.rules.kind(leg.endpoint, "", leg.agent),
        number=None,
        state=leg.state,
        ringing_at=leg.ringing_at,
        answered_at=leg.answered_at,
        ended_at=leg.ended_at,
        end_reason=leg.end_reason,
    )
