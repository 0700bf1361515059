"""A call that says nothing about the customer any more. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from card_api.calls.unseen import ended_call
from shared.contracts.call import Call, CallState

# What is kept, and nothing else: what a newer listener may add is not known to be harmless.
_CALL = ("call_id", "pbx", "direction", "state", "started_at", "answered_at", "ended_at", "end_reason")
_OUTCOME = ("hangup_cause", "missed", "gap")
_QUEUE = ("name", "joined_at", "position", "left_at", "outcome")
_LEG = ("agent", "state", "ringing_at", "answered_at", "ended_at", "end_reason")
_PHONE = ("endpoint", "channel")
ERASED = "erased"


def over(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """`document`: a `Call`; it itself, or ended when something was last heard of it. Who is erased has no call that
    goes on: what the record has open is one whose end nobody heard."""
    if document.get("state") == CallState.ENDED:
        return document
    call = Call.model_validate(document)
    return ended_call(call, call.timeline[-1].at if call.timeline else call.started_at).to_dict()


def scrubbed(document: Mapping[str, Any]) -> dict[str, Any]:
    """`document`: a `Call`. What remains is a `Call`: who of ours had it, when, for how long, how it ended."""
    queue = document.get("queue")
    return {
        **_only(document, (*_CALL, *_OUTCOME)),
        "caller": _only(document.get("caller") or {}, ("presentation",)),
        # What a customer dialled is our line; what an agent dialled is the customer.
        "did": document.get("did") if document.get("direction") == "inbound" else None,
        "queue": _only(queue, _QUEUE) if queue else None,
        "legs": [_leg(leg) for leg in document.get("legs") or ()],
        "transfers": [_only(t, ("kind", "at", "outcome")) for t in document.get("transfers") or ()],
        "holds": [_only(hold, ("started_at", "ended_at")) for hold in document.get("holds") or ()],
        "timeline": [_only(entry, ("at", "what")) for entry in document.get("timeline") or ()],
    }


def _leg(leg: Mapping[str, Any]) -> dict[str, Any]:
    """An agent's phone stays; of any other end nobody knows that it is not the customer's."""
    phone = _only(leg, _PHONE) if leg.get("agent") else dict.fromkeys(_PHONE, ERASED)
    return {**_only(leg, _LEG), **phone}


def _only(given: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: given[name] for name in names if name in given}
