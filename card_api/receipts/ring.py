"""A ring on an agent's screen: how fast its card came, and why it did not. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.push_control import PASSWORD_CHANGED, TOKEN_ENDED

IN_TIME = timedelta(seconds=2)
"""A card that is shown later may as well not be: a phone is often answered by then."""

# A tab that left so short before the ring was meant to be there: a page that reloads, Wi-Fi that went. Longer ago it is
# somebody who is not at work.
LATELY = timedelta(minutes=2)
# Close codes of a tab whose token is good for nothing any more: it ended by itself (`connection expired`), was refused
# when it was to be renewed (`invalid token`), or was ended.
_TOKEN_OVER = (3005, 3500, TOKEN_ENDED.code, PASSWORD_CHANGED.code)
# Signed out and switched off: nobody is meant to be there.
_ON_PURPOSE = range(4500, 5000)


class Unseen(StrEnum):
    """Why no tab has said within two seconds that it shows the card."""

    NO_TAB = "no_tab"
    DISCONNECTED = "disconnected"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - a reason
    SLOW = "slow"
    OVER = "over"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Tabs:
    """What the gateways say of an agent's tabs: is one connected? When did the last one leave, with what close code?"""

    connected: bool
    left_at: datetime | None = None
    code: int = 0


@dataclass(slots=True, eq=False)
class Ring:
    """One ring of a call at an agent. Named by call_id, agent (login) and `rang`.

    rev: of the card that was pushed first. arrived, looked_up, rang: as on the card. pushed: Redis took the card.
    shown, opened: when the gateway heard so of the first tab. over: when the card was closed. unseen: why nobody has
    shown it in time, once that is known.
    """

    call_id: str
    agent: str
    rang: datetime
    rev: int
    arrived: datetime
    looked_up: datetime | None
    pushed: datetime
    shown: datetime | None = None
    opened: datetime | None = None
    over: datetime | None = None
    unseen: Unseen | None = None

    @property
    def seen(self) -> bool:
        """Has a tab shown it in time?"""
        return self.shown is not None and self.shown - self.pushed <= IN_TIME


def why_unseen(ring: Ring, tabs: Tabs) -> Unseen:
    """The reason, as far as it is known. `tabs`: two seconds after the push."""
    if tabs.connected:
        short = ring.over is not None and ring.over - ring.pushed < IN_TIME
        return Unseen.OVER if short else Unseen.SLOW
    if tabs.left_at is None or tabs.code in _ON_PURPOSE:
        return Unseen.NO_TAB
    if tabs.code in _TOKEN_OVER:
        return Unseen.TOKEN_EXPIRED
    return Unseen.DISCONNECTED if tabs.left_at >= ring.pushed - LATELY else Unseen.NO_TAB


@dataclass(frozen=True, slots=True)
class Moments:
    """The way of a ring to the screen, as it was stored."""

    arrived: datetime
    looked_up: datetime | None
    rang: datetime
    pushed: datetime
    shown: datetime | None


def to_push(at: Moments) -> Iterator[tuple[str, float]]:
    """(stage, seconds) of the way to Redis."""
    if at.looked_up is not None:
        yield "arrived_to_looked_up", _seconds(at.arrived, at.looked_up)
    yield "arrived_to_pushed", _seconds(at.arrived, at.pushed)
    yield "rang_to_pushed", _seconds(at.rang, at.pushed)


def to_screen(at: Moments) -> Iterator[tuple[str, float]]:
    """(stage, seconds) of the way to the eye, once it is shown."""
    if at.shown is not None:
        yield "pushed_to_shown", _seconds(at.pushed, at.shown)
        yield "rang_to_shown", _seconds(at.rang, at.shown)
        yield "arrived_to_shown", _seconds(at.arrived, at.shown)


def _seconds(since: datetime, until: datetime) -> float:
    """Clocks of two machines may differ by a little; nothing is earlier than what it follows."""
    return max(0.0, (until - since).total_seconds())
