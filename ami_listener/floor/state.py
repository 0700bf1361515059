"""What is known of phones and queues, and what of it was touched since somebody looked."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from ami_listener.floor.words import is_device
from ami_listener.tracker.endpoints import EndpointKind, EndpointRules
from shared.contracts.call import Caller
from shared.contracts.floor import Membership, PhoneState


@dataclass(slots=True)
class PhoneRecord:
    state: PhoneState
    since: datetime | None


@dataclass(slots=True)
class MemberRecord:
    """row: the headers it was read from, to see at once that nothing is new. talks: Uniqueid of the caller → since
    when; "" stands for one whose beginning was not seen."""

    interface: str
    device: str
    row: tuple[str | None, ...] = ()
    name: str | None = None
    state: PhoneState = PhoneState.UNKNOWN
    membership: Membership | None = None
    penalty: int = 0
    ring_in_use: bool | None = None
    paused: bool = False
    pause_reason: str | None = None
    paused_at: datetime | None = None
    calls_taken: int = 0
    last_call_at: datetime | None = None
    logged_in_at: datetime | None = None
    wrapup_seconds: int = 0
    talks: dict[str, datetime | None] = field(default_factory=dict)


@dataclass(slots=True)
class Waiter:
    uniqueid: str
    call_id: str
    caller: Caller
    joined_at: datetime


@dataclass(slots=True)
class QueueRecord:
    name: str
    strategy: str | None = None
    max_waiting: int | None = None
    service_level: int | None = None
    hold: int | None = None
    talk: int | None = None
    completed: int | None = None
    abandoned: int | None = None
    members: dict[str, MemberRecord] = field(default_factory=dict)
    waiting: list[Waiter] = field(default_factory=list)


class Room:
    """Everything known. `queues` by name, `phones` by device; touched_*: names that may look different now."""

    def __init__(self, pbx: str, rules: EndpointRules, call_of: Callable[[str], str | None]) -> None:
        self.pbx = pbx
        self.rules = rules
        self.queues: dict[str, QueueRecord] = {}
        self.phones: dict[str, PhoneRecord] = {}
        self.waits_in: dict[str, QueueRecord] = {}
        self.touched_queues: dict[str, None] = {}
        self.touched_phones: dict[str, None] = {}
        # Off while events are applied once more: what a list has counted would be counted twice.
        self.counting = True
        self._call_of = call_of
        self._phones_known: dict[str, bool] = {}

    def queue(self, name: str) -> QueueRecord:
        """The queue of this name, a new one if need be, which then is touched."""
        queue = self.queues.get(name)
        if queue is None:
            queue = self.queues[name] = QueueRecord(name)
            self.touched_queues[name] = None
        return queue

    def touch(self, queue: QueueRecord) -> None:
        self.touched_queues[queue.name] = None

    def phone(self, device: str, state: PhoneState, since: datetime | None) -> None:
        """A phone is in this state; since: when it changed, None if that was not seen."""
        known = self.phones.get(device)
        if known is None or known.state is not state:
            self.phones[device] = PhoneRecord(state, since)
            self.touched_phones[device] = None

    def is_phone(self, device: str) -> bool:
        """Is it somebody's phone, not a trunk, a key or a queue?"""
        known = self._phones_known.get(device)
        if known is None:
            # A PBX has as many devices as are configured, so this does not grow.
            known = is_device(device) and self.rules.kind(device, "", None) is not EndpointKind.TRUNK
            self._phones_known[device] = known
        return known

    def know(self, rules: EndpointRules) -> None:
        """Other rules: whose phone is whose may have changed."""
        self.rules = rules
        self._phones_known.clear()

    def call_id(self, uniqueid: str, linkedid: str | None) -> str:
        """The call that a channel is in: as the tracker says, else as it would name a call that begins with it."""
        return self._call_of(uniqueid) or f"{self.pbx}-{linkedid or uniqueid}"
