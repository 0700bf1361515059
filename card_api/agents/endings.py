"""When an agent's tokens end, and with what word the tabs are closed. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.push_control import (
    PASSWORD_CHANGED,
    RIGHTS_CHANGED,
    SWITCHED_OFF,
    TOKEN_ENDED,
    Farewell,
)


@dataclass(frozen=True, slots=True)
class Ending:
    """Tokens of `login` that were issued before `at` end."""

    login: str
    farewell: Farewell
    at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """What an agent's tokens depend on. `tokens_from`, `rights_from`: as in the table."""

    login: str
    role: str
    active: bool
    tokens_from: datetime | None = None
    rights_from: datetime | None = None


def whole_ms(moment: datetime) -> datetime:
    """Down to the millisecond, as tokens tell when they were issued: one that is issued next must not be the older."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def farewell(before: Standing | None, role: str, active: bool, new_password: bool) -> Farewell | None:
    """What a change of an agent means for the tokens; None: nothing. `before` None: the agent is new."""
    if before is None or not before.active:
        return None
    if not active:
        return SWITCHED_OFF
    if new_password:
        return PASSWORD_CHANGED
    return RIGHTS_CHANGED if before.role != role else None


def last_ending(agent: Standing) -> Ending | None:
    """What the table says of an agent's tokens, without the reason: that is told at once, this is for who missed it."""
    tokens, rights = agent.tokens_from, agent.rights_from
    if rights is not None and (tokens is None or rights > tokens):
        return Ending(agent.login, RIGHTS_CHANGED, rights)
    if tokens is None:
        return None
    return Ending(agent.login, TOKEN_ENDED if agent.active else SWITCHED_OFF, tokens)


def missed(agents: list[Standing], revoked: Mapping[str, float], since: datetime) -> list[Ending]:
    """The endings after `since` that the gateways' memory in Redis (`read_revoked`) does not have."""
    found = [ending for agent in agents if (ending := last_ending(agent)) is not None and ending.at > since]
    return [ending for ending in found if ending.at.timestamp() > revoked.get(ending.login, 0.0)]
