"""What is known of a call that is told by events, between one event and the next. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from pydantic import Field

from card_api.ingest.schemas import CallEvent, EventKind, Status
from card_api.ingest.story import in_order, story
from shared.contracts.base import Contract, Timestamp
from shared.contracts.call import Call, CallState, CallUpdate

# A call whose end nobody tells must not stay on a screen for ever. While it rings or waits, silence for an hour is
# longer than any queue lets people wait; once somebody talks nothing may happen for as long as they talk.
UNANSWERED_SILENCE = timedelta(hours=1)
ANSWERED_SILENCE = timedelta(hours=4)
# So long an event may come late and still find its call's others; after that the record alone answers.
KEPT_AFTER_END = timedelta(hours=1)
# More than any call of a person has; beyond that something is counting.
MOST_EVENTS_A_CALL = 500
# As a listener's versions: room for 100 changes within a millisecond (ami_listener/tracker).
_VERSIONS_PER_MS = 100


class Known(Contract):
    """Everything a process needs to take the next event of a call, whoever took the last.

    version: of the update that was told last. base: the call as the record had it, if it was known before these events.
    given_up: its end was not told in time.
    """

    call_id: str
    pbx: str
    version: int = 0
    events: list[CallEvent] = Field(default_factory=list)
    base: Call | None = None
    given_up: bool = False
    touched: Timestamp


class Taken(NamedTuple):
    """known: after the events. statuses: what became of each of them. update: to be told, None if the call is the same
    as before. due: when to look after the call, if nothing comes."""

    known: Known
    statuses: list[Status]
    update: CallUpdate | None
    due: datetime


def take(known: Known, events: Sequence[CallEvent], country: str, now: datetime) -> Taken:
    """Take events of one call, in any order, known ones too."""
    before = _call(known, country)
    keys = {event.key for event in known.events}
    statuses: list[Status] = []
    kept = list(known.events)
    for event in events:
        if event.key in keys:
            statuses.append("repeated")
        elif len(kept) >= MOST_EVENTS_A_CALL and event.type is not EventKind.ENDED:
            statuses.append("refused")
        else:
            keys.add(event.key)
            kept.append(event)
            statuses.append("accepted")
    after = known.model_copy(update={"events": kept, "touched": now})
    # History that comes late must not ring: what should have been over by now is over.
    call = story_of(after, country)
    if call.state is not CallState.ENDED and silent_at(after, call) <= now:
        after.given_up = True
        call = story_of(after, country)
    over = call.ended_at
    if before is not None and before.state is CallState.ENDED and call == before:
        statuses = ["late" if status == "accepted" else status for status in statuses]
    update = None
    if call != before:
        after.version = max(known.version + 1, _clock(after, call))
        update = CallUpdate(
            pbx=call.pbx,
            call_id=call.call_id,
            version=after.version,
            change=_change(call, kept),
            at=call.timeline[-1].at,
            call=call,
        )
    return Taken(after, statuses, update, now + KEPT_AFTER_END if over else silent_at(after, call))


def give_up(known: Known, country: str, now: datetime) -> Taken | None:
    """Its time is over: end it, if nobody has yet; None if it may be forgotten."""
    if known.given_up or story_of(known, country).state is CallState.ENDED:
        return None
    return take(known, (), country, now)


def story_of(known: Known, country: str) -> Call:
    """The call as far as it is known. Raises ValueError if nothing is."""
    return story(known.call_id, known.events, country, known.base, known.given_up)


def silent_at(known: Known, call: Call) -> datetime:
    """When its end must be given up, if nothing comes."""
    last = max([call.timeline[-1].at, *(event.at for event in known.events)])
    return last + (ANSWERED_SILENCE if call.answered_at is not None else UNANSWERED_SILENCE)


def _call(known: Known, country: str) -> Call | None:
    return story_of(known, country) if known.events or known.base is not None else None


def _clock(known: Known, call: Call) -> int:
    """By the events' time, not by ours: what comes after everybody has forgotten the call is older than the record."""
    last = max([call.timeline[-1].at, *(event.at for event in known.events)])
    return int(last.timestamp() * 1000) * _VERSIONS_PER_MS


def _change(call: Call, events: Sequence[CallEvent]) -> str:
    if call.state is CallState.ENDED:
        return "ended"
    return in_order(events)[-1].type.value if events else call.state.value
