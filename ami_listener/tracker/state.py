"""What the tracker remembers of open calls. Mutable and internal; `view.py` turns it into the contract."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ami_listener.tracker.endpoints import EndpointKind
from shared.contracts.call import (
    CallEndReason,
    Caller,
    CallState,
    Direction,
    Leg,
    LegEndReason,
    LegState,
    Presentation,
    QueueOutcome,
    QueueStay,
    TimelineEntry,
    TransferKind,
    TransferOutcome,
)

# The PBX may tell of a transfer this much later than of what follows from it, when it is very busy.
TOLD_LATE = timedelta(seconds=1)

# Asterisk's channel states (AST_STATE_*) that mean something to us.
DOWN, RING, RINGING, UP = 0, 4, 5, 6


@dataclass(slots=True, eq=False)
class Channel:
    """One channel of the PBX, from its first event to its Hangup.

    number: CallerIDNum when it was new, the end's own number; a later one may be the other side's.
    helper: a Local half or the like: part of a call, nobody's phone.
    round: which resync it was first seen in; the next one may judge it as gone.
    dialled_by: the channel that dials this one, None if the PBX itself does (Originate).
    left: its own side hung up (HangupRequest), as opposed to being hung up on.
    """

    uniqueid: str
    linkedid: str
    name: str
    endpoint: str
    kind: EndpointKind
    helper: bool
    call: "CallRecord"
    state: int
    number: str | None
    caller_name: str | None
    context: str
    exten: str
    round: int
    bridge: str | None = None
    leg: "LegRecord | None" = None
    dialled_by: "Channel | None" = None
    cause: int | None = None
    left: bool = False


@dataclass(slots=True, eq=False)
class LegRecord:
    """A called end.

    rival: who answered last while this phone rang. Noted when it happens: several events may bear one time, and only
    their order tells what came first.
    """

    endpoint: str
    channel: str
    agent: str | None
    kind: EndpointKind
    number: str | None
    state: LegState = LegState.RINGING
    ringing_at: datetime | None = None
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    end_reason: LegEndReason | None = None
    rival: "LegRecord | None" = None
    unsure: bool = False  # what it was when the link was lost; nothing has shown yet that it still is
    view: Leg | None = None  # as it was told last: most updates leave most legs as they are

    @property
    def alive(self) -> bool:
        return self.ended_at is None

    @property
    def talking(self) -> bool:
        """Answered and not over; held counts."""
        return self.ended_at is None and self.answered_at is not None


@dataclass(slots=True, eq=False)
class QueueRecord:
    """A stay in a queue. answered_by: who answered last while the caller waited in it."""

    name: str
    joined_at: datetime | None
    position: int | None
    left_at: datetime | None = None
    outcome: QueueOutcome | None = None
    view: QueueStay | None = None
    answered_by: LegRecord | None = None
    gave_up: bool = False  # QueueCallerAbandon was seen: the caller left, or the time limit ran out
    unsure: bool = False  # he waited when the link was lost; nothing has shown yet that he still did after it


@dataclass(slots=True, eq=False)
class DigitsRecord:
    menu: str | None
    digits: str
    at: datetime


@dataclass(slots=True, eq=False)
class TransferRecord:
    """The call was passed on. tried: whom the PBX has tried last for it, a phone or a queue; None if nobody yet."""

    kind: TransferKind
    by: str | None
    from_: str | None
    to: str | None
    at: datetime
    outcome: TransferOutcome | None = None
    tried: LegRecord | QueueRecord | None = None
    unsure: bool = False  # it was pending when the link was lost: attempts may have come and gone unseen


@dataclass(slots=True, eq=False)
class Attempt:
    """The phone or queue that was tried last. caller: Uniqueid of the channel that it was tried for. at: since when."""

    tried: LegRecord | QueueRecord
    caller: str
    at: datetime


@dataclass(slots=True, eq=False)
class HoldRecord:
    by: str | None
    uniqueid: str
    started_at: datetime
    ended_at: datetime | None = None


@dataclass(slots=True, eq=False)
class Remembered:
    """What a call that a listener before us has told of still waits for.

    legs: by channel name, until their channel shows up; one that is over may have a channel for a moment still.
    round: of the last resync then; the next one may judge what did not show up as gone.
    """

    legs: dict[str, LegRecord]
    round: int


@dataclass(slots=True, eq=False)
class CallRecord:
    """One call while it is open.

    anchor: the channel that the call is about: the caller's; for a call the PBX began by itself (Originate) the
        first phone it called; after the agent who dialled out has passed the customer on, the customer's.
    visible: a real end takes part, so that there is something to tell. Calls of Local halves only are not shown.
    originated: the PBX began it, by Originate or a call file.
    attempt: what the PBX tries for the caller, until somebody else answers. Who is passed on may be in a queue, and a
        colleague's phone may ring for him, before the PBX says that he was: another of its threads says it.
    unseen_since: from when on somebody may have talked to the caller without our seeing it; None if that cannot be.
        `blind.py` sets it, and clears it when something proves that nobody did.
    remembered: until a resync has judged it, if we did not see the call ourselves.
    change: what the event at hand changed last, None if nothing.
    """

    call_id: str
    started_at: datetime
    linkedids: list[str]
    gap: bool
    direction: Direction = Direction.INBOUND
    state: CallState = CallState.NEW
    visible: bool = False
    originated: bool = False
    origin: str | None = None  # endpoint that Originate named, to match its failure, which has no Uniqueid
    anchor: Channel | None = None
    channels: dict[str, Channel] = field(default_factory=dict)
    helpers: dict[str, Channel] = field(default_factory=dict)  # by name, to find the other half
    # the caller
    number: str | None = None
    name: str | None = None
    presentation: Presentation = Presentation.UNAVAILABLE
    endpoint: str | None = None
    did: str | None = None
    did_guessed: bool = False  # taken from a caller id; what is dialled later is better
    # the course
    queue: QueueRecord | None = None
    asked: QueueRecord | None = (
        None  # where an agent waits to consult somebody; the customer, if he is passed on
    )
    legs: list[LegRecord] = field(default_factory=list)
    attempt: Attempt | None = None
    talking_to: str | None = None
    digits: list[DigitsRecord] = field(default_factory=list)
    transfers: list[TransferRecord] = field(default_factory=list)
    holds: list[HoldRecord] = field(default_factory=list)
    recording: str | None = None
    variables: dict[str, str] = field(default_factory=dict)
    timeline: list[TimelineEntry] = field(default_factory=list)
    answered_at: datetime | None = None
    picked_up_by_dialplan: bool = False  # the caller's channel is up though nobody answered: an IVR
    caller_left: bool = False  # the anchor's side hung up; the dialplan did not end the call
    left_while_waiting: bool = False  # ... and at that moment something rang or the caller was in a queue
    closed: bool = False  # the dialplan said: out of hours
    parked: Channel | None = None  # the channel that waits in a parking lot for somebody to fetch it
    merged: bool = False  # its conversation went on in another call
    blind_end: bool = False  # a resync found it gone
    half_seen: bool = False  # passed on when nobody knew yet who was in it: see `transfers.in_sight`
    # the end
    ended_at: datetime | None = None
    end_reason: CallEndReason | None = None
    hangup_cause: int | None = None
    missed: bool = False
    change: str | None = None
    unseen_since: datetime | None = None
    remembered: Remembered | None = None
    caller_view: Caller | None = None

    @property
    def waits(self) -> bool:
        """Is the caller in a queue now?"""
        return self.queue is not None and self.queue.left_at is None
