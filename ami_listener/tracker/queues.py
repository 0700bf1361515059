"""Callers wait in queues."""

from datetime import datetime

from ami_listener.message import AmiMessage
from ami_listener.tracker import sight
from ami_listener.tracker.book import Book
from shared.contracts.call import QueueOutcome


def join(book: Book, event: AmiMessage, at: datetime) -> None:
    channel = sight.main(book, event, at)
    name = event.get("Queue")
    if channel is not None and name:
        book.join_queue(channel.call, name, sight.number(event.get("Position")), at)


def leave(book: Book, event: AmiMessage, at: datetime) -> None:
    channel = sight.known(book, event)
    queue = channel.call.queue if channel is not None else None
    if channel is not None and queue is not None and queue.left_at is None:
        book.leave_queue(channel.call, queue, at)


def abandon(book: Book, event: AmiMessage, at: datetime) -> None:
    """The caller left, or the time limit ran out: the PBX says the same for both. `leave` follows."""
    channel = sight.known(book, event)
    if channel is not None and channel.call.queue is not None:
        channel.call.queue.gave_up = True


def connect(book: Book, event: AmiMessage, at: datetime) -> None:
    channel = sight.known(book, event)
    queue = channel.call.queue if channel is not None else None
    if channel is None or queue is None:
        return
    target = sight.known(book, event, "DestUniqueid")
    if target is not None and not target.helper and target is not target.call.anchor:
        book.answer(target, at)
    queue.left_at = queue.left_at or at
    if queue.outcome is not QueueOutcome.ANSWERED:
        queue.outcome = QueueOutcome.ANSWERED
        book.note(channel.call, "answered")
