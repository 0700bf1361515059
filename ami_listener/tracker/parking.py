"""Callers are parked, to be fetched by a colleague, and given back to who parked them if nobody does.

Fetching needs no event of its own: the caller enters a bridge with the colleague who dialled the place.
"""

from datetime import datetime

from ami_listener.message import AmiMessage
from ami_listener.tracker import sight, transfers
from ami_listener.tracker.book import Book
from ami_listener.tracker.state import Channel
from shared.contracts.call import TransferKind, TransferOutcome


def parked(book: Book, event: AmiMessage, at: datetime) -> None:
    """A blind transfer to the place. BlindTransfer may come before it, after it, or (feature code) not at all."""
    parkee = sight.known(book, event, "ParkeeUniqueid")
    if parkee is None:
        return
    call, place = parkee.call, event.get("ParkingSpace")
    call.parked = parkee
    if parkee.helper:
        return  # the far half of a consultation; the transfer that follows says who was parked
    parker = _parker(parkee, event.get("ParkerDialString"))
    by = parker.endpoint if parker is not None else event.get("ParkerDialString") or None
    already = transfers.just_now(call, by, at)
    if already is not None:
        already.to = place
    else:
        transfers.record(book, call, TransferKind.BLIND, by, place, None, None, at)
    if parker is not None:
        transfers.gave_away(book, call, parker, parkee, at)
    book.tell(call, at, "parked", by, place)


def timed_out(book: Book, event: AmiMessage, at: datetime) -> None:
    """Nobody fetched the caller; the PBX calls who parked him, or does what else the dialplan says."""
    parkee = sight.known(book, event, "ParkeeUniqueid")
    if parkee is None or parkee.call.parked is not parkee:
        return
    call = parkee.call
    call.parked = None
    if call.transfers and call.transfers[-1].outcome is None:
        call.transfers[-1].outcome = TransferOutcome.NO_ANSWER
    book.tell(call, at, "not_fetched", None, event.get("ParkingSpace"))


def _parker(parkee: Channel, dial_string: str | None) -> Channel | None:
    """The channel of who parked: a channel of the same call at that endpoint."""
    found = (c for c in parkee.call.channels.values() if c.endpoint == dial_string and c is not parkee)
    return next(found, None)
