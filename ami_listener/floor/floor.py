"""AMI events in, the floor's messages out. Pure: no socket, no Redis, no clock but the events' own."""

from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime

from ami_listener.floor import phones, queues, resync, view
from ami_listener.floor.snapshot import FloorSnapshot
from ami_listener.floor.state import Room
from ami_listener.message import AmiMessage
from ami_listener.tracker.endpoints import EndpointRules
from shared.contracts.floor import FloorMessage, FloorRoster, Phone, PhoneUpdate, Queue, QueueUpdate

_Handler = Callable[[Room, AmiMessage, datetime], None]

HANDLERS: dict[str, _Handler] = {
    "DeviceStateChange": phones.changed,
    "QueueMemberStatus": queues.member,
    "QueueMemberAdded": queues.member,
    "QueueMemberRemoved": queues.removed,
    "QueueMemberPause": queues.member,
    "QueueMemberPenalty": queues.member,
    "QueueMemberRinginuse": queues.member,
    "QueueCallerJoin": queues.join,
    "QueueCallerLeave": queues.leave,
    "QueueCallerAbandon": queues.abandon,
    "AgentConnect": queues.connect,
    "AgentComplete": queues.complete,
}

# Events kept between asking the PBX for its lists and their end: some seconds of the busiest system. If more come,
# the oldest are forgotten, which are those that the lists know best.
_KEPT_EVENTS = 20_000


class Floor:
    """Follows the phones and queues of one PBX.

    pbx: its name. rules: whose phone is whose. stamp: gives the next version, as `Tracker.stamp`.
    call_of: the call_id of the call that a channel's Uniqueid is in, None if not known.
    wrapup: wrap-up time by queue in seconds, as configured at the PBX, which does not tell it.

    Nothing here raises on what a PBX may send. `problems` and `last_problem` as at the tracker.
    """

    def __init__(
        self,
        pbx: str,
        rules: EndpointRules,
        stamp: Callable[[datetime], int],
        *,
        call_of: Callable[[str], str | None] = lambda _: None,
        wrapup: Mapping[str, int] | None = None,
    ) -> None:
        self.pbx = pbx
        self.problems = 0
        self.last_problem: str | None = None
        self._room = Room(pbx, rules, call_of)
        self._whose = view.Whose(rules)
        self._stamp = stamp
        self._wrapup = wrapup or {}
        self._since: deque[tuple[AmiMessage, datetime]] | None = None
        self._settled = self._roster_due = False
        # What was taken last, so that nothing is said twice.
        self._said_queues: dict[str, Queue] = {}
        self._said_phones: dict[str, Phone] = {}

    @property
    def waiting(self) -> bool:
        """May `take` have something?"""
        room = self._room
        return bool(room.touched_queues or room.touched_phones or self._roster_due)

    def handle(self, event: AmiMessage, at: datetime) -> bool:
        """One event, in the order of the wire, after the tracker had it; `waiting` for whoever publishes."""
        handler = HANDLERS.get(event.get("Event", ""))
        if handler is None:
            return False
        if self._since is not None:
            self._since.append((event, at))
        self._apply(handler, event, at)
        return self.waiting

    def begin_resync(self) -> None:
        """Call before the PBX is asked for its lists: what happens from here on is newer than they are."""
        self._since = deque(maxlen=_KEPT_EVENTS)

    def settle(self, snapshot: FloorSnapshot, at: datetime) -> None:
        """Take over what the PBX says there is. Events since `begin_resync` are applied once more on top: in
        their order they lead to what is now, wherever between them the lists were made. Only counters may miss
        what was counted meanwhile, so ask for QueueStatus last."""
        resync.settle(self._room, snapshot, at)
        since, self._since = self._since or (), None
        self._room.counting = False
        for event, then in since:
            self._apply(HANDLERS[event.event], event, then)
        self._room.counting = True
        self._settled = self._roster_due = True

    def take(self, at: datetime) -> list[FloorMessage]:
        """Every change since the last time, whole; nothing where a reader would see no difference."""
        room, messages = self._room, list[FloorMessage]()
        for name in room.touched_queues:
            record = room.queues.get(name)
            if record is None:
                self._said_queues.pop(name, None)
                continue
            queue = view.queue(record, self._whose, self._wrapup)
            if self._said_queues.get(name) != queue:
                self._said_queues[name] = queue
                messages.append(QueueUpdate(pbx=self.pbx, version=self._stamp(at), at=at, queue=queue))
        for device in room.touched_phones:
            known = room.phones.get(device)
            if known is None:
                self._said_phones.pop(device, None)
                continue
            phone = view.phone(device, known, self._whose)
            if self._said_phones.get(device) != phone:
                self._said_phones[device] = phone
                messages.append(PhoneUpdate(pbx=self.pbx, version=self._stamp(at), at=at, phone=phone))
        room.touched_queues.clear()
        room.touched_phones.clear()
        if self._roster_due:
            self._roster_due = False
            messages.append(
                FloorRoster(
                    pbx=self.pbx,
                    version=self._stamp(at),
                    at=at,
                    queues=sorted(room.queues),
                    phones=sorted(room.phones),
                )
            )
        return messages

    def resend(self) -> None:
        """Have `take` give everything once more, for a Redis that may have lost it."""
        self._said_queues.clear()
        self._said_phones.clear()
        self._touch_all()
        self._roster_due = self._settled  # before, nobody knows what there is not

    def know(self, rules: EndpointRules) -> None:
        """Other rules: agents have changed phones."""
        self._room.know(rules)
        self._whose = view.Whose(rules)
        self._touch_all()

    def size(self) -> dict[str, int]:
        """How much is remembered, by kind."""
        room = self._room
        return {
            "queues": len(room.queues),
            "members": sum(len(queue.members) for queue in room.queues.values()),
            "waiting": len(room.waits_in),
            "phones": len(room.phones),
        }

    def _apply(self, handler: _Handler, event: AmiMessage, at: datetime) -> None:
        try:
            handler(self._room, event, at)
        except Exception as error:  # one bad event must not cost the rest of the stream; tests assert none
            self.problems += 1
            self.last_problem = f"{event.event}: {type(error).__name__}: {error}"

    def _touch_all(self) -> None:
        room = self._room
        room.touched_queues.update(dict.fromkeys(room.queues))
        room.touched_phones.update(dict.fromkeys(room.phones))
