"""Who is called, and how that attempt ended."""

import re
from datetime import datetime

from ami_listener.message import AmiMessage
from ami_listener.tracker import outcomes, sight
from ami_listener.tracker.book import Book
from ami_listener.tracker.endpoints import EndpointKind, short_number
from ami_listener.tracker.parties import dialled
from ami_listener.tracker.state import Channel, LegRecord
from shared.contracts.call import LegEndReason

_DIGITS = re.compile(r"\+?\d{3,}")


def dial_begin(book: Book, event: AmiMessage, at: datetime) -> None:
    source = sight.main(book, event, at)
    target = sight.dest(book, event, at)
    if target is None:
        return
    if source is not None and source.call is not target.call:
        book.move(target, source.call, at)
    target.dialled_by = source
    call = target.call
    if source is None:
        book.call_out(target, event.get("DestCallerIDNum"), at)
        _call_out_behind(book, target, at)
        if target.kind is EndpointKind.TRUNK:
            book.dialled_number(call, _number_in(event.get("DialString", "")))
        return
    if target.helper or target is call.anchor:
        return
    if call.originated:
        if call.anchor is None:
            # Originate of a Local channel: the first phone it rings is the one that is to be connected.
            book.call_out(target, None, at)
            return
        if call.did is None or call.did_guessed:
            outside = target.kind is EndpointKind.TRUNK
            book.dialled_number(
                call, _number_in(event.get("DialString", "")) if outside else short_number(target.number)
            )
    leg = book.ring(target, at)
    if leg.alive and leg.answered_at is None and not call.waits:
        book.tries(call, leg, source, at)


def dial_end(book: Book, event: AmiMessage, at: datetime) -> None:
    status = event.get("DialStatus", "")
    see = status == "ANSWER"  # the other statuses end things, and make nothing new
    source = sight.main(book, event, at) if see else sight.known(book, event)
    target = sight.dest(book, event, at) if see else sight.known(book, event, "DestUniqueid")
    if target is None:
        return
    if source is not None and source.call is not target.call:
        book.move(target, source.call, at)  # picked up by a phone of another call
    if status == "ANSWER":
        if not target.helper and (target is not target.call.anchor or target.leg is not None):
            book.answer(target, at)
        return
    for channel, leg in _legs_behind(book, target):
        if leg.answered_at is not None or not leg.alive:
            continue
        answered = outcomes.answered_elsewhere(target.call, leg)
        reason = outcomes.by_dial_status(status, channel.cause, answered)
        if reason is not None:
            if event.get("Forward"):
                reason = LegEndReason.TRANSFERRED  # the phone itself sent the call on (302)
            elif reason is LegEndReason.CANCELLED:
                reason = outcomes.if_seen(target.call, leg, reason)
            book.end_leg(target.call, leg, reason, at)


def ring_no_answer(book: Book, event: AmiMessage, at: datetime) -> None:
    """The queue gave up on an agent: time over, or the phone refused."""
    target = sight.known(book, event, "DestUniqueid")
    if target is None:
        return
    for channel, leg in _legs_behind(book, target):
        if leg.alive and leg.answered_at is None:
            reason = outcomes.refine(LegEndReason.NO_ANSWER, channel.cause)
            book.end_leg(target.call, leg, reason, at)


def originate_response(book: Book, event: AmiMessage, at: datetime) -> None:
    """What an Originate was to be connected to. A failed one carries no Uniqueid, so its channel's name is used."""
    channel = sight.known(book, event)
    call = channel.call if channel is not None else book.originating.get(event.get("Channel", ""))
    if call is not None:
        book.dialled_number(call, dialled(event.get("Exten")))


def _call_out_behind(book: Book, target: Channel, at: datetime) -> None:
    """Originate of a Local channel: its other half may have dialled before the PBX tells of this one."""
    half = book.other_half(target) if target.helper else None
    if half is None or target.call.anchor is not None:
        return
    for channel in target.call.channels.values():
        if channel.dialled_by is half and not channel.helper:
            book.call_out(channel, None, at)
            return


def _legs_behind(book: Book, target: Channel) -> list[tuple[Channel, LegRecord]]:
    """The target's own leg; for a Local half the phones that its other half dials."""
    if not target.helper:
        return [(target, target.leg)] if target.leg is not None else []
    half = book.other_half(target)
    found: list[tuple[Channel, LegRecord]] = []
    for channel in list(target.call.channels.values()):
        dialler = channel.dialled_by
        if dialler is None or dialler is not half:
            continue
        if channel.helper:
            if channel is not target:
                found += _legs_behind(book, channel)
        elif channel.leg is not None:
            found.append((channel, channel.leg))
    return found


def _number_in(dial_string: str) -> str | None:
    """The number in `+79003334455@trunk` or `trunk12/89003334455`: the longest run of digits."""
    return max(_DIGITS.findall(dial_string), key=len, default=None)
