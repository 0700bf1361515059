"""Recordings as the floor gets them, and a floor as text that people can check."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import cache

from ami_listener.floor.events import FLOOR_WANTED
from ami_listener.floor.floor import Floor
from ami_listener.floor.snapshot import FloorSnapshot
from ami_listener.message import AmiMessage
from ami_listener.replay import read_timing
from ami_listener.wire import AmiFramer
from shared.contracts.floor import (
    FloorMessage,
    FloorRoster,
    Phone,
    PhoneUpdate,
    Queue,
    QueueMember,
    QueueUpdate,
)
from tests.ami_listener.tracker.recordings import FOLDER, START, Timed, rules

_LISTS = frozenset({"QueueParams", "QueueMember", "QueueEntry", "EndpointList", "ExtensionStatus"})


class Stamps:
    """Versions that grow, as the tracker's do."""

    def __init__(self) -> None:
        self.last = 0

    def __call__(self, at: datetime) -> int:
        self.last += 1
        return self.last


def new_floor(**more: object) -> Floor:
    return Floor("pbx", rules(), Stamps(), **more)  # type: ignore[arg-type]


@cache
def packets(name: str) -> tuple[Timed, ...]:
    """Everything of a recording that is about phones and queues, answers to lists included."""
    data = (FOLDER / f"{name}.ami").read_bytes()
    framer, found, begin = AmiFramer(FLOOR_WANTED | _LISTS), [], 0
    for ms, end in read_timing((FOLDER / f"{name}.timing").read_text()):
        for message in framer.feed(data[begin:end]):
            if message.event:
                found.append((START + timedelta(milliseconds=ms), message))
        begin = end
    return tuple(found)


def is_event(message: AmiMessage) -> bool:
    """An event, not the row of an answer: those have no Privilege."""
    return "Privilege" in message


def events(name: str) -> list[Timed]:
    return [(at, message) for at, message in packets(name) if is_event(message)]


def listed(name: str) -> FloorSnapshot:
    """The lists that were answered in a recording."""
    rows = [message for _, message in packets(name) if not is_event(message)]
    return FloorSnapshot(
        queues=tuple(row for row in rows if row.event.startswith("Queue")),
        devices=tuple(row for row in rows if row.event == "DeviceStateChange"),
    )


def feed(floor: Floor, stream: Iterable[Timed]) -> Floor:
    """No event may make it stumble."""
    for at, message in stream:
        floor.handle(message, at)
    assert floor.last_problem is None
    return floor


class Reader:
    """What somebody holds who reads the messages: the highest version of each."""

    def __init__(self) -> None:
        self.queues: dict[str, QueueUpdate] = {}
        self.phones: dict[str, PhoneUpdate] = {}

    def read(self, messages: Iterable[FloorMessage]) -> "Reader":
        for message in messages:
            if isinstance(message, QueueUpdate):
                held = self.queues.get(message.queue.name)
                if held is None or held.version < message.version:
                    self.queues[message.queue.name] = message
            elif isinstance(message, PhoneUpdate):
                known = self.phones.get(message.phone.device)
                if known is None or known.version < message.version:
                    self.phones[message.phone.device] = message
            else:
                self._roster(message)
        return self

    def _roster(self, roster: FloorRoster) -> None:
        for name, update in list(self.queues.items()):
            if name not in roster.queues and update.version < roster.version:
                del self.queues[name]
        for device, known in list(self.phones.items()):
            if device not in roster.phones and known.version < roster.version:
                del self.phones[device]

    def text(self) -> str:
        return text([u.queue for u in self.queues.values()], [u.phone for u in self.phones.values()])


def text(queues: Iterable[Queue], phones: Iterable[Phone]) -> str:
    """A line a phone, a few a queue; moments in seconds from the recording's beginning."""
    lines = [_phone(phone) for phone in sorted(phones, key=lambda phone: phone.device)]
    for queue in sorted(queues, key=lambda queue: queue.name):
        lines += _queue(queue)
    return "\n".join(lines) + "\n"


def _after(at: datetime | None) -> str:
    return "-" if at is None else f"{(at - START).total_seconds():.1f}"


def _clock(at: datetime | None) -> str:
    return "-" if at is None else f"{at:%H:%M:%S}"


def _phone(phone: Phone) -> str:
    return f"{phone.device} ({phone.agent}): {phone.state.value} since {_after(phone.since)}"


def _queue(queue: Queue) -> Iterator[str]:
    line = f"queue {queue.name}"
    if queue.strategy is not None:
        line += (
            f": {queue.strategy}, at most {queue.max_waiting}, in {queue.service_level_seconds} s;"
            f" {queue.completed} completed, {queue.abandoned} abandoned,"
            f" on average held {queue.average_hold_seconds} s, talked {queue.average_talk_seconds} s"
        )
    yield line
    for member in queue.members:
        yield f"  {queue.name} member {_member(member)}"
    for waiting in queue.waiting:
        caller = waiting.caller.number or waiting.caller.presentation.value
        yield (
            f"  {queue.name} waiting {waiting.position}: {caller} ({waiting.call_id})"
            f" since {_after(waiting.joined_at)}"
        )


def _member(member: QueueMember) -> str:
    how = member.membership.value if member.membership else None
    line = f"{member.interface} at {member.device} ({member.agent}, {member.name}), {how}, penalty {member.penalty}"
    line += f": {member.state.value}, took {member.calls_taken}, the last till {_clock(member.last_call_at)}"
    if member.in_call:
        line += f", talks since {_after(member.talking_since)}"
    if member.paused:
        line += f", paused at {_clock(member.paused_at)} for {member.pause_reason}"
    return line


__all__ = ["START", "Reader", "Timed", "events", "feed", "is_event", "listed", "new_floor", "packets", "text"]
