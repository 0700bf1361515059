"""How calls, legs, transfers and queue stays ended: pure decisions on what is known at the end."""

from ami_listener.tracker.state import CallRecord, LegRecord, QueueRecord, TransferRecord
from shared.contracts.call import (
    CallEndReason,
    Direction,
    LegEndReason,
    LegState,
    QueueOutcome,
    TransferOutcome,
)

# Q.850 causes, where they say something that no event says.
BUSY_CAUSE, REJECTED_CAUSE, REDIRECTED_CAUSE, ANSWERED_ELSEWHERE_CAUSE = 17, 21, 23, 26
_NO_ANSWER_CAUSES = frozenset({18, 19})
# not found, no route, out of order, congestion, not available, incompatible: the end could not be reached
_FAILED_CAUSES = frozenset({1, 2, 3, 20, 27, 28, 34, 38, 41, 42, 44, 50, 58, 65, 88, 102, 111})

_BY_DIAL_STATUS = {
    "BUSY": LegEndReason.BUSY,
    "NOANSWER": LegEndReason.NO_ANSWER,
    "CANCEL": LegEndReason.CANCELLED,
    "CONGESTION": LegEndReason.FAILED,
    "CHANUNAVAIL": LegEndReason.FAILED,
    "INVALIDARGS": LegEndReason.FAILED,
    "DONTCALL": LegEndReason.REJECTED,
    "TORTURE": LegEndReason.REJECTED,
    "ABORT": LegEndReason.CANCELLED,
}
_CALL_BY_LEG = {
    LegEndReason.BUSY: CallEndReason.BUSY,
    LegEndReason.REJECTED: CallEndReason.REJECTED,
    LegEndReason.FAILED: CallEndReason.FAILED,
    LegEndReason.UNKNOWN: CallEndReason.UNKNOWN,
}
_TRANSFER_BY_LEG: dict[LegEndReason | None, TransferOutcome] = {
    LegEndReason.NO_ANSWER: TransferOutcome.NO_ANSWER,
    LegEndReason.BUSY: TransferOutcome.BUSY,
    LegEndReason.REJECTED: TransferOutcome.REJECTED,
    LegEndReason.CANCELLED: TransferOutcome.CANCELLED,
    LegEndReason.FAILED: TransferOutcome.FAILED,
}
_TRANSFER_BY_STAY: dict[QueueOutcome | None, TransferOutcome] = {
    QueueOutcome.ANSWERED: TransferOutcome.ANSWERED,
    QueueOutcome.ABANDONED: TransferOutcome.CANCELLED,
    QueueOutcome.TIMEOUT: TransferOutcome.NO_ANSWER,
    QueueOutcome.LEFT: TransferOutcome.NO_ANSWER,  # it was full, or had nobody who could be called
}


def refine(reason: LegEndReason, cause: int | None) -> LegEndReason:
    """A queue says "no answer" of a phone that refused, and chan_sip "busy" of one that declined; the cause its side
    sent tells which it was."""
    if reason is LegEndReason.NO_ANSWER and cause == BUSY_CAUSE:
        return LegEndReason.BUSY
    if reason in (LegEndReason.NO_ANSWER, LegEndReason.BUSY) and cause == REJECTED_CAUSE:
        return LegEndReason.REJECTED
    return reason


def by_dial_status(status: str, cause: int | None, answered_by_other: bool) -> LegEndReason | None:
    """End of a leg that never answered, by its DialEnd; None if the status ends nothing (ANSWER, …)."""
    reason = _BY_DIAL_STATUS.get(status)
    if cause == REDIRECTED_CAUSE:
        return LegEndReason.TRANSFERRED if reason is not None else None
    if reason is LegEndReason.CANCELLED and answered_by_other:
        return LegEndReason.ANSWERED_ELSEWHERE
    return None if reason is None else refine(reason, cause)


def by_hangup(
    cause: int | None, answered_by_other: bool, caller_left: bool, originated: bool
) -> LegEndReason:
    """End of a leg that rang and was hung up without a DialEnd (Originate, Pickup, a lost event).

    originated: the PBX called this end to be connected, and only it can have given up; Asterisk 16 sends no cause then.
    """
    if cause == BUSY_CAUSE:
        return LegEndReason.BUSY
    if cause == REJECTED_CAUSE:
        return LegEndReason.REJECTED
    if answered_by_other or cause == ANSWERED_ELSEWHERE_CAUSE:
        return LegEndReason.ANSWERED_ELSEWHERE
    if caller_left:
        return LegEndReason.CANCELLED
    if cause in _NO_ANSWER_CAUSES:
        return LegEndReason.NO_ANSWER
    if cause in _FAILED_CAUSES:
        return LegEndReason.FAILED
    return LegEndReason.NO_ANSWER if originated else LegEndReason.CANCELLED


def if_seen(call: CallRecord, leg: LegRecord, reason: LegEndReason) -> LegEndReason:
    """The reason, if it is not just what is left when nothing else was seen: in a call with a gap something may have
    been. Unsure legs may have been answered; "cancelled" may be a time limit of the one who called, or somebody
    else's answer, unless the caller left."""
    if leg.unsure or (call.gap and reason is LegEndReason.CANCELLED and not call.caller_left):
        return LegEndReason.UNKNOWN
    return reason


def answered_elsewhere(call: CallRecord, leg: LegRecord) -> bool:
    """Did somebody else answer while this phone rang? Not so the agent who consults while he talks, nor the phone that
    the PBX calls to connect it."""
    own = call.anchor.leg if call.anchor is not None else None
    return leg.rival is not None and leg.rival.talking and leg.rival is not own


def transfer_outcome(call: CallRecord, transfer: TransferRecord) -> TransferOutcome:
    """Outcome of a transfer that nobody has answered and that is over."""
    tried = transfer.tried
    if isinstance(tried, LegRecord):
        return _TRANSFER_BY_LEG.get(tried.end_reason, TransferOutcome.UNKNOWN)
    if transfer.unsure and (tried is None or not tried.unsure):
        return TransferOutcome.UNKNOWN  # nobody was tried any more when the link was lost, or so it seemed
    if tried is not None:
        # Not what became of its agents: a queue goes on to the next, and stops ringing one when its time is over.
        return _TRANSFER_BY_STAY.get(tried.outcome, TransferOutcome.UNKNOWN)
    return TransferOutcome.CANCELLED if call.caller_left else TransferOutcome.FAILED


def queue_outcome(call: CallRecord, queue: QueueRecord) -> QueueOutcome:
    """Outcome of a stay in a queue that has just ended: answered if somebody talks who did not before.

    Asterisk says "abandon" also when the time limit ran out; the caller's own HangupRequest tells them apart.
    """
    if queue.answered_by is not None and queue.answered_by.talking:
        return QueueOutcome.ANSWERED
    if queue.unsure and not (call.caller_left and queue.gave_up):
        return QueueOutcome.UNKNOWN
    if call.caller_left:
        return QueueOutcome.ABANDONED
    if queue.gave_up:
        return QueueOutcome.TIMEOUT
    return QueueOutcome.LEFT


def call_end_reason(call: CallRecord) -> CallEndReason:
    """Why a call ended, by what happened.

    `abandoned` is kept for customers: an agent who gives up dialling leaves a call that was not answered.
    """
    if call.answered_at is not None or call.merged:
        return CallEndReason.COMPLETED
    if call.blind_end or call.unseen_since is not None:
        return CallEndReason.UNKNOWN
    inbound = call.direction is Direction.INBOUND
    if inbound and call.left_while_waiting:
        return CallEndReason.ABANDONED
    attempts = [leg for leg in call.legs if leg.end_reason is not LegEndReason.ANSWERED_ELSEWHERE]
    if call.queue is not None and inbound:
        # One agent's "busy" is not the caller's: a queue goes on to the next.
        return CallEndReason.NO_ANSWER
    if attempts:
        last = attempts[-1].end_reason
        return _CALL_BY_LEG.get(last, CallEndReason.NO_ANSWER) if last else CallEndReason.NO_ANSWER
    if not inbound:
        if call.gap:
            return CallEndReason.UNKNOWN  # who was called was not seen
        # Nobody was called: the agent talked to the dialplan (voice mail, a feature code), or the number was refused.
        return CallEndReason.COMPLETED if call.picked_up_by_dialplan else CallEndReason.FAILED
    if call.closed:
        return CallEndReason.CLOSED
    # Nobody was tried. The caller went by himself: abandoned.
    if call.caller_left:
        return CallEndReason.ABANDONED
    # The dialplan let him go after it had answered (a message, a menu): closed. If it never answered, its cause is
    # all there is: a phone that is not registered leaves no other trace.
    return CallEndReason.CLOSED if call.picked_up_by_dialplan else _by_cause(call.hangup_cause)


def _by_cause(cause: int | None) -> CallEndReason:
    if cause == BUSY_CAUSE:
        return CallEndReason.BUSY
    if cause == REJECTED_CAUSE:
        return CallEndReason.REJECTED
    if cause in _NO_ANSWER_CAUSES:
        return CallEndReason.NO_ANSWER
    return CallEndReason.FAILED if cause in _FAILED_CAUSES else CallEndReason.CLOSED


def is_missed(call: CallRecord) -> bool:
    """An inbound call has ended, as its `end_reason` says, and nobody of ours had talked to the caller.

    Of one whose end is not known nobody can say that: its `gap` is marked instead.
    """
    return (
        call.direction is Direction.INBOUND
        and call.answered_at is None
        and not call.merged
        and call.end_reason is not CallEndReason.UNKNOWN
    )


def leg_states(call: CallRecord) -> tuple[bool, bool, bool]:
    """(somebody rings, somebody talks, the talk is on hold), the anchor's own phone only counted as ringing."""
    own = call.anchor.leg if call.anchor is not None else None
    ringing = talking = held = False
    for leg in call.legs:
        if leg.ended_at is not None:
            continue
        if leg.answered_at is None:
            ringing = True
        elif leg is not own:
            talking = True
            held = held or leg.state is LegState.HELD
    return ringing, talking, held
