"""Calls change hands: blind, attended and blonde transfers, pickup.

The PBX tells of a transfer from the thread that was asked for it, while the channels' own threads go on: what follows
from it may be told first, the next phone's ringing and even the end of the channel that passed the call on.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from ami_listener.message import AmiMessage
from ami_listener.tracker import sight
from ami_listener.tracker.book import Book
from ami_listener.tracker.endpoints import EndpointKind, endpoint_of
from ami_listener.tracker.legs import answered_by
from ami_listener.tracker.state import TOLD_LATE, CallRecord, Channel, LegRecord, QueueRecord, TransferRecord
from shared.contracts.call import LegEndReason, QueueOutcome, TransferKind, TransferOutcome

# Nobody gives the same call to the same number twice within this time; a repeated event does. If somebody else has
# passed it on in between, it is no repetition.
_SAME = timedelta(seconds=1)


def blind(book: Book, event: AmiMessage, at: datetime) -> None:
    """The call was sent on; whether anybody answers there is yet to come."""
    if event.get("Result", "Success") != "Success":
        return
    giver = sight.known(book, event, "TransfererUniqueid")
    customer = sight.known(book, event, "TransfereeUniqueid")
    call = (customer or giver).call if customer or giver else None  # type: ignore[union-attr]
    if call is None:
        return
    in_sight(book, call)
    by = endpoint_of(event.get("TransfererChannel", "")) or None
    gone = None if giver is not None else _gone(call, event.get("TransfererChannel"), at)
    if not (call.parked is not None and just_now(call, by, at)):
        tried = _tried_already(book, call, customer, giver.leg if giver is not None else gone, at)
        answered = tried is not None and answered_by(tried) is not None
        outcome = TransferOutcome.ANSWERED if answered else None
        record(book, call, TransferKind.BLIND, by, event.get("Extension"), tried, outcome, at)
    if giver is not None and giver.call is call:
        gave_away(book, call, giver, customer, at)
    elif gone is not None:
        _went(book, call, gone)


def attended(book: Book, event: AmiMessage, at: datetime) -> None:
    """The agent joined the customer and the one he consulted; blonde if that phone still rings."""
    if event.get("Result", "Success") != "Success":
        return
    first = sight.named(book, event, at, "OrigTransferer")
    second = sight.named(book, event, at, "SecondTransferer")
    customer = sight.named(book, event, at, "Transferee")
    target = sight.named(book, event, at, "TransferTarget")
    givers = [c for c in (first, second) if c is not None]
    near = customer or first
    far = target or second
    if near is None or far is None:
        return
    call = _main(near.call, far.call)
    other = far.call if call is near.call else near.call
    seen = in_sight(book, call, other)
    if other is not call:
        for channel in list(other.channels.values()):
            if channel not in givers:
                was_up = channel.leg is not None and channel.leg.answered_at is not None
                book.move(channel, call, at)
                if was_up and channel.call is call:
                    book.answer(channel, at)
    _waits_on(call, other, at)
    leg = _target_leg(call, far if call is near.call else near, givers)
    blonde = leg is None or leg.answered_at is None
    by = endpoint_of(event.get("OrigTransfererChannel", "")) or None
    record(
        book,
        call,
        TransferKind.BLONDE if blonde else TransferKind.ATTENDED,
        by,
        _dialled(other, far, givers) or _target_number(event, call, leg),
        leg,
        TransferOutcome.UNKNOWN if not seen else None if blonde else TransferOutcome.ANSWERED,
        at,
    )
    for giver in givers:
        if giver.call is call:
            gave_away(book, call, giver, customer, at)
    for header in ("OrigTransfererChannel", "SecondTransfererChannel"):
        if (gone := _gone(call, event.get(header), at)) is not None:
            _went(book, call, gone)
    if leg is not None and leg.talking and call.talking_to is None:
        call.talking_to = leg.endpoint


def in_sight(book: Book, *calls: CallRecord) -> bool:
    """Was it seen, or has the PBX said, who is in these calls? If not, and one is passed on or joined with another, we
    can only guess which channel is whose; so nothing is told of why anything in them ends."""
    if book.in_sight or not any(call.gap for call in calls):
        return True
    for call in calls:
        call.half_seen = call.gap = True
    return False


def pickup(book: Book, event: AmiMessage, at: datetime) -> None:
    """A colleague took a call that rings elsewhere: his channel belongs to that call now."""
    picker = sight.main(book, event, at)
    target = sight.known(book, event, "TargetUniqueid")
    if picker is None or target is None or picker is target:
        return
    call = target.call
    if picker.call is not call:
        book.move(picker, call, at)
    if picker.call is not call:
        return
    if target.leg is not None:
        book.end_leg(call, target.leg, LegEndReason.ANSWERED_ELSEWHERE, at)
    book.answer(picker, at)


def just_now(call: CallRecord, by: str | None, at: datetime) -> TransferRecord | None:
    """The transfer by this end that was told a moment ago, if any."""
    last = call.transfers[-1] if call.transfers else None
    return last if last is not None and last.by == by and at - last.at < _SAME else None


def record(
    book: Book,
    call: CallRecord,
    kind: TransferKind,
    by: str | None,
    to: str | None,
    tried: LegRecord | QueueRecord | None,
    outcome: TransferOutcome | None,
    at: datetime,
) -> None:
    """Note that the call was passed on. tried: the phone or queue that is tried for it already, if any."""
    last = just_now(call, by, at)
    if last is not None and last.to == (to or None):
        return
    for earlier in call.transfers:
        if earlier.outcome is None:  # sent on again before anybody answered
            earlier.outcome = TransferOutcome.UNKNOWN
    if call.waits:
        tried = call.queue  # not one of its agents
    call.transfers.append(TransferRecord(kind, by, by, to or None, at, outcome, tried))
    book.tell(call, at, "transferred", by, f"{kind.value} to {to}")


def gave_away(book: Book, call: CallRecord, giver: Channel, customer: Channel | None, at: datetime) -> None:
    """Who passed the call on is in it no longer, though the PBX hangs him up a little later."""
    book.close_holds(call, giver, at)
    if giver.leg is not None:
        book.end_leg(call, giver.leg, LegEndReason.TRANSFERRED, at)
    book.hand_over(call, giver, customer)


def _tried_already(
    book: Book, call: CallRecord, customer: Channel | None, giver: LegRecord | None, at: datetime
) -> LegRecord | QueueRecord | None:
    """Where the customer has been sent, if the PBX was there before it told us. What the giver himself answered was
    before that."""
    if customer is None:
        return None
    for leg in reversed(call.legs):
        # Nobody called him: the customer was sent to where he waited, a conference.
        if leg.ringing_at is None and leg.talking and leg is not giver and leg is not customer.leg:
            assert leg.answered_at is not None
            if at - leg.answered_at < TOLD_LATE:
                return leg
    attempt = call.attempt
    if attempt is None or at - attempt.at >= TOLD_LATE:
        return None
    if attempt.caller != book.on_behalf_of(customer).uniqueid:
        return None
    talker = answered_by(attempt.tried)
    return None if talker is not None and talker is giver else attempt.tried


def _gone(call: CallRecord, name: str | None, at: datetime) -> LegRecord | None:
    """The leg of this channel, if it was hung up a moment ago."""
    for leg in reversed(call.legs):
        if leg.channel == name and leg.end_reason is LegEndReason.HANGUP and leg.ended_at is not None:
            return leg if at - leg.ended_at < TOLD_LATE else None
    return None


def _went(book: Book, call: CallRecord, leg: LegRecord) -> None:
    """He did not hang up on the caller: he had passed the call on."""
    leg.end_reason = LegEndReason.TRANSFERRED
    book.note(call, LegEndReason.TRANSFERRED.value)


def _waits_on(call: CallRecord, other: CallRecord, at: datetime) -> None:
    """The agent asked a queue for a colleague and passed the customer on before one answered: now he waits there."""
    waiting = other.queue if other is not call else None
    if call.asked is not None:
        call.queue, call.asked = call.asked, None
    elif waiting is not None and waiting.left_at is None:
        other.queue = replace(waiting, left_at=at, outcome=QueueOutcome.LEFT, view=None)
        call.queue = waiting


def _main(one: CallRecord, two: CallRecord) -> CallRecord:
    """Which of two calls is the customer's: the other one was the consultation."""
    if one is not two and _outside(two) and not _outside(one):
        return two
    return one


def _outside(call: CallRecord) -> bool:
    return any(c.kind is EndpointKind.TRUNK for c in call.channels.values())


def _target_leg(call: CallRecord, far: Channel, givers: list[Channel]) -> LegRecord | None:
    if far.leg is not None and far.leg.alive and far not in givers and far is not call.anchor:
        return far.leg
    given = {id(giver.leg) for giver in givers if giver.leg is not None}
    own = call.anchor.leg if call.anchor is not None else None
    for leg in reversed(call.legs):
        if leg.alive and id(leg) not in given and leg is not own:
            return leg
    return None


def _dialled(consultation: CallRecord, far: Channel, givers: list[Channel]) -> str | None:
    """What the agent dialled to consult, over a Local channel or on a second line: a colleague, a queue."""
    if far.helper and far.exten.isalnum():
        return far.exten
    return consultation.did if consultation.anchor in givers and consultation.merged else None


def _target_number(event: AmiMessage, call: CallRecord, leg: LegRecord | None) -> str | None:
    """Whose phone it is, or what the Local channel of the consultation dials."""
    if leg is not None:
        return leg.number or leg.agent or leg.endpoint
    for helper in reversed(list(call.helpers.values())):
        if helper.name.endswith(";1"):
            return helper.exten
    return event.get("TransferTargetCallerIDNum") or event.get("SecondTransfererExten")
