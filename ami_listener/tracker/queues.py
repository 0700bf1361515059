"""Callers wait in queues."""

from datetime import datetime

from ami_listener.message import AmiMessage
from ami_listener.tracker import sight
from ami_listener.tracker.book import Book
from ami_listener.tracker.state import Channel, QueueRecord


def join(book: Book, event: AmiMessage, at: datetime) -> None:
    channel = sight.main(book, event, at)
    name = event.get("Queue")
    if channel is None or not name:
        return
    book.left_queues.discard(channel.uniqueid)
    position = sight.number(event.get("Position"))
    if _consults(book, channel):
        channel.call.asked = QueueRecord(name, at, position)
    else:
        queue = book.join_queue(channel.call, name, position, at)
        book.tries(channel.call, queue, channel, at)


def leave(book: Book, event: AmiMessage, at: datetime) -> None:
    book.left_queues.add(event.get("Uniqueid", ""), event.get("Queue", ""), at)
    channel = sight.known(book, event)
    if channel is None:
        return
    call, queue = channel.call, _stay(channel)
    if queue is None or queue.left_at is not None:
        return
    if queue is call.asked:
        call.asked = None
    else:
        book.leave_queue(call, queue, at)


def abandon(book: Book, event: AmiMessage, at: datetime) -> None:
    """The caller left, or the time limit ran out: the PBX says the same for both. `leave` follows."""
    channel = sight.known(book, event)
    queue = _stay(channel) if channel is not None else None
    if queue is not None:
        queue.gave_up = True


def connect(book: Book, event: AmiMessage, at: datetime) -> None:
    book.left_queues.add(event.get("Uniqueid", ""), event.get("Queue", ""), at, answered=True)
    channel = sight.known(book, event)
    queue = _stay(channel) if channel is not None else None
    if channel is None or queue is None:
        return
    target = sight.known(book, event, "DestUniqueid")
    if target is not None and not target.helper and target is not target.call.anchor:
        book.answer(target, at)
    if queue is channel.call.asked:
        return
    book.answer_in_queue(channel.call, queue, at)


def _stay(channel: Channel) -> QueueRecord | None:
    """Which stay in a queue the channel's event is about."""
    call = channel.call
    return call.asked if channel.helper and call.asked is not None else call.queue


def _consults(book: Book, channel: Channel) -> bool:
    """Is it an agent who waits there, before he passes the customer on? (Feature code: a Local channel that nobody
    dialled, while the customer is in conversation.)"""
    if not channel.helper or channel.call.originated:
        return False
    half = book.other_half(channel)
    return half is not None and half.dialled_by is None and any(leg.talking for leg in channel.call.legs)
