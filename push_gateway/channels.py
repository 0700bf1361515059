"""Who may hear which channel, and which channels tell who is there. Pure.

agent:<login>   the cards of one agent: the agent's own tabs. They see each other (presence), and each hears when
                another comes or goes (join, leave): at most a handful, and a tab that is alone can know it.
line:<name>     the board of a line: supervisors, and the members whose token names it in `channels`. Presence can
                be asked for; coming and going is not announced, because a thousand tabs that come back after a
                restart would tell a thousand others: a million frames when there is the least air for them.
notices         everybody. No presence: a list of everybody answers no question that somebody has.
"""

from dataclasses import dataclass

from push_gateway.codes import PERMISSION_DENIED, UNKNOWN_CHANNEL, Error
from shared.push_rights import Right, right_to_hear


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a token says it is, and for how many seconds from now. `channels`: what it may hear beyond its own.
    `issued_at`: of the token, in seconds since 1970; 0 if it does not say."""

    login: str
    role: str
    seconds_left: float
    channels: tuple[str, ...] = ()
    issued_at: float = 0.0


def refusal(identity: Identity, channel: str) -> Error | None:
    """Why the agent may not hear this channel; None if they may."""
    match right_to_hear(identity.login, identity.role, identity.channels, channel):
        case Right.GRANTED:
            return None
        case Right.DENIED:
            return PERMISSION_DENIED
        case Right.UNKNOWN:
            return UNKNOWN_CHANNEL


def has_presence(channel: str) -> bool:
    """Is it kept who listens?"""
    return channel.startswith(("agent:", "line:"))


def announces(channel: str) -> bool:
    """Is everybody in it told who comes and goes?"""
    return channel.startswith("agent:")
