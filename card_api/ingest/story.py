"""The events of one call, as the call they tell: a pure function, in the words of `shared.contracts.call`.

Events are put in the order of their `at`, so neither the order in which they come nor their number changes the outcome.
Whatever is missing is filled by the least that must have been: who answers rang before, a call that only rings began.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from card_api.ingest.endings import end, end_leg, end_unknown
from card_api.ingest.schemas import MOST_VARIABLES, CallEvent, EventKind
from shared.contracts.call import (
    Call,
    Caller,
    CallState,
    Digits,
    Direction,
    Hold,
    Leg,
    LegEndReason,
    LegState,
    Presentation,
    QueueOutcome,
    QueueStay,
    TimelineEntry,
    Transfer,
    TransferKind,
    TransferOutcome,
)
from shared.phone import NumberKind, kind, normalise

_ORDER = {kind: place for place, kind in enumerate(EventKind)}


def in_order(events: Iterable[CallEvent]) -> list[CallEvent]:
    """By time; those of one moment in the order of `EventKind`, then of phones."""

    def place(event: CallEvent) -> tuple[datetime, int, str, str]:
        return event.at, _ORDER[event.type], event.agent or event.endpoint or "", event.key

    return sorted(events, key=place)


def story(
    call_id: str, events: Sequence[CallEvent], country: str, base: Call | None = None, given_up: bool = False
) -> Call:
    """The call. country: of numbers without a country code. base: what the record had told of it before the first of
    these events became known. given_up: nothing was heard of it for so long that it must be over.

    Raises ValueError if there is neither an event nor a base."""
    ordered = in_order(events)
    if base is not None:
        call = base.model_copy(deep=True)
        # What the record has told is not told again.
        told = max((entry.at for entry in call.timeline), default=call.started_at)
        ordered = [event for event in ordered if event.at > told]
    else:
        call = _begin(call_id, ordered, country)
    for event in ordered:
        _learn(call, event)
        _HANDLERS[event.type](call, event, country)
        call.state = _state(call)
        if call.state is CallState.ENDED:
            return call
    if given_up:
        end_unknown(call, ordered[-1].at if ordered else call.timeline[-1].at)
    return call


def _begin(call_id: str, ordered: Sequence[CallEvent], country: str) -> Call:
    if not ordered:
        raise ValueError("a call without an event")
    first = ordered[0]
    direction = next((e.direction for e in ordered if e.direction is not None), Direction.INBOUND)
    said = next((e.from_ for e in ordered if e.from_ is not None), None)
    dialled = next((e.to for e in ordered if e.to and e.type is not EventKind.TRANSFERRED), None)
    caller = _caller(said, next((e.name for e in ordered if e.name), None), country)
    if direction is Direction.OUTBOUND:
        # The agent who calls. What the far side is shown (the company's number) is nobody's phone.
        own = next((e for e in ordered if e.agent or e.endpoint), None)
        if own is not None:
            caller = Caller(number=own.agent or caller.number, name=caller.name, endpoint=own.endpoint)
    call = Call(
        call_id=call_id,
        pbx=first.pbx,
        direction=direction,
        state=CallState.NEW,
        caller=caller,
        did=None if dialled is None else normalise(dialled, country) or dialled,
        started_at=first.at,
    )
    _tell(call, first.at, "arrived", caller.number or caller.endpoint, call.did)
    return call


def _caller(said: str | None, name: str | None, country: str) -> Caller:
    what = NumberKind.MISSING if said is None else kind(said, country)
    if what is NumberKind.WITHHELD:
        return Caller(presentation=Presentation.WITHHELD)
    if said is None or what is NumberKind.MISSING:
        return Caller(name=name, presentation=Presentation.UNAVAILABLE)
    return Caller(number=normalise(said, country) or said, name=name)


# --- what happened ----------------------------------------------------------------------------------------------


def _started(call: Call, event: CallEvent, country: str) -> None:
    """Said already by the first event, whichever it was."""


def _digits(call: Call, event: CallEvent, country: str) -> None:
    if event.digits:
        call.digits.append(Digits(menu=event.menu, digits=event.digits, at=event.at))
        _tell(call, event.at, "digits", None, event.menu)


def _queued(call: Call, event: CallEvent, country: str) -> None:
    stay = call.queue
    if stay is not None and stay.left_at is None and stay.name == event.queue:
        stay.position = event.position or stay.position
        return
    call.queue = QueueStay(name=event.queue or "", joined_at=event.at, position=event.position)
    _tell(call, event.at, "queued", None, event.queue)


def _ringing(call: Call, event: CallEvent, country: str) -> None:
    if _phone(call, event) is None:
        leg = _new_leg(call, event)
        _tell(call, event.at, "ringing", leg.agent or leg.endpoint)


def _answered(call: Call, event: CallEvent, country: str) -> None:
    leg = _phone(call, event) or _new_leg(call, event)
    if leg.answered_at is not None:
        return
    leg.state, leg.answered_at = LegState.ANSWERED, event.at
    for other in call.legs:
        if other.state is LegState.RINGING:
            end_leg(other, event.at, LegEndReason.ANSWERED_ELSEWHERE)
    if call.queue is not None and call.queue.left_at is None:
        call.queue.left_at, call.queue.outcome = event.at, QueueOutcome.ANSWERED
    for transfer in call.transfers:
        transfer.outcome = transfer.outcome or TransferOutcome.ANSWERED
    call.answered_at = call.answered_at or event.at
    call.talking_to = leg.endpoint
    _tell(call, event.at, "answered", leg.agent or leg.endpoint)


def _held(call: Call, event: CallEvent, country: str) -> None:
    leg = _talking(call, event)
    if leg is None or any(hold.ended_at is None for hold in call.holds):
        return
    by = event.endpoint or event.agent or leg.endpoint
    call.holds.append(Hold(by=by, started_at=event.at))
    leg.state = LegState.HELD
    _tell(call, event.at, "held", by)


def _resumed(call: Call, event: CallEvent, country: str) -> None:
    if _resume(call, event.at):
        _tell(call, event.at, "resumed", event.agent or event.endpoint)


def _transferred(call: Call, event: CallEvent, country: str) -> None:
    _resume(call, event.at)
    leg = _talking(call, event)
    by = event.endpoint or event.agent
    if call.direction is Direction.OUTBOUND and not _of_a_colleague(call, event):
        by, leg = call.caller.endpoint or call.caller.number, None
    elif leg is not None:
        by = leg.endpoint
    for transfer in call.transfers:  # that one led nowhere, or nobody told
        transfer.outcome = transfer.outcome or TransferOutcome.UNKNOWN
    target = normalise(event.to or "", country) or event.to
    how = event.kind or TransferKind.BLIND
    call.transfers.append(Transfer(kind=how, by=by, from_=call.talking_to, to=target, at=event.at))
    if leg is not None:
        end_leg(leg, event.at, LegEndReason.TRANSFERRED)
    call.talking_to = None
    _tell(call, event.at, "transferred", by, f"{how} to {target}")


def _stopped(call: Call, event: CallEvent, country: str) -> None:
    leg = _phone(call, event)
    if leg is None:
        return
    if leg.state is LegState.HELD:
        _resume(call, event.at)
    said = _STOPPED.get(event.reason or "")
    end_leg(leg, event.at, LegEndReason.HANGUP if leg.answered_at else said or LegEndReason.NO_ANSWER)
    if call.talking_to == leg.endpoint:
        call.talking_to = None
    _tell(call, event.at, "stopped", leg.agent or leg.endpoint, leg.end_reason)


def _ended(call: Call, event: CallEvent, country: str) -> None:
    end(call, event.at, event.reason)


_STOPPED = {
    "no_answer": LegEndReason.NO_ANSWER,
    "busy": LegEndReason.BUSY,
    "rejected": LegEndReason.REJECTED,
    "failed": LegEndReason.FAILED,
    "cancelled": LegEndReason.CANCELLED,
    "unknown": LegEndReason.UNKNOWN,
}

_HANDLERS: dict[EventKind, Callable[[Call, CallEvent, str], None]] = {
    EventKind.STARTED: _started,
    EventKind.DIGITS: _digits,
    EventKind.QUEUED: _queued,
    EventKind.RINGING: _ringing,
    EventKind.ANSWERED: _answered,
    EventKind.HELD: _held,
    EventKind.RESUMED: _resumed,
    EventKind.TRANSFERRED: _transferred,
    EventKind.STOPPED: _stopped,
    EventKind.ENDED: _ended,
}


# --- whose phone ------------------------------------------------------------------------------------------------


def _of_a_colleague(call: Call, event: CallEvent) -> bool:
    """In an outbound call events name who calls; another name is a colleague's, to whom it was passed on."""
    named = {event.agent, event.endpoint} - {None}
    return bool(named) and named.isdisjoint({call.caller.number, call.caller.endpoint})


def _phone(call: Call, event: CallEvent) -> Leg | None:
    """The living leg the event is about: the phone it names, else the only one there is."""
    living = [leg for leg in call.legs if leg.state is not LegState.ENDED]
    if (event.agent or event.endpoint) and (
        call.direction is not Direction.OUTBOUND or _of_a_colleague(call, event)
    ):
        return next((leg for leg in living if _is(leg, event)), None)
    far = _far_end(call)
    unnamed = [leg for leg in living if leg.endpoint == far]
    if unnamed:
        return unnamed[0]
    if call.direction is Direction.OUTBOUND:
        return None
    return living[0] if len(living) == 1 else None


def _is(leg: Leg, event: CallEvent) -> bool:
    if event.endpoint is not None and leg.endpoint == event.endpoint:
        return True
    return event.agent is not None and leg.agent == event.agent


def _talking(call: Call, event: CallEvent) -> Leg | None:
    leg = _phone(call, event)
    if leg is not None and leg.answered_at is not None:
        return leg
    return next((x for x in reversed(call.legs) if x.answered_at and x.state is not LegState.ENDED), None)


def _new_leg(call: Call, event: CallEvent) -> Leg:
    ours = call.direction is not Direction.OUTBOUND or _of_a_colleague(call, event)
    endpoint = (event.endpoint or event.agent) if ours else None
    leg = Leg(
        endpoint=endpoint or _far_end(call),
        agent=event.agent if ours else None,
        # Nobody tells us channels; two legs of one phone must differ.
        channel=f"{endpoint or _far_end(call)}-{len(call.legs) + 1:08x}",
        ringing_at=event.at if event.type is EventKind.RINGING else None,
    )
    call.legs.append(leg)
    return leg


def _far_end(call: Call) -> str:
    """What a leg is called that nobody names: by what was dialled."""
    return call.did or "unknown"


def _resume(call: Call, at: datetime) -> bool:
    on_hold = [hold for hold in call.holds if hold.ended_at is None]
    for hold in on_hold:
        hold.ended_at = at
    for leg in call.legs:
        if leg.state is LegState.HELD:
            leg.state = LegState.ANSWERED
    return bool(on_hold)


def _state(call: Call) -> CallState:
    if call.ended_at is not None:
        return CallState.ENDED
    if any(hold.ended_at is None for hold in call.holds):
        return CallState.HELD
    states = {leg.state for leg in call.legs}
    if LegState.ANSWERED in states:
        return CallState.ANSWERED
    if LegState.RINGING in states:
        return CallState.RINGING
    if call.queue is not None and call.queue.left_at is None:
        return CallState.QUEUED
    return CallState.IVR if call.digits and call.answered_at is None else CallState.NEW


def _learn(call: Call, event: CallEvent) -> None:
    for name, value in (event.variables or {}).items():
        if name in call.variables or len(call.variables) < MOST_VARIABLES:
            call.variables[name] = value


def _tell(call: Call, at: datetime, what: str, who: str | None = None, detail: str | None = None) -> None:
    call.timeline.append(TimelineEntry(at=at, what=what, who=who, detail=detail))
