"""A call that is going on: who takes part, what it waits for, what is true about it so far."""

from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum, StrEnum

from services.simulator.channel import Channel
from services.simulator.config import SimAgent, SimCaller
from services.simulator.truth import TrueLeg, TrueTransfer, Truth
from shared.contracts.call import (
    CallEndReason,
    Direction,
    LegEndReason,
    QueueOutcome,
    TransferKind,
    TransferOutcome,
)


class Stage(StrEnum):
    """What a call waits in. Manual pace stops at each; `ENDED` is never waited in."""

    IVR = "ivr"
    QUEUED = "queued"
    RINGING = "ringing"
    ANSWERED = "answered"
    HELD = "held"
    CLOSED = "closed"
    ENDED = "ended"


class Signal(Enum):
    """Why a wait is over."""

    GO = "its time has come, or a test said proceed()"
    FREE = "an agent of the queue became free"
    CALLER_GONE = "the caller's channel was hung up from outside"
    LEG_GONE = "the called channel was hung up from outside"
    REDIRECT = "the caller's channel was sent elsewhere"


@dataclass(frozen=True, slots=True)
class Wait:
    """A pause in a scenario.

    stage: what the call is in meanwhile; None for a technical pause that manual pace does not stop at.
    seconds: of the PBX's clock. queue: wake me when an agent of this queue becomes free.
    """

    stage: Stage | None
    seconds: float
    queue: str | None = None


Act = Generator[Wait, Signal, None]
"""A scenario in progress: yields pauses, is sent why each was over."""


@dataclass(frozen=True, slots=True)
class CallOrder:
    """What somebody asked for when placing a call; None where the scenario may choose."""

    caller: SimCaller | None = None
    did: str | None = None
    agent: SimAgent | None = None
    other: SimAgent | None = None
    digit: str | None = None
    uniqueid: str | None = None
    action_id: str | None = None
    timeout: float = 15.0


@dataclass(frozen=True, slots=True)
class LocalPair:
    """The two halves of a Local channel: `one` is called, `two` runs the dialplan that calls the phone."""

    one: Channel
    two: Channel


class Call:
    """One call of the simulator. Scenarios write into it; tests and truth read it."""

    def __init__(self, scenario: str, order: CallOrder, *, manual: bool) -> None:
        self.scenario = scenario
        self.order = order
        self.manual = manual
        self.act: Act | None = None
        self.wait: Wait | None = None
        self.ticket = 0  # counts waits: a timer of an earlier wait is out of date
        self.stages: list[Stage] = []
        self.redirect_to = ""
        self.gone: Channel | None = None  # the channel that Signal.LEG_GONE is about
        self._channel: Channel | None = None
        self._truth: Truth | None = None
        self.leg_channels: list[Channel] = []
        self.asides: list[
            Call
        ] = []  # consultations: calls of their own that our people make in the course of this one
        self.fronts: dict[Channel, LocalPair] = {}  # phone → the Local channel it is called through

    @property
    def channel(self) -> Channel:
        """The first channel: the end that began the call."""
        assert self._channel is not None
        return self._channel

    @property
    def truth(self) -> Truth:
        """What is true so far; whole when the call has ended."""
        assert self._truth is not None
        return self._truth

    @property
    def uniqueid(self) -> str:
        """Of the first channel; the product's call_id is `<pbx>-<uniqueid>`."""
        return self.truth.uniqueid

    @property
    def ended(self) -> bool:
        return self._truth is not None and self._truth.ended_at is not None

    def begin(self, channel: Channel, direction: Direction, did: str, at: float) -> None:
        """The first channel exists."""
        self._channel = channel
        self._truth = Truth(
            channel.uniqueid, self.scenario, direction, channel.number, channel.party, did, at
        )

    def consults(self, channel: Channel, number: str, at: float) -> "Call":
        """An agent calls somebody on a second line; what is true of that call is told apart from this one."""
        aside = Call(self.scenario, self.order, manual=self.manual)
        aside.begin(channel, Direction.INTERNAL, number, at)
        aside.truth.consultation = True
        self.asides.append(aside)
        return aside

    @property
    def everything(self) -> list["Call"]:
        """This call and its consultations."""
        return [self, *self.asides]

    def has(self, channel: Channel) -> bool:
        """Is it one of the ends of this call, or of a consultation?"""
        return any(channel is one.channel or channel in one.leg_channels for one in self.everything)

    def front(self, leg: Channel) -> Channel:
        """What a queue sees of a phone: the Local channel it is called through, else the phone's own channel."""
        pair = self.fronts.get(leg)
        return leg if pair is None else pair.one

    def rings(self, leg: Channel, at: float) -> TrueLeg:
        """A phone rings for this call."""
        true_leg = TrueLeg(leg.endpoint, leg.name, at)
        self.truth.legs.append(true_leg)
        self.leg_channels.append(leg)
        return true_leg

    def answers(self, leg: Channel, at: float) -> None:
        """A person picked up."""
        self.leg(leg).answered_at = at
        if self.truth.answered_at is None:
            self.truth.answered_at, self.truth.answered_by = at, leg.endpoint

    def transferred(self, kind: TransferKind, by: str, to: str, at: float) -> None:
        """Somebody passed the customer on to a number."""
        self.truth.transfers.append(TrueTransfer(kind, by, to, at))

    def transfer_became(self, outcome: TransferOutcome) -> None:
        """What came of the last transfer; nothing to say where there was none, or it is known already."""
        if self.truth.transfers and self.truth.transfers[-1].outcome is None:
            self.truth.transfers[-1].outcome = outcome

    def queues(self, name: str) -> None:
        """The caller waits in a queue."""
        self.truth.queue, self.truth.queue_outcome = name, None

    def leaves_queue(self, outcome: QueueOutcome) -> None:
        """The caller waits no longer."""
        self.truth.queue_outcome = outcome

    def leg_ends(self, leg: Channel, reason: LegEndReason, at: float) -> None:
        """A phone is out of the call."""
        true_leg = self.leg(leg)
        true_leg.ended_at, true_leg.end_reason = at, reason
        self.leg_channels.remove(leg)

    def ends(self, reason: CallEndReason, at: float) -> None:
        """The call is over."""
        self.truth.ended_at, self.truth.end_reason = at, reason

    def leg(self, leg: Channel) -> TrueLeg:
        """What is true of a phone of this call."""
        return next(one for one in self.truth.legs if one.channel == leg.name)
