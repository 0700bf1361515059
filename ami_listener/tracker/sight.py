"""Finding the channel that an event speaks of; one that was never seen before is taken from the event itself."""

from datetime import datetime

from ami_listener.message import AmiMessage
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
    if channel.helper or call.anchor is not None or call.originated:
        return
    if not call.gap:
        if is_first(channel) and arrives(channel):
            book.arrive(channel, at)
        return
    # Its beginning was not seen. The conversation's first channel is the caller's, else a trunk is.
    if is_first(channel) or (channel.kind is EndpointKind.TRUNK and channel.state != RINGING):
        if channel.state == RINGING:
            book.call_out(channel, None, at)
        else:
            book.arrive(channel, at)
            if channel.state == UP:
                call.picked_up_by_dialplan = True
