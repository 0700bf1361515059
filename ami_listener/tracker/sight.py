"""Finding the channel that an event speaks of; one that was never seen before is taken from the event itself."""

from datetime import datetime

from ami_listener.message import AmiMessage
from ami_listener.tracker import restore
from ami_listener.tracker.book import Book, arrives, is_first
from ami_listener.tracker.endpoints import EndpointKind
from ami_listener.tracker.state import RINGING, UP, Channel


def number(value: str | None) -> int | None:
    """A header that should be a whole number."""
    return (
        int(value) if value and value.isascii() and value.lstrip("-").isdigit() and len(value) < 10 else None
    )


def main(book: Book, event: AmiMessage, at: datetime) -> Channel | None:
    """The channel of `Channel`/`Uniqueid`."""
    uniqueid = event.get("Uniqueid", "")
    return book.channels.get(uniqueid) or _first_sight(book, event, at, "", uniqueid)


def dest(book: Book, event: AmiMessage, at: datetime) -> Channel | None:
    """The channel of `DestChannel`/`DestUniqueid`."""
    uniqueid = event.get("DestUniqueid", "")
    return book.channels.get(uniqueid) or _first_sight(book, event, at, "Dest", uniqueid)


def named(book: Book, event: AmiMessage, at: datetime, prefix: str) -> Channel | None:
    """The channel of the headers that begin so: `Transferee`, `TransferTarget`, …"""
    uniqueid = event.get(prefix + "Uniqueid", "")
    return book.channels.get(uniqueid) or _first_sight(book, event, at, prefix, uniqueid)


def known(book: Book, event: AmiMessage, header: str = "Uniqueid") -> Channel | None:
    """The channel, if it has been seen before: events that end things make nothing new."""
    return book.channels.get(event.get(header, ""))


def _first_sight(book: Book, event: AmiMessage, at: datetime, prefix: str, uniqueid: str) -> Channel | None:
    if not uniqueid:
        return None
    get = event.get
    channel = book.channel(
        uniqueid,
        get(prefix + "Linkedid", ""),
        get(prefix + "Channel", ""),
        number(get(prefix + "ChannelState")) or 0,
        get(prefix + "CallerIDNum"),
        get(prefix + "CallerIDName"),
        get(prefix + "Context", ""),
        get(prefix + "Exten", ""),
        at,
        gap=True,
    )
    if channel is not None:
        place(book, channel, at)
    return channel


def place(book: Book, channel: Channel, at: datetime) -> None:
    """Give a channel that just appeared its part in the call, as far as that is clear by now."""
    call = channel.call
    if call.remembered is not None:
        restore.take_up(book, channel, at)
        return
    if channel.helper or call.originated:
        return
    if not call.gap:
        if call.anchor is None and is_first(channel) and arrives(channel):
            book.arrive(channel, at)
        return
    # The call's beginning was not seen. The conversation's first channel is the caller's; before it shows up, a
    # trunk is taken for it.
    first, guess = is_first(channel), call.anchor
    if guess is None:
        if channel.state == RINGING and first:
            book.call_out(channel, None, at)
        elif first or (channel.kind is EndpointKind.TRUNK and channel.state != RINGING):
            _arrived_unseen(book, channel, at)
    elif first and not is_first(guess) and guess.leg is None:
        _arrived_unseen(book, channel, at)
        if guess.state == UP:
            book.answer(guess, at)
        else:
            book.ring(guess, at)


def _arrived_unseen(book: Book, channel: Channel, at: datetime) -> None:
    book.arrive(channel, at)
    channel.call.picked_up_by_dialplan = channel.state == UP
