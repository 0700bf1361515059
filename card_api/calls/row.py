"""An update as a row of the table."""

from dataclasses import dataclass
from typing import Any

from card_api.agents.directory import Directory
from card_api.calls.facts import CountryOf, agents_who_talked, customer_end, talk_seconds
from shared.contracts.call import CallUpdate


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call as it is stored: the columns that are searched, and the update as it came."""

    call_id: str
    columns: dict[str, Any]
    raw: bytes


def call_row(update: CallUpdate, raw: bytes, directory: Directory, country_of: CountryOf) -> CallRow:
    """The columns that are searched, taken out of the call; `raw` is the update's JSON."""
    call = update.call
    columns = {
        "pbx": call.pbx,
        "version": update.version,
        "direction": call.direction,
        "state": call.state,
        "caller_number": call.caller.number,
        "caller_name": call.caller.name,
        "did": call.did,
        "customer_number": customer_end(call, country_of).number,
        "queue": call.queue.name if call.queue else None,
        "agents": agents_who_talked(call, directory),
        "started_at": call.started_at,
        "answered_at": call.answered_at,
        "ended_at": call.ended_at,
        "end_reason": call.end_reason,
        "talk_seconds": talk_seconds(call),
        "missed": call.missed,
    }
    return CallRow(update.call_id, columns, raw)
