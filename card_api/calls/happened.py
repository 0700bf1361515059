"""What became true of a call by a newer version of it, for those who listen outside. Pure."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

import orjson

from card_api.calls.row import CallRow
from card_api.events.outbox import Event, EventType
from shared.contracts.call import CallState

CALL_EVENTS = (
    EventType.CALL_STARTED,
    EventType.CALL_ANSWERED,
    EventType.CALL_ENDED,
    EventType.CALL_MISSED,
)

# A call that is first heard of when it is over for longer than this is history (a spool that was found, an import):
# nobody outside wants to act on it.
_HISTORY = timedelta(days=1)

_NAMES = uuid5(NAMESPACE_URL, "urn:callcard:call-event")


class Standing(NamedTuple):
    """What of a stored version decides about events."""

    state: str
    answered_at: datetime | None
    missed: bool


def happened(before: Standing | None, row: CallRow, now: datetime) -> list[Event]:
    """The events between two stored versions of a call, in the order of their happening; `before` None: it is new.

    An event of a call has one id whoever finds it and how often, so saying it again tells nobody twice.
    """
    after = row.columns
    ended = after["state"] == CallState.ENDED
    ended_at: datetime = after["ended_at"] or now
    if before is None and ended and now - ended_at > _HISTORY:
        return []
    was_ended = before is not None and before.state == CallState.ENDED
    found: list[tuple[EventType, datetime]] = []
    if before is None:
        found.append((EventType.CALL_STARTED, after["started_at"]))
    if after["answered_at"] is not None and (before is None or before.answered_at is None):
        found.append((EventType.CALL_ANSWERED, after["answered_at"]))
    if ended and not was_ended:
        found.append((EventType.CALL_ENDED, ended_at))
    if ended and after["missed"] and not (was_ended and before is not None and before.missed):
        found.append((EventType.CALL_MISSED, ended_at))
    if not found:
        return []
    data = call_data(row)
    return [Event(type_, at, data, event_id(row.call_id, type_)) for type_, at in found]


def event_id(call_id: str, type_: EventType) -> UUID:
    """Of the one event of this type that a call has."""
    return uuid5(_NAMES, f"{type_}/{call_id}")


def call_data(row: CallRow) -> dict[str, Any]:
    """The call as REST shows it: the document, with what the record knows beyond it."""
    document: dict[str, Any] = orjson.loads(row.raw)["call"]
    return {
        **document,
        "customer_number": row.columns["customer_number"],
        "agents": row.columns["agents"],
        "talk_seconds": row.columns["talk_seconds"],
    }
