"""The call as the PBX sees it: what `ami_listener` says and `card_api` stores."""

from enum import StrEnum

from pydantic import Field

from shared.contracts.base import Contract, Timestamp


class Direction(StrEnum):
    """Who called whom, seen from the company."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    INTERNAL = "internal"


class CallState(StrEnum):
    NEW = "new"
    IVR = "ivr"
    QUEUED = "queued"
    RINGING = "ringing"
    ANSWERED = "answered"
    HELD = "held"
    ENDED = "ended"


class CallEndReason(StrEnum):
    """How a call ended, by what happened to it and not by the hang-up cause alone."""

    COMPLETED = "completed"
    ABANDONED = "abandoned"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    REJECTED = "rejected"
    FAILED = "failed"
    CLOSED = "closed"
    UNKNOWN = "unknown"


class LegState(StrEnum):
    RINGING = "ringing"
    ANSWERED = "answered"
    HELD = "held"
    ENDED = "ended"


class LegEndReason(StrEnum):
    HANGUP = "hangup"
    ANSWERED_ELSEWHERE = "answered_elsewhere"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    TRANSFERRED = "transferred"
    FAILED = "failed"
    UNKNOWN = "unknown"


class TransferKind(StrEnum):
    BLIND = "blind"
    ATTENDED = "attended"
    BLONDE = "blonde"


class TransferOutcome(StrEnum):
    ANSWERED = "answered"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    FAILED = "failed"
    UNKNOWN = "unknown"


class QueueOutcome(StrEnum):
    ANSWERED = "answered"
    ABANDONED = "abandoned"
    TIMEOUT = "timeout"
    LEFT = "left"
    UNKNOWN = "unknown"


class Presentation(StrEnum):
    """May the caller's number be shown? `withheld`: the caller hid it; `unavailable`: nobody sent one."""

    ALLOWED = "allowed"
    WITHHELD = "withheld"
    UNAVAILABLE = "unavailable"


class Caller(Contract):
    """The end that began the call."""

    number: str | None = Field(
        None,
        description="E.164 where it is a phone number, verbatim where it is an extension; null if withheld",
    )
    name: str | None = Field(None, description="the name the PBX shows (CNAM), not the customer's")
    presentation: Presentation = Presentation.ALLOWED
    endpoint: str | None = Field(None, description="channel name without its suffix, e.g. PJSIP/trunk")


class QueueStay(Contract):
    """The stay in the queue: the present one, or the last."""

    name: str
    joined_at: Timestamp | None = None
    position: int | None = Field(None, description="1 is next")
    left_at: Timestamp | None = None
    outcome: QueueOutcome | None = None


class Leg(Contract):
    """One called end: an agent's phone that rang, or the far side of an outbound call. Never a Local channel."""

    endpoint: str = Field(description="PJSIP/agent101")
    agent: str | None = Field(None, description="whose phone it is, where that is known: the agent's login")
    channel: str = Field(description="PJSIP/agent101-0000000b")
    state: LegState = LegState.RINGING
    ringing_at: Timestamp | None = None
    answered_at: Timestamp | None = None
    ended_at: Timestamp | None = None
    end_reason: LegEndReason | None = None


class Digits(Contract):
    """Keys the caller pressed."""

    menu: str | None = Field(None, description="dialplan context that asked")
    digits: str
    at: Timestamp


class Transfer(Contract):
    kind: TransferKind
    by: str | None = Field(None, description="endpoint that passed the call on")
    from_: str | None = Field(None, alias="from", description="endpoint that talked before")
    to: str | None = Field(None, description="number or queue it went to")
    at: Timestamp
    outcome: TransferOutcome | None = None


class Hold(Contract):
    by: str | None = Field(None, description="endpoint that put the other side on hold")
    started_at: Timestamp
    ended_at: Timestamp | None = None


class TimelineEntry(Contract):
    """One thing that happened, in words a person can read."""

    at: Timestamp
    what: str = Field(description="arrived, queued, ringing, answered, …")
    who: str | None = None
    detail: str | None = None


class Call(Contract):
    """One conversation with a customer (or between colleagues), whole, with everything known so far."""

    call_id: str
    pbx: str
    direction: Direction
    state: CallState
    caller: Caller
    did: str | None = Field(None, description="what was dialled; an extension for internal calls")
    queue: QueueStay | None = None
    legs: list[Leg] = []
    talking_to: str | None = Field(None, description="endpoint the caller talks to now")
    digits: list[Digits] = []
    transfers: list[Transfer] = []
    holds: list[Hold] = []
    recording: str | None = None
    variables: dict[str, str] = {}
    started_at: Timestamp
    answered_at: Timestamp | None = Field(None, description="first time a person (not an IVR) answered")
    ended_at: Timestamp | None = None
    end_reason: CallEndReason | None = None
    hangup_cause: int | None = Field(None, description="Q.850 cause of the caller's channel")
    missed: bool = Field(
        False, description="an inbound call ended and nobody of ours had talked to the caller"
    )
    gap: bool = Field(False, description="the listener was blind for a part of this call")
    timeline: list[TimelineEntry] = []


class CallUpdate(Contract):
    """A change of a call, carrying the whole call. Keep the highest `version` of a call_id, ignore the rest."""

    pbx: str
    call_id: str
    version: int = Field(description="grows with each update of a call, across restarts of the listener")
    change: str = Field(description="what happened: started, queued, ringing, answered, ended, …")
    at: Timestamp
    call: Call


class PbxRoster(Contract):
    """Which calls go on at a PBX, said after its state was read. A call that the record holds open and that is not
    here has ended while nobody was listening."""

    pbx: str
    version: int = Field(description="calls with a higher version began later and are not judged")
    at: Timestamp
    open: list[str] = Field(description="call_ids")


class PbxLink(StrEnum):
    """State of the listener's link to a PBX."""

    CONNECTING = "connecting"
    UP = "up"
    REFUSED = "refused"
    LOST = "lost"


class PbxStatus(Contract):
    """What the listener says about itself: is the PBX seen, and since when?"""

    pbx: str
    link: PbxLink
    since: Timestamp
    detail: str | None = Field(None, description="a sentence for people when the link is not up")
    version: str | None = Field(None, description="what the PBX calls itself")
    open_calls: int = 0
