"""Calls that ended while no listener was there: told by the roster of the PBX. Pure."""

from collections.abc import Iterable
from datetime import datetime

from card_api.calls.repository import StoredCall
from shared.contracts.call import (
    Call,
    CallEndReason,
    CallState,
    CallUpdate,
    LegEndReason,
    LegState,
    PbxRoster,
    QueueOutcome,
    TimelineEntry,
    TransferOutcome,
)


def ended_unseen(stored: Iterable[StoredCall], roster: PbxRoster) -> list[CallUpdate]:
    """An ending for each open call of the roster's PBX that the PBX does not have any more.

    Its version is the stored one plus one: whatever a listener really saw of the end outranks this.
    """
    there = set(roster.open)
    return [
        CallUpdate(
            pbx=roster.pbx,
            call_id=item.call.call_id,
            version=item.version + 1,
            change="ended",
            at=roster.at,
            call=ended_call(item.call, roster.at),
        )
        for item in stored
        if item.call.pbx == roster.pbx
        and item.call.state is not CallState.ENDED
        and item.version < roster.version
        and item.call.call_id not in there
    ]


def ended_call(call: Call, at: datetime) -> Call:
    """The call as far as it was seen, ended at `at` for an unknown reason, its gap marked. Whether it was missed
    nobody can say, so `missed` stays as it was."""
    call = call.model_copy(deep=True)
    for leg in call.legs:
        if leg.state is not LegState.ENDED:
            leg.state, leg.ended_at, leg.end_reason = LegState.ENDED, at, LegEndReason.UNKNOWN
    if call.queue is not None and call.queue.left_at is None:
        call.queue.left_at, call.queue.outcome = at, QueueOutcome.UNKNOWN
    for transfer in call.transfers:
        transfer.outcome = transfer.outcome or TransferOutcome.UNKNOWN
    for hold in call.holds:
        hold.ended_at = hold.ended_at or at
    call.state, call.ended_at, call.end_reason = CallState.ENDED, at, CallEndReason.UNKNOWN
    call.talking_to = None
    call.gap = True
    call.timeline.append(TimelineEntry(at=at, what="ended", detail="unseen: no listener was there"))
    return call
