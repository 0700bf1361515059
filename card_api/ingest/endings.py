"""How a call that was told by events ends: what was said of it, and what that means for its parts. Pure."""

from datetime import datetime

from card_api.ingest.schemas import Reason
from shared.contracts.call import (
    Call,
    CallEndReason,
    CallState,
    Direction,
    Leg,
    LegEndReason,
    LegState,
    QueueOutcome,
    TimelineEntry,
    TransferOutcome,
)

# What a phone was doing when the call ended for this reason, if it rang.
_RINGING = {
    CallEndReason.NO_ANSWER: LegEndReason.NO_ANSWER,
    CallEndReason.BUSY: LegEndReason.BUSY,
    CallEndReason.REJECTED: LegEndReason.REJECTED,
    CallEndReason.FAILED: LegEndReason.FAILED,
    CallEndReason.UNKNOWN: LegEndReason.UNKNOWN,
}
_WAITING = {
    CallEndReason.ABANDONED: QueueOutcome.ABANDONED,
    CallEndReason.NO_ANSWER: QueueOutcome.TIMEOUT,
    CallEndReason.UNKNOWN: QueueOutcome.UNKNOWN,
}


def end(call: Call, at: datetime, said: Reason | None) -> None:
    """The call is over; `said`: why, as the sender says."""
    reason = _reason(call, said)
    # "Completed" without an answer: an event was lost on the way. Whether anybody talked nobody can say.
    call.gap = call.gap or (said is Reason.COMPLETED and call.answered_at is None)
    _end(call, at, reason)
    call.missed = (
        call.direction is Direction.INBOUND
        and call.answered_at is None
        and reason is not CallEndReason.UNKNOWN
    )
    call.timeline.append(TimelineEntry(at=at, what="ended", detail=reason))


def end_unknown(call: Call, at: datetime) -> None:
    """Nobody has told of its end: it was alive at `at`, that is all that is known."""
    call.gap = True
    _end(call, at, CallEndReason.UNKNOWN)
    call.timeline.append(TimelineEntry(at=at, what="ended", detail="nobody told of its end"))


def end_leg(leg: Leg, at: datetime, reason: LegEndReason) -> None:
    leg.state, leg.ended_at, leg.end_reason = LegState.ENDED, at, reason


def _reason(call: Call, said: Reason | None) -> CallEndReason:
    """What happened goes before what is said: a call that was answered is completed, however it was hung up."""
    if call.answered_at is not None:
        return CallEndReason.COMPLETED
    if said is Reason.COMPLETED:
        return CallEndReason.UNKNOWN
    inbound = call.direction is Direction.INBOUND
    if said is None or said is Reason.CANCELLED or (said is Reason.ABANDONED and not inbound):
        # Abandoned is a customer who gave up; an agent who gives up dialling leaves a call that nobody answered.
        return CallEndReason.ABANDONED if inbound else CallEndReason.NO_ANSWER
    return CallEndReason(said.value)


def _end(call: Call, at: datetime, reason: CallEndReason) -> None:
    unseen = reason is CallEndReason.UNKNOWN
    for leg in call.legs:
        if leg.state is LegState.RINGING:
            end_leg(leg, at, _RINGING.get(reason, LegEndReason.CANCELLED))
        elif leg.state is not LegState.ENDED:
            end_leg(leg, at, LegEndReason.UNKNOWN if unseen else LegEndReason.HANGUP)
    if call.queue is not None and call.queue.left_at is None:
        call.queue.left_at = at
        call.queue.outcome = _WAITING.get(reason, QueueOutcome.LEFT)
    for transfer in call.transfers:
        transfer.outcome = transfer.outcome or (
            TransferOutcome.UNKNOWN if unseen else TransferOutcome.CANCELLED
        )
    for hold in call.holds:
        hold.ended_at = hold.ended_at or at
    call.talking_to = None
    call.state, call.ended_at, call.end_reason = CallState.ENDED, at, reason
