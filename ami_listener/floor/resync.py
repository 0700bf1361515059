"""Taking over what the PBX says there is."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from ami_listener.floor import queues
from ami_listener.floor.snapshot import FloorSnapshot
from ami_listener.floor.state import MemberRecord, QueueRecord, Room, Waiter
from ami_listener.floor.words import IDLE, caller_of, device_state, state_by_number, whole
from ami_listener.message import AmiMessage


def settle(room: Room, snapshot: FloorSnapshot, at: datetime) -> None:
    """What the snapshot holds is there, nothing else is; what the PBX refused to say stays as it was."""
    if snapshot.queues is not None:
        _queues(room, snapshot.queues, at)
    if snapshot.devices is not None or snapshot.queues is not None:
        _phones(room, snapshot.devices, snapshot.queues or ())


def _queues(room: Room, rows: Iterable[AmiMessage], at: datetime) -> None:
    before, room.queues = room.queues, {}
    room.waits_in.clear()
    room.touched_queues.update(dict.fromkeys(before))
    entries: list[tuple[int, QueueRecord, AmiMessage]] = []
    for row in rows:
        name = row.get("Queue")
        if not name:
            continue
        if row.event == "QueueParams":
            queues.params(room.queue(name), row)
        elif row.event == "QueueMember":
            old = before.get(name)
            _member(room.queue(name), row, old.members if old is not None else {})
        elif row.event == "QueueEntry" and row.get("Uniqueid"):
            entries.append((whole(row.get("Position")) or 0, room.queue(name), row))
    for _, queue, row in sorted(entries, key=lambda entry: entry[0]):
        _waiter(room, queue, row, before.get(queue.name), at)


def _member(queue: QueueRecord, row: AmiMessage, before: dict[str, MemberRecord]) -> None:
    """A row of a list says Location and Name where an event says Interface and MemberName."""
    interface = row.get("Location") or row.get("Interface")
    if not interface:
        return
    queues.read_member(queue, interface, row, None)
    here, old = queue.members[interface], before.get(interface)
    if old is None:
        return
    if here.paused and old.paused and here.paused_at is None:
        here.paused_at = old.paused_at
    if here.ring_in_use is None:  # in events only
        here.ring_in_use = old.ring_in_use
    still = row["InCall"] == "1" if "InCall" in row else here.state not in IDLE
    if still and old.talks:
        here.talks = old.talks


def _waiter(
    room: Room, queue: QueueRecord, row: AmiMessage, before: QueueRecord | None, at: datetime
) -> None:
    uniqueid = row["Uniqueid"]
    if uniqueid in room.waits_in:
        return
    waiter = next((w for w in before.waiting if w.uniqueid == uniqueid), None) if before is not None else None
    if waiter is None:
        # Whoever was seen to join keeps that moment: it is more exact than whole seconds of waiting.
        joined_at = at - timedelta(seconds=whole(row.get("Wait")) or 0)
        caller = caller_of(row, room.rules.number)
        waiter = Waiter(uniqueid, room.call_id(uniqueid, row.get("Linkedid")), caller, joined_at)
    queue.waiting.append(waiter)
    room.waits_in[uniqueid] = queue


def _phones(room: Room, devices: Iterable[AmiMessage] | None, rows: Iterable[AmiMessage]) -> None:
    found = {
        row["StateInterface"]: state_by_number(row.get("Status"))
        for row in rows
        if row.event == "QueueMember" and row.get("StateInterface")
    }
    if devices is not None:
        found.update(pair for row in devices if (pair := device_state(row)) is not None)
        gone = room.phones.keys() - found.keys()
        for device in gone:
            del room.phones[device]
        room.touched_phones.update(dict.fromkeys(gone))
    for device, state in found.items():
        if room.is_phone(device):
            room.phone(device, state, since=None)
