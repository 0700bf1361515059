"""Which agents a call concerns, and what each of their cards must show: a pure function of the call."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from card_api.agents.directory import Agent, Directory
from shared.contracts.call import (
    Call,
    CallEndReason,
    CallState,
    Direction,
    Leg,
    LegEndReason,
    LegState,
    TransferOutcome,
)
from shared.contracts.card import CardState, CloseReason


class Place(NamedTuple):
    """One agent's part in a call. A tuple for the reason of `CustomerEnd`."""

    agent: Agent
    state: CardState
    close_reason: CloseReason | None
    ringing_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None


# Why the card of a leg that nobody had answered closes.
_UNANSWERED = {
    LegEndReason.ANSWERED_ELSEWHERE: CloseReason.ANSWERED_ELSEWHERE,
    LegEndReason.NO_ANSWER: CloseReason.NO_ANSWER,
    LegEndReason.BUSY: CloseReason.REJECTED,
    LegEndReason.REJECTED: CloseReason.REJECTED,
    LegEndReason.CANCELLED: CloseReason.CALLER_GAVE_UP,
    LegEndReason.TRANSFERRED: CloseReason.TRANSFERRED,
    # The phone could not be reached: for the agent that is a call nobody took.
    LegEndReason.FAILED: CloseReason.NO_ANSWER,
}

# Why the card of the agent who dialled closes, when the customer had not answered.
_NOT_REACHED = {
    CallEndReason.NO_ANSWER: CloseReason.NO_ANSWER,
    CallEndReason.BUSY: CloseReason.REJECTED,
    CallEndReason.REJECTED: CloseReason.REJECTED,
    # The agent put the phone down before the customer took theirs.
    CallEndReason.ABANDONED: CloseReason.NO_ANSWER,
}


def places(call: Call, directory: Directory) -> list[Place]:
    """The agents this call rings at, talks to, or did; each once, in the order of their first leg.

    An agent whose phone rang twice in one call has one card: it follows the leg that matters most now (a living one,
    else the last). The agent who dials has a card for outbound calls only: a colleague's name is on the phone.
    """
    legs: dict[str, list[Leg]] = {}
    agents: dict[str, Agent] = {}
    for leg in call.legs:
        agent = directory.find(call.pbx, leg.endpoint, leg.agent)
        if agent is not None:
            agents[agent.login] = agent
            legs.setdefault(agent.login, []).append(leg)
    found = {login: _of_leg(call, agents[login], _that_matters(own)) for login, own in legs.items()}
    if call.direction is Direction.OUTBOUND:
        dialler = directory.find(call.pbx, call.caller.endpoint, call.caller.number)
        # Click to call rings the agent's own phone first: that leg and the caller's end are one agent, one card.
        if dialler is not None:
            found[dialler.login] = _of_dialler(call, dialler)
    return list(found.values())


def _that_matters(legs: Iterable[Leg]) -> Leg:
    return max(enumerate(legs), key=lambda item: (item[1].state is not LegState.ENDED, item[0]))[1]


def _of_leg(call: Call, agent: Agent, leg: Leg) -> Place:
    state, reason = _leg_state(call, leg)
    return Place(agent, state, reason, leg.ringing_at, leg.answered_at, leg.ended_at)


def _leg_state(call: Call, leg: Leg) -> tuple[CardState, CloseReason | None]:
    if leg.state is not LegState.ENDED and call.state is not CallState.ENDED:
        match leg.state:
            case LegState.ANSWERED:
                return CardState.ANSWERED, None
            case LegState.HELD:
                return CardState.HELD, None
        return CardState.RINGING, None
    if leg.end_reason is LegEndReason.TRANSFERRED:
        return CardState.CLOSED, CloseReason.TRANSFERRED
    if leg.answered_at is not None:
        return CardState.CLOSED, CloseReason.ENDED
    known = _UNANSWERED.get(leg.end_reason) if leg.end_reason else None
    if known is not None:
        return CardState.CLOSED, known
    # Ended unseen: what became of the call is the best that is known.
    gave_up = call.end_reason is CallEndReason.ABANDONED
    return CardState.CLOSED, CloseReason.CALLER_GAVE_UP if gave_up else CloseReason.NO_ANSWER


def _of_dialler(call: Call, agent: Agent) -> Place:
    state, reason = _dialler_state(call)
    return Place(agent, state, reason, call.started_at, call.answered_at, call.ended_at)


def _dialler_state(call: Call) -> tuple[CardState, CloseReason | None]:
    passed_on = any(
        t.by == call.caller.endpoint and t.outcome is TransferOutcome.ANSWERED for t in call.transfers
    )
    if passed_on:
        return CardState.CLOSED, CloseReason.TRANSFERRED
    match call.state:
        case CallState.ENDED:
            if call.answered_at is not None or call.end_reason is None:
                return CardState.CLOSED, CloseReason.ENDED
            return CardState.CLOSED, _NOT_REACHED.get(call.end_reason, CloseReason.ENDED)
        case CallState.ANSWERED:
            return CardState.ANSWERED, None
        case CallState.HELD:
            return CardState.HELD, None
    return CardState.RINGING, None
