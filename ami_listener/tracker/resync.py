"""Settling the difference between the book and what the PBX says is going on."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from ami_listener.message import AmiMessage
from ami_listener.tracker import blind, restore, sight
from ami_listener.tracker.book import Book, is_first
from ami_listener.tracker.endpoints import EndpointKind
from ami_listener.tracker.recent import LeftQueue
from ami_listener.tracker.snapshot import PbxSnapshot
from ami_listener.tracker.state import RINGING, UP, CallRecord, Channel
from shared.contracts.call import LegEndReason, TransferOutcome


def settle(book: Book, snapshot: PbxSnapshot, restarted: bool, at: datetime) -> None:
    """Calls that began unseen begin, calls that ended unseen end; both with their gap marked.

    Only channels first seen before the resync began are judged by the snapshot: it was read after them. What was
    seen since then is newer than its answers.
    """
    there = {row.get("Uniqueid", ""): row for row in snapshot.channels}
    gone = [
        channel
        for channel in book.channels.values()
        if channel.round < book.round
        and (channel.uniqueid not in there or (restarted and channel.round <= book.lost_in))
    ]
    for channel in gone:  # all of them at once, so that no leg ends because of how another one did
        if channel.leg is not None:
            book.end_leg(channel.call, channel.leg, LegEndReason.UNKNOWN, at)
    for channel in gone:
        _gone(book, channel, at)
    new: list[Channel] = []
    taken_up: list[Channel] = []
    began = {uniqueid: at - _duration(row.get("Duration")) for uniqueid, row in there.items()}
    restore.claim(
        book,
        {
            row.get("Channel", ""): (row.get("Linkedid", ""), began[uniqueid])
            for uniqueid, row in there.items()
        },
    )
    for uniqueid, row in there.items():
        known = book.channels.get(uniqueid)
        here = known or _found(book, row, began[uniqueid])
        if here is None:
            continue
        here.round = book.round
        if known is None and here.call.remembered is not None:
            restore.take_up(book, here, at)
            taken_up.append(here)
        elif known is None:
            new.append(here)
        elif known.state != UP and sight.number(row.get("ChannelState")) == UP:
            known.state = UP
            known.call.gap = True
        if row.get("BridgeId"):
            book.enter_bridge(here, row["BridgeId"])
        if known is not None and known.leg is None and known.call.gap and known.call.anchor is not None:
            # It was new when the link was lost: who calls it was not seen.
            _take_part(book, known, at)
    _not_parked_any_more([*taken_up, *new])
    calls = {channel.call.call_id: channel.call for channel in new}
    for channel in new:
        channel.call.started_at = min(channel.call.started_at, began[channel.uniqueid])
    for call in calls.values():
        _begin(book, call, at)
    for channel in new:
        # A call that goes on may have been passed to a phone unseen, but none rang for it before it began.
        _take_part(book, channel, max(began[channel.uniqueid], channel.call.started_at))
    restore.settle(book, taken_up, at, all_known=True)
    _bridged(book, at)
    _queues(book, snapshot, there, at)
    waited = {entry.get("Uniqueid", ""): _waited(entry) for entry in snapshot.queue_entries}
    blind.confirm(book.calls.values(), there, waited, began, at)
    for call in calls.values():
        if call.visible:
            book.note(call, "found")


def _gone(book: Book, channel: Channel, at: datetime) -> None:
    call = channel.call
    call.gap = True
    if len(call.channels) == 1 or channel is call.anchor:
        call.blind_end = True
    book.hang_up(channel, None, at)


def _found(book: Book, row: AmiMessage, at: datetime) -> Channel | None:
    get = row.get
    return book.channel(
        get("Uniqueid", ""),
        get("Linkedid", ""),
        get("Channel", ""),
        sight.number(get("ChannelState")) or 0,
        get("CallerIDNum"),
        get("CallerIDName"),
        get("Context", ""),
        get("Exten", ""),
        at,
        gap=True,
    )


def _not_parked_any_more(came: Iterable[Channel]) -> None:
    """Who was parked is with somebody, or a phone is called for him: fetched, or given back, nobody saw which."""
    for channel in came:
        call, leg = channel.call, channel.leg
        gave_him_away = leg is not None and not leg.alive
        if call.parked is None or channel is call.parked or channel.helper or gave_him_away:
            continue
        call.parked = None
        for transfer in call.transfers:
            transfer.outcome = transfer.outcome or TransferOutcome.UNKNOWN


def _begin(book: Book, call: CallRecord, at: datetime) -> None:
    """Choose who the call is about: the first channel, else the customer's, else whoever was there longest."""
    call.gap = True
    real = [c for c in call.channels.values() if not c.helper]
    if call.anchor is not None or not real:
        return
    anchor = next((c for c in real if is_first(c)), None)
    if anchor is None or anchor.state == RINGING:
        trunks = [c for c in real if c.kind is EndpointKind.TRUNK and c.state != RINGING]
        anchor = trunks[0] if trunks else anchor
    if anchor is None:
        talking = [c for c in real if c.state != RINGING]
        anchor = talking[0] if talking else None
    if anchor is None:
        return
    if anchor.state == RINGING:
        book.call_out(anchor, None, at)
    else:
        book.arrive(anchor, call.started_at)
        call.picked_up_by_dialplan = anchor.state == UP


def _take_part(book: Book, channel: Channel, at: datetime) -> None:
    """`at`: when the channel was made, the best guess of when its phone began to ring or was answered."""
    if channel.helper or channel is channel.call.anchor:
        return
    if channel.state == RINGING:
        book.ring(channel, at)
    elif channel.state == UP:
        book.answer(channel, at)


def _bridged(book: Book, at: datetime) -> None:
    for channel in book.channels.values():
        call = channel.call
        if channel.helper or channel.bridge is None:
            continue
        if channel is not call.anchor:
            if channel.leg is not None and channel.leg.alive and channel.leg.answered_at is None:
                book.answer(channel, at)
        else:
            partner = book.partner(channel)
            if partner is not None and partner.call is call and call.talking_to != partner.endpoint:
                call.talking_to = partner.endpoint
                book.note(call, "talking")


def _queues(book: Book, snapshot: PbxSnapshot, there: dict[str, AmiMessage], at: datetime) -> None:
    waiting = {entry.get("Uniqueid", ""): entry for entry in snapshot.queue_entries}
    for uniqueid, entry in waiting.items():
        waiter = book.channels.get(uniqueid)
        name = entry.get("Queue")
        if waiter is None or not name or not waiter.call.gap:
            continue
        call, left = waiter.call, book.left_queues.get(uniqueid, name)
        if call.queue is None or call.queue.name != name or (call.queue.left_at is not None and left is None):
            since = max(at - _waited(entry), call.started_at)
            book.join_queue(call, name, sight.number(entry.get("Position")), since)
            if left is not None:
                _leave(book, call, left)
    for uniqueid, row in there.items():
        channel = book.channels.get(uniqueid)
        if channel is None or uniqueid in waiting:
            continue
        call = channel.call
        queue = call.queue
        # Still in the Queue application and in no bridge means waiting, also where QueueStatus may not be asked.
        in_queue = row.get("Application") == "Queue" and not row.get("BridgeId")
        if channel is call.anchor and queue is not None and queue.left_at is None and not in_queue:
            book.leave_queue(call, queue, at)


def _leave(book: Book, call: CallRecord, left: LeftQueue) -> None:
    """The caller whom the PBX listed as waiting was gone when its list came."""
    if call.queue is None:
        return
    if left.answered:
        book.answer_in_queue(call, call.queue, left.at)
    else:
        call.queue.unsure = True  # who answered, or that he gave up, was seen before his stay was known
        book.leave_queue(call, call.queue, left.at)


def _waited(entry: AmiMessage) -> timedelta:
    return timedelta(seconds=sight.number(entry.get("Wait")) or 0)


def _duration(value: str | None) -> timedelta:
    """`00:01:30` as a span; nothing for anything else."""
    parts = (value or "").split(":")
    if len(parts) != 3 or not all(p.isascii() and p.isdigit() and len(p) <= 4 for p in parts):
        return timedelta()
    hours, minutes, seconds = (int(p) for p in parts)
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)
