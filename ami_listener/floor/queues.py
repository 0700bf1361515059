"""Queues: members come, pause and talk; callers join, wait and leave."""

from datetime import datetime

from ami_listener.floor.state import MemberRecord, QueueRecord, Room, Waiter
from ami_listener.floor.words import IDLE, caller_of, moment, state_by_number, whole
from ami_listener.message import AmiMessage
from shared.contracts.floor import Membership

# What a member is read from. A storm of rows that say nothing new costs comparing these.
_HEADERS = (
    "MemberName",
    "StateInterface",
    "Membership",
    "Penalty",
    "CallsTaken",
    "LastCall",
    "LastPause",
    "LoginTime",
    "Status",
    "Paused",
    "PausedReason",
    "Reason",
    "Ringinuse",
    "Wrapuptime",
)
_MEMBERSHIPS = {word.value: word for word in Membership}
# A beginning that was not seen, in the place of the caller's Uniqueid.
_UNSEEN = ""


def member(room: Room, event: AmiMessage, at: datetime) -> None:
    """QueueMemberAdded, …Status, …Pause, …Penalty, …Ringinuse: each carries the whole member."""
    queue = _queue(room, event)
    interface = event.get("Interface")
    if queue is None or not interface:
        return
    if read_member(queue, interface, event, at):
        room.touch(queue)


def read_member(queue: QueueRecord, interface: str, row: AmiMessage, at: datetime | None) -> bool:
    """Take over a row; is anything new? at: when what it says happened, None if it was so before."""
    known = queue.members.get(interface)
    here = known or MemberRecord(interface, row.get("StateInterface") or interface)
    queue.members[interface] = here
    seen = tuple(map(row.get, _HEADERS))
    new = known is None or seen != here.row
    if new:
        here.row = seen
        _read(here, row, at)
    return _talks_repaired(here, row) or new


def _read(here: MemberRecord, row: AmiMessage, at: datetime | None) -> None:
    """What a version of Asterisk does not send stays as it is."""
    get = row.get
    here.device = get("StateInterface") or here.device
    here.name = get("MemberName") or get("Name") or here.name
    here.membership = _MEMBERSHIPS.get(get("Membership", ""), here.membership)
    if "Status" in row:
        here.state = state_by_number(row["Status"])
    if "Ringinuse" in row:
        here.ring_in_use = row["Ringinuse"] == "1"
    here.penalty = _newer(get("Penalty"), here.penalty)
    here.calls_taken = _newer(get("CallsTaken"), here.calls_taken)
    here.wrapup_seconds = _newer(get("Wrapuptime"), here.wrapup_seconds)
    here.last_call_at = moment(get("LastCall")) or here.last_call_at
    here.logged_in_at = moment(get("LoginTime")) or here.logged_in_at
    if "Paused" in row:
        _pause(here, row, at)


def _newer(value: str | None, known: int) -> int:
    number = whole(value)
    return known if number is None else number


def _pause(here: MemberRecord, row: AmiMessage, at: datetime | None) -> None:
    paused = row["Paused"] == "1"
    if not paused:
        here.paused_at = here.pause_reason = None
    else:
        # LastPause is newer than Asterisk 13; before, the moment is that of the event.
        since = at if not here.paused else here.paused_at
        here.paused_at = moment(row.get("LastPause")) or since
        here.pause_reason = row.get("PausedReason") or row.get("Reason") or None
    here.paused = paused


def _talks_repaired(here: MemberRecord, row: AmiMessage) -> bool:
    """Somebody talks whose AgentConnect was not seen, or nobody can talk although no AgentComplete was seen."""
    if row.get("InCall") == "1":
        if here.talks:
            return False
        here.talks[_UNSEEN] = None
        return True
    # Only on an idle phone: a row made before the answer can come after AgentConnect.
    if here.talks and here.state in IDLE:
        here.talks.clear()
        return True
    return False


def removed(room: Room, event: AmiMessage, at: datetime) -> None:
    queue = _queue(room, event)
    if queue is not None and queue.members.pop(event.get("Interface", ""), None) is not None:
        room.touch(queue)


def join(room: Room, event: AmiMessage, at: datetime) -> None:
    queue, uniqueid = _queue(room, event), event.get("Uniqueid")
    if queue is None or not uniqueid:
        return
    before = room.waits_in.get(uniqueid)
    waiter = None if before is None else _take_out(room, before, uniqueid)
    if waiter is None or before is not queue:
        call_id = room.call_id(uniqueid, event.get("Linkedid"))
        waiter = Waiter(uniqueid, call_id, caller_of(event, room.rules.number), at)
    position = whole(event.get("Position")) or len(queue.waiting) + 1
    queue.waiting.insert(position - 1, waiter)
    room.waits_in[uniqueid] = queue
    room.touch(queue)


def leave(room: Room, event: AmiMessage, at: datetime) -> None:
    uniqueid = event.get("Uniqueid", "")
    queue = room.waits_in.get(uniqueid)
    if queue is not None:
        _take_out(room, queue, uniqueid)


def _take_out(room: Room, queue: QueueRecord, uniqueid: str) -> Waiter | None:
    del room.waits_in[uniqueid]
    room.touch(queue)
    for index, waiter in enumerate(queue.waiting):
        if waiter.uniqueid == uniqueid:
            return queue.waiting.pop(index)
    return None


def abandon(room: Room, event: AmiMessage, at: datetime) -> None:
    """Counts one; QueueCallerLeave follows and takes the caller out."""
    queue = _queue(room, event)
    if queue is not None and queue.abandoned is not None and room.counting:
        queue.abandoned += 1
        room.touch(queue)


def connect(room: Room, event: AmiMessage, at: datetime) -> None:
    queue = _queue(room, event)
    if queue is None:
        return
    room.touch(queue)
    if room.counting:
        first = not queue.completed and not queue.abandoned
        queue.hold = _average(queue.hold, whole(event.get("HoldTime")), first=first)
    here = queue.members.get(event.get("Interface", ""))
    if here is not None:
        here.talks.pop(_UNSEEN, None)
        here.talks.setdefault(event.get("Uniqueid", _UNSEEN), at)


def complete(room: Room, event: AmiMessage, at: datetime) -> None:
    """The caller and the member parted, or one of them was transferred. The row that follows has the counters."""
    queue = _queue(room, event)
    if queue is None:
        return
    room.touch(queue)
    if room.counting:
        queue.talk = _average(queue.talk, whole(event.get("TalkTime")), first=not queue.completed)
        queue.completed = None if queue.completed is None else queue.completed + 1
    here = queue.members.get(event.get("Interface", ""))
    if here is not None:
        here.talks.pop(_UNSEEN, None)
        here.talks.pop(event.get("Uniqueid", _UNSEEN), None)


def _average(before: int | None, newest: int | None, *, first: bool) -> int | None:
    """As app_queue counts it: the newest call weighs a quarter, in whole seconds; the first is the average."""
    if before is None or newest is None:
        return before
    return newest if first else (3 * before + newest) >> 2


def params(queue: QueueRecord, row: AmiMessage) -> None:
    """QueueParams."""
    get = row.get
    queue.strategy = get("Strategy") or None
    queue.max_waiting = whole(get("Max")) or None  # 0 is "no limit"
    queue.service_level = whole(get("ServiceLevel"))
    queue.hold, queue.talk = whole(get("Holdtime")), whole(get("TalkTime"))
    queue.completed, queue.abandoned = whole(get("Completed")), whole(get("Abandoned"))


def _queue(room: Room, event: AmiMessage) -> QueueRecord | None:
    name = event.get("Queue")
    return room.queue(name) if name else None
