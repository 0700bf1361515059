"""AMI events in, call updates out. Pure: no socket, no Redis, no clock but the events' own."""

from collections.abc import Callable, Iterable
from datetime import datetime

from ami_listener.message import AmiMessage
from ami_listener.tracker import (
    blind,
    bridges,
    channels,
    dial,
    facts,
    parking,
    queues,
    restore,
    resync,
    transfers,
)
from ami_listener.tracker.book import Book
from ami_listener.tracker.endpoints import EndpointRules
from ami_listener.tracker.snapshot import PbxSnapshot
from ami_listener.tracker.state import CallRecord
from ami_listener.tracker.view import to_call
from shared.contracts.call import Call, CallUpdate

_Handler = Callable[[Book, AmiMessage, datetime], None]

HANDLERS: dict[str, _Handler] = {
    "Newchannel": channels.newchannel,
    "Newstate": channels.newstate,
    "NewCallerid": channels.newcallerid,
    "Rename": channels.rename,
    "HangupRequest": channels.hangup_request,
    "Hangup": channels.hangup,
    "DialBegin": dial.dial_begin,
    "DialEnd": dial.dial_end,
    "OriginateResponse": dial.originate_response,
    "QueueCallerJoin": queues.join,
    "QueueCallerLeave": queues.leave,
    "QueueCallerAbandon": queues.abandon,
    "AgentConnect": queues.connect,
    "AgentRingNoAnswer": dial.ring_no_answer,
    "BridgeEnter": bridges.enter,
    "BridgeLeave": bridges.leave,
    "Hold": bridges.hold,
    "Unhold": bridges.unhold,
    "BlindTransfer": transfers.blind,
    "AttendedTransfer": transfers.attended,
    "Pickup": transfers.pickup,
    "ParkedCall": parking.parked,
    "ParkedCallTimeOut": parking.timed_out,
    "DTMFEnd": facts.digit,
    "UserEvent": facts.user_event,
    "VarSet": facts.varset,
}

# Room for several updates in one millisecond; with the milliseconds of today still far below 2**53, the largest
# whole number that JavaScript holds.
_VERSIONS_PER_MS = 100


class Tracker:
    """Follows the calls of one PBX.

    pbx: its name, the first part of each call_id.
    rules: which ends are agents' phones, which are trunks.
    version_floor: the highest version that was ever published for this PBX, 0 if unknown; new ones are above it.

    Nothing here raises on what a PBX may send. `problems` counts events that a defect of ours made unusable, and
    `last_problem` says what it was; both stay 0 and None in normal life.
    """

    def __init__(self, pbx: str, rules: EndpointRules | None = None, version_floor: int = 0) -> None:
        self._book = Book(pbx, rules if rules is not None else EndpointRules())
        self._version = version_floor
        self._booted_at: str | None = None
        self.problems = 0
        self.last_problem: str | None = None

    @property
    def version(self) -> int:
        """The version given last."""
        return self._version

    def use_rules(self, rules: EndpointRules) -> None:
        """From now on tell ends apart by these. Channels that are there keep what they were taken for, so that no leg
        changes its agent in the middle of a conversation."""
        self._book.rules = rules

    def stamp(self, at: datetime) -> int:
        """The next version: above every one given before, here or by a listener before us, and close to the time."""
        self._version = max(self._version + 1, int(at.timestamp() * 1000) * _VERSIONS_PER_MS)
        return self._version

    def handle(self, event: AmiMessage, at: datetime) -> list[CallUpdate]:
        """One event, in the order of the wire. `at`: when it was received, UTC."""
        handler = HANDLERS.get(event.get("Event", ""))
        if handler is None:
            return []
        book = self._book
        try:
            handler(book, event, at)
        except Exception as error:  # one bad event must not cost the rest of the stream; tests assert none
            self.problems += 1
            self.last_problem = f"{event.event}: {type(error).__name__}: {error}"
        return self._updates(at) if book.touched else []

    def raise_floor(self, version: int) -> None:
        """Versions from now on are above this one: another listener has given it."""
        self._version = max(self._version, version)

    def remember(self, told: Iterable[CallUpdate], at: datetime) -> int:
        """Take up open calls that a listener has told of, before the resync that judges them; returns how many were
        not known. Their history goes on; the PBX says what has become of them."""
        told = list(told)
        self.raise_floor(max((update.version for update in told), default=0))
        return restore.remember(self._book, (update.call for update in told))

    def forget_unseen(self, at: datetime) -> list[CallUpdate]:
        """In place of `settle` where the PBX lets nobody list its channels: remembered calls end that no event has
        spoken of."""
        restore.settle(self._book, (), at, all_known=False)
        self._book.listed(at)
        self._book.hung_up.release()
        self._book.left_queues.release()
        return self._updates(at)

    def lose_sight(self, at: datetime) -> list[CallUpdate]:
        """Call when the link is lost. Open calls have a gap from here on; how they go on is known by the next events
        and by `settle`. Called again before that, it says nothing new."""
        self._book.in_sight = self._book.asked = False
        self._book.lost_in = self._book.round
        blind.lose_sight(self._book, at)
        return self._updates(at)

    def begin_resync(self, at: datetime) -> None:
        """Call before the PBX is asked for its channels: what is first seen from here on is newer than its answer.
        After a lost link call it at once: until the answer is there, events may tell of half a call."""
        self._book.round += 1
        self._book.asked = not self._book.in_sight
        self._book.hung_up.hold()
        self._book.left_queues.hold()

    def settle(self, snapshot: PbxSnapshot, at: datetime) -> list[CallUpdate]:
        """Take over what the PBX says is going on. Without `begin_resync` before, everything known is judged."""
        restarted = (
            self._booted_at is not None
            and snapshot.booted_at is not None
            and snapshot.booted_at != self._booted_at
        )
        self._booted_at = snapshot.booted_at or self._booted_at
        if self._book.round == 0:
            self._book.round = 1
        resync.settle(self._book, snapshot, restarted, at)
        self._book.listed(at)
        self._book.hung_up.release()
        self._book.left_queues.release()
        return self._updates(at)

    def open_calls(self) -> list[Call]:
        """Every call that goes on, as it is now."""
        book = self._book
        return [to_call(book.pbx, call) for call in book.calls.values() if call.visible]

    def call_id_of(self, uniqueid: str) -> str | None:
        """The call that a channel is in."""
        channel = self._book.channels.get(uniqueid)
        return channel.call.call_id if channel is not None else None

    def resend(self, at: datetime) -> list[CallUpdate]:
        """Each open call once more with a new version, for a consumer that may have lost some."""
        for call in self._book.calls.values():
            if call.visible:
                self._book.note(call, "resent")
        return self._updates(at)

    def size(self) -> dict[str, int]:
        """How much is remembered, by kind; all 0 when no channel is up. For metrics and against leaks."""
        book = self._book
        return {
            "calls": len(book.calls),
            "channels": len(book.channels),
            "linkedids": len(book.by_linkedid),
            "bridges": len(book.bridges),
            "originating": len(book.originating),
        }

    def _updates(self, at: datetime) -> list[CallUpdate]:
        touched = self._book.touched
        updates = [self._update(call, at) for call in touched if call.visible]
        for call in touched:
            call.change = None
        touched.clear()
        return updates

    def _update(self, call: CallRecord, at: datetime) -> CallUpdate:
        pbx = self._book.pbx
        return CallUpdate(
            pbx=pbx,
            call_id=call.call_id,
            version=self.stamp(at),
            change=call.change or "changed",
            at=at,
            call=to_call(pbx, call),
        )
