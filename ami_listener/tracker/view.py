"""State of a call as its contract. Values are ours and valid, so nothing is validated again."""

from ami_listener.tracker.state import CallRecord, LegRecord
from shared.contracts.call import (
    Call,
    Caller,
    Digits,
    Hold,
    Leg,
    QueueStay,
    TimelineEntry,
    Transfer,
)


def to_call(pbx: str, call: CallRecord) -> Call:
    """A copy: later changes of the record do not reach it."""
    queue = call.queue
    return Call.model_construct(
        call_id=call.call_id,
        pbx=pbx,
        direction=call.direction,
        state=call.state,
        caller=Caller.model_construct(
            number=call.number, name=call.name, presentation=call.presentation, endpoint=call.endpoint
        ),
        did=call.did,
        queue=None
        if queue is None
        else QueueStay.model_construct(
            name=queue.name,
            joined_at=queue.joined_at,
            position=queue.position,
            left_at=queue.left_at,
            outcome=queue.outcome,
        ),
        legs=[_leg(leg) for leg in call.legs],
        talking_to=call.talking_to,
        digits=[Digits.model_construct(menu=d.menu, digits=d.digits, at=d.at) for d in call.digits],
        transfers=[
            Transfer.model_construct(kind=t.kind, by=t.by, from_=t.from_, to=t.to, at=t.at, outcome=t.outcome)
            for t in call.transfers
        ],
        holds=[
            Hold.model_construct(by=h.by, started_at=h.started_at, ended_at=h.ended_at) for h in call.holds
        ],
        recording=call.recording,
        variables=dict(call.variables),
        started_at=call.started_at,
        answered_at=call.answered_at,
        ended_at=call.ended_at,
        end_reason=call.end_reason,
        hangup_cause=call.hangup_cause,
        missed=call.missed,
        gap=call.gap,
        timeline=[
            TimelineEntry.model_construct(at=e.at, what=e.what, who=e.who, detail=e.detail)
            for e in call.timeline
        ],
    )


def _leg(leg: LegRecord) -> Leg:
    return Leg.model_construct(
        endpoint=leg.endpoint,
        agent=leg.agent,
        channel=leg.channel,
        state=leg.state,
        ringing_at=leg.ringing_at,
        answered_at=leg.answered_at,
        ended_at=leg.ended_at,
        end_reason=leg.end_reason,
    )
