"""Calls in Zammad's generic CTI dialect (docs.zammad.org, API: Generic CTI): newCall, answer, hangup. Pure.

Zammad's address for it carries its token and is all it checks. It shows the moment it hears of something, not the one
it happened at, and wants an answer and a hang-up of a call it was told of before: the order within a call, which every
hook has, is what this one lives by.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from card_api.agents.directory import Agent, Directory
from card_api.events.outbox import EventType
from card_api.webhooks.body import PING
from shared.contracts.call import Call, CallEndReason, Direction, LegState, Presentation

FORMAT = "zammad"
EVENTS: Mapping[str, str] = {
    EventType.CALL_STARTED: "newCall",
    EventType.CALL_ANSWERED: "answer",
    EventType.CALL_ENDED: "hangup",
}
"""Our event → Zammad's."""

_HIDDEN = "anonymous"
_UNALLOCATED_NUMBER = 1  # Q.850

_CAUSES = {
    CallEndReason.COMPLETED: "normalClearing",
    CallEndReason.ABANDONED: "cancel",
    CallEndReason.NO_ANSWER: "noAnswer",
    CallEndReason.REJECTED: "noAnswer",  # so in Zammad's words: "the called party rejected the call"
    CallEndReason.BUSY: "busy",
    CallEndReason.FAILED: "congestion",
    CallEndReason.CLOSED: "congestion",  # "the called party could not be reached"
}


def speaks_of(data: Mapping[str, Any]) -> bool:
    """Has the dialect words for this call? It knows calls in and out, none between colleagues."""
    return data.get("direction") in (Direction.INBOUND, Direction.OUTBOUND)


def body(payload: Mapping[str, Any], directory: Directory) -> dict[str, Any]:
    """What Zammad is sent for our event. payload: as `envelope` made it; directory: for the agents' names."""
    event = EVENTS[payload["type"]]
    call = Call.model_validate(payload["data"])
    said: dict[str, Any] = {
        "event": event,
        "from": _caller(call),
        "to": _digits(call.did) or _HIDDEN,
        "direction": "in" if call.direction is Direction.INBOUND else "out",
        "callId": call_id(call.call_id),
    }
    if call.queue is not None and event == "newCall":
        said["queue"] = call.queue.name
    people = [directory.by_login.get(login) for login in payload["data"].get("agents", ())]
    if call.direction is Direction.OUTBOUND and not any(people):
        people = [directory.find(call.pbx, call.caller.endpoint, call.caller.number)]
    if names := [agent.name for agent in people if agent is not None]:
        said["user"] = names
    if event != "newCall" and (number := _answering(call, directory)) is not None:
        said["answeringNumber"] = number
    if event == "hangup":
        said["cause"] = _cause(call)
    return said


def trial(number: str) -> list[dict[str, Any]]:
    """A call that never was, to see whether Zammad listens. It has no ping: what it does not know is an error.

    Ended as forwarded, which Zammad does not show as a call to be returned."""
    call = {"from": _HIDDEN, "to": _HIDDEN, "direction": "in", "callId": call_id(number)}
    return [
        {"event": "newCall", **call, "user": [f"Callcard {PING}"]},
        {"event": "hangup", **call, "cause": "forwarded"},
    ]


def call_id(ours: str) -> str:
    """The call's name for Zammad, which wants letters and digits only."""
    return hashlib.sha256(ours.encode()).hexdigest()[:32]


def _caller(call: Call) -> str:
    if call.caller.presentation is not Presentation.ALLOWED:
        return _HIDDEN
    return _digits(call.caller.number) or _HIDDEN


def _digits(number: str | None) -> str | None:
    """E.164 as Zammad writes it, without the plus; an extension as it is."""
    return number.removeprefix("+") if number else None


def _answering(call: Call, directory: Directory) -> str | None:
    """The login, by which Zammad finds its user, of the agent who talks, or talked last."""
    if call.direction is Direction.OUTBOUND:
        agent = directory.find(call.pbx, call.caller.endpoint, call.caller.number)
        return agent.login if agent else None
    talked = sorted(
        (leg for leg in call.legs if leg.answered_at is not None),
        key=lambda leg: (leg.state is not LegState.ENDED, leg.answered_at),
    )
    for leg in reversed(talked):
        found: Agent | None = directory.find(call.pbx, leg.endpoint, leg.agent)
        login = found.login if found else leg.agent
        if login is not None:
            return login
    return None


def _cause(call: Call) -> str:
    if call.end_reason is CallEndReason.FAILED and call.hangup_cause == _UNALLOCATED_NUMBER:
        return "notFound"
    if call.end_reason in _CAUSES:
        return _CAUSES[call.end_reason]
    # Nobody saw the end.
    return "normalClearing" if call.answered_at else "cancel"
