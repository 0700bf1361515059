"""Who may hear which push channel. Pure; the gateway and Centrifugo's proxy ask the same rule.

agent:<login>   the cards of one agent: the agent's own tabs
line:<name>     the board of a line: supervisors, and the members whose token names it in `channels`
notices         everybody
"""

from collections.abc import Collection
from enum import Enum, auto

from shared.push import NOTICES, agent_channel

SUPERVISING = frozenset({"supervisor", "admin"})


class Right(Enum):
    """What a token says about a channel."""

    GRANTED = auto()
    DENIED = auto()
    UNKNOWN = auto()
    """There is no such channel."""


def right_to_hear(login: str, role: str, channels: Collection[str], channel: str) -> Right:
    """May this agent hear the channel? `channels`: what the token names beyond the agent's own."""
    if channel in (agent_channel(login), NOTICES):
        return Right.GRANTED
    kind, _, name = channel.partition(":")
    if kind == "line" and name and (role in SUPERVISING or channel in channels):
        return Right.GRANTED
    return Right.DENIED if kind in ("agent", "line") else Right.UNKNOWN
