"""What calls are made of. Scenarios put the parts together; each writes its events in the order of the recorded traces.

Here: arrival, the end of a channel, words for how people behave. `queueing.py`, `dialling.py`, `talking.py`: the rest.
"""

from dataclasses import dataclass
from typing import Literal

from services.simulator.call import Call, LocalPair
from services.simulator.channel import Channel
from services.simulator.config import Seconds, SimCaller
from services.simulator.pbx import Pbx
from services.simulator.queues import Member, Queue
from shared.contracts.call import (
    Direction,
    LegEndReason,
)

Behaviour = Literal["answer", "ignore", "decline", "busy"]
Party = Literal["caller", "agent"]
"""Who hangs up: the end that began the call, or the called one (in a queue call an agent)."""

RETRY_PAUSE = 1.0
"""Seconds between two attempts of a queue (`retry` of queues.conf)."""

PLAYBACK_SECONDS = 2.8
"""Length of the announcement vm-nobodyavail in the traces."""

CANCELLED, DECLINED, BUSY_HERE = (127, 487), (21, 603), (17, 486)
"""Q.850 cause and SIP answer of a call the caller cancelled, a declined and a busy phone."""


@dataclass(frozen=True, slots=True)
class Script:
    """How people behave in one queue call.

    behaviours: of whom rings first, second …; the last one goes on for ever. patience: the caller gives up after so
    many seconds; None: waits as long as the queue lets him. max_wait: instead of the queue's own limit. overflow:
    after max_wait the dialplan sends the caller elsewhere.
    """

    behaviours: tuple[Behaviour, ...] = ("answer",)
    patience: Seconds | None = None
    max_wait: float | None = None
    overflow: bool = False

    def behaviour(self, attempt: int) -> Behaviour:
        return self.behaviours[min(attempt, len(self.behaviours) - 1)]


@dataclass(frozen=True, slots=True)
class Talk:
    """An answered call. queue and member: None where no queue took part. began, waited: for HoldTime and TalkTime.

    cause: what the end that hangs up says with it, if anything; calls that a queue brought say nothing.
    """

    leg: Channel
    began: float
    queue: Queue | None = None
    member: Member | None = None
    waited: float = 0.0
    cause: int | None = 16


def between(pbx: Pbx, seconds: Seconds) -> float:
    """A time drawn evenly from a range."""
    return pbx.rng.uniform(*seconds)


def caller_of(pbx: Pbx, call: Call) -> SimCaller:
    """Who calls: as ordered, else anybody."""
    return call.order.caller or pbx.rng.choice(pbx.config.callers)


def arrive(pbx: Pbx, call: Call, did: str, caller: SimCaller) -> Channel:
    """A call comes in on the trunk."""
    channel = pbx.new_channel(
        pbx.config.trunk,
        4,
        number=caller.number,
        party=caller.name,
        context="from-pstn",
        exten=did,
        uniqueid=call.order.uniqueid,
    )
    channel.dnid = did
    call.begin(channel, Direction.INBOUND, did, pbx.now)
    pbx.var(channel, "SIPDOMAIN", "127.0.0.1")
    return channel


def answer_caller(pbx: Pbx, channel: Channel) -> None:
    """The dialplan answers: Up."""
    pbx.set_state(channel, 6)
    pbx.refresh(channel.endpoint)


def give_up_channel(
    pbx: Pbx, call: Call, cause: int, tech: int | None = None, leg: LegEndReason = LegEndReason.HANGUP
) -> None:
    """The first channel ends; with `leg`, if it is a phone that rang (a callback's)."""
    channel = call.channel
    pbx.hangup(channel, cause, tech)
    if channel in call.leg_channels:
        call.leg_ends(channel, leg, pbx.now)
    pbx.refresh(channel.endpoint)


def drop_leg(pbx: Pbx, call: Call, leg: Channel, cause: int, tech: int | None, reason: LegEndReason) -> None:
    """A phone stops ringing, or a talk with it is over."""
    pair = call.fronts.pop(leg, None)
    if pair is not None:
        pbx.hangup(pair.one, cause)
        if pair.two.name in pbx.channels:
            clear_behind(pbx, pair, leg, cause)
        cause = 16
    pbx.hangup(leg, cause, tech)
    call.leg_ends(leg, reason, pbx.now)
    pbx.refresh(leg.endpoint)


def clear_behind(pbx: Pbx, pair: LocalPair, leg: Channel, cause: int) -> None:
    """The half of a Local channel that runs the dialplan ends with the other one, and stops what it called."""
    pbx.request_hangup(pair.two, cause)
    if leg.state != 6:
        pbx.dial_end(pair.two, leg, "CANCEL")
    pbx.leave(pair.two)
    pbx.leave(leg)
    pbx.soft_hangup(pair.two)
    pbx.hangup(pair.two, cause)


def run_h(pbx: Pbx, caller: Channel, cause: int, status: str) -> None:
    """The h extension of calls from outside; the others have none."""
    if caller.context == "from-pstn":
        note = f"{caller.name} cause {cause} queue  dial {status}"
        pbx.run(caller, "NoOp", note, exten="h", priority=1)
        caller.update(priority=2)
