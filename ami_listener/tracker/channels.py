"""Channels appear, change state and go."""

from datetime import datetime

from ami_listener.message import AmiMessage
from ami_listener.tracker import sight
from ami_listener.tracker.book import Book, is_first
from ami_listener.tracker.endpoints import endpoint_of
from ami_listener.tracker.parties import text
from ami_listener.tracker.state import DOWN, RING, RINGING, UP


def newchannel(book: Book, event: AmiMessage, at: datetime) -> None:
    get = event.get
    channel = book.channel(
        get("Uniqueid", ""),
        get("Linkedid", ""),
        get("Channel", ""),
        sight.number(get("ChannelState")) or DOWN,
        get("CallerIDNum"),
        get("CallerIDName"),
        get("Context", ""),
        get("Exten", ""),
        at,
        gap=False,
    )
    if channel is not None:
        sight.place(book, channel, at)


def newstate(book: Book, event: AmiMessage, at: datetime) -> None:
    channel = sight.main(book, event, at)
    if channel is None:
        return
    state = sight.number(event.get("ChannelState"))
    if state is not None:
        channel.state = state
    call = channel.call
    if channel.helper:
        return
    if channel.state == RING and call.anchor is None and not call.originated and is_first(channel):
        book.arrive(channel, at)  # chan_sip shows a caller as "Down" first
    elif channel.state == RINGING and channel.leg is None:
        if call.anchor is None and is_first(channel):
            book.call_out(channel, None, at)
        elif call.anchor is not channel:
            book.ring(channel, at)
    elif channel.state == UP and channel is call.anchor and channel.leg is None:
        first_time = call.answered_at is None and not call.picked_up_by_dialplan
        call.picked_up_by_dialplan = True
        if first_time and not any(leg.alive for leg in call.legs):
            book.tell(call, at, "ivr", None, event.get("Context"))


def newcallerid(book: Book, event: AmiMessage, at: datetime) -> None:
    """A number that comes late is better than none; one that the dialplan rewrites later is not the caller's."""
    channel = sight.known(book, event)
    if channel is None or channel.helper:
        return
    call = channel.call
    if call.anchor is not channel or channel.leg is not None or call.answered_at is not None:
        return
    presentation = event.get("CID-CallingPres")
    seen = (call.number, call.name, call.presentation)
    if channel.number is None or (presentation is not None and "Prohib" in presentation):
        channel.number = text(event.get("CallerIDNum"))
        book.show_number(call, channel.number, text(event.get("CallerIDName")), presentation)
    if seen != (call.number, call.name, call.presentation):
        book.note(call, "caller")


def rename(book: Book, event: AmiMessage, at: datetime) -> None:
    """A masquerade swapped names; ids stay."""
    channel = sight.known(book, event)
    name = event.get("Newname", "")
    if channel is None or channel.helper or not name or name.endswith("<ZOMBIE>"):
        return
    channel.name, channel.endpoint = name, endpoint_of(name)


def hangup_request(book: Book, event: AmiMessage, at: datetime) -> None:
    """A channel's own side hangs up. It tells "the caller gave up" from "the dialplan ended it"."""
    channel = sight.known(book, event)
    if channel is None:
        return
    channel.left = True
    cause = sight.number(event.get("Cause"))
    if cause is not None:
        channel.cause = cause
    if channel is channel.call.anchor:
        book.caller_left(channel.call)


def hangup(book: Book, event: AmiMessage, at: datetime) -> None:
    channel = sight.known(book, event)
    if channel is not None:
        book.hang_up(channel, sight.number(event.get("Cause")), at)
    elif uniqueid := event.get("Uniqueid"):
        book.hung_up.add(uniqueid)
