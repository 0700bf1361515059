"""State of a call as its contract. Parts that did not change since they were told last are not built again."""

from ami_listener.tracker.state import CallRecord, LegRecord, QueueRecord
from shared.contracts.call import Call, Caller, Digits, Hold, Leg, QueueStay, Transfer


def to_call(pbx: str, call: CallRecord) -> Call:
    """A copy: later changes of the record do not reach it. Its parts may be shared with earlier copies."""
    return Call(
        call_id=call.call_id,
        pbx=pbx,
        direction=call.direction,
        state=call.state,
        caller=_caller(call),
        did=call.did,
        queue=None if call.queue is None else _queue(call.queue),
        legs=[_leg(leg) for leg in call.legs],
        talking_to=call.talking_to,
        digits=[Digits(menu=d.menu, digits=d.digits, at=d.at) for d in call.digits],
        transfers=[
            Transfer(kind=t.kind, by=t.by, from_=t.from_, to=t.to, at=t.at, outcome=t.outcome)
            for t in call.transfers
        ],
        holds=[Hold(by=h.by, started_at=h.started_at, ended_at=h.ended_at) for h in call.holds],
        recording=call.recording,
        variables=call.variables,
        started_at=call.started_at,
        answered_at=call.answered_at,
        ended_at=call.ended_at,
        end_reason=call.end_reason,
        hangup_cause=call.hangup_cause,
        missed=call.missed,
        gap=call.gap,
        timeline=call.timeline,
    )


def _caller(call: CallRecord) -> Caller:
    view = call.caller_view
    if (
        view is None
        or view.number != call.number
        or view.name != call.name
        or view.presentation is not call.presentation
        or view.endpoint != call.endpoint
    ):
        view = call.caller_view = Caller(
            number=call.number, name=call.name, presentation=call.presentation, endpoint=call.endpoint
        )
    return view


def _queue(queue: QueueRecord) -> QueueStay:
    view = queue.view
    if view is None or view.left_at != queue.left_at or view.outcome is not queue.outcome:
        view = queue.view = QueueStay(
            name=queue.name,
            joined_at=queue.joined_at,
            position=queue.position,
            left_at=queue.left_at,
            outcome=queue.outcome,
        )
    return view


def _leg(leg: LegRecord) -> Leg:
    view = leg.view
    if (
        view is None
        or view.state is not leg.state
        or view.end_reason is not leg.end_reason
        or (view.answered_at is None) is not (leg.answered_at is None)
    ):
        view = leg.view = Leg(
            endpoint=leg.endpoint,
            agent=leg.agent,
            channel=leg.channel,
            state=leg.state,
            ringing_at=leg.ringing_at,
            answered_at=leg.answered_at,
            ended_at=leg.ended_at,
            end_reason=leg.end_reason,
        )
    return view
