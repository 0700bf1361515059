"""What is open at one PBX, by every id that an event may carry, and the telling of changes.

Every index is keyed by what an event carries, so an event costs the same with ten open calls as with two thousand.
"""

from datetime import datetime

from ami_listener.tracker import outcomes
from ami_listener.tracker.endpoints import EndpointRules
from ami_listener.tracker.recent import LeftQueues, RecentIds
from ami_listener.tracker.state import CallRecord, Channel
from shared.contracts.call import CallState, TimelineEntry

# A caller who waits for an hour while phones ring in turn must not make each update of his call longer: past this,
# what was written of the middle of the call is dropped.
_MAX_ENTRIES, _FIRST_ENTRIES = 400, 100


class Ledger:
    """Open calls of one PBX. `touched` collects the calls that the event at hand has changed."""

    def __init__(self, pbx: str, rules: EndpointRules) -> None:
        self.pbx = pbx
        self.rules = rules
        self.channels: dict[str, Channel] = {}
        self.calls: dict[str, CallRecord] = {}
        self.by_linkedid: dict[str, CallRecord] = {}
        self.bridges: dict[str, dict[str, Channel]] = {}
        self.rooms: set[str] = set()  # bridges that are conferences: who is left in one stays connected
        self.originating: dict[str, CallRecord] = {}  # by endpoint, until the called phone has answered
        self.hung_up = RecentIds()
        self.ended = RecentIds()  # call_ids
        self.left_queues = LeftQueues()
        self.round = 0
        self.lost_in = 0  # the round in which the link was lost
        # Has the PBX said what goes on since it was last out of sight? If not, has it been asked?
        self.in_sight = False
        self.asked = False
        self.touched: list[CallRecord] = []

    def note(self, call: CallRecord, change: str) -> None:
        """The call looks different now; `change` says how. The last change of an event names its update, but
        for a call's first."""
        if call.change is None:
            self.touched.append(call)
        if call.change != "started" or change == "ended":
            call.change = change
        if call.ended_at is None:
            call.state = state_of(call)

    def tell(
        self, call: CallRecord, at: datetime, what: str, who: str | None = None, detail: str | None = None
    ) -> None:
        """Note a change and write it into the call's timeline."""
        if len(call.timeline) >= _MAX_ENTRIES:
            del call.timeline[_FIRST_ENTRIES]
        if call.gap and call.timeline:
            # What a resync finds out late may have begun before what was told.
            at = max(at, call.timeline[-1].at)
        call.timeline.append(TimelineEntry(at=at, what=what, who=who, detail=detail))
        self.note(call, what)


def state_of(call: CallRecord) -> CallState:
    """State of a call that has not ended."""
    ringing, talking, held = outcomes.leg_states(call)
    if talking:
        held = held or any(hold.ended_at is None for hold in call.holds)
        return CallState.HELD if held else CallState.ANSWERED
    if ringing:
        return CallState.RINGING
    if call.queue is not None and call.queue.left_at is None:
        return CallState.QUEUED
    if call.parked is not None:
        return CallState.HELD
    if call.caller_left:
        return call.state  # what is left of it is only torn down
    if call.originated and call.answered_at is None:
        return CallState.RINGING  # the agent has answered, the customer is about to be called
    if call.picked_up_by_dialplan or call.answered_at is not None:
        return CallState.IVR
    return CallState.NEW
