"""What a session wants done. Whoever has the socket and Redis carries it out. Pure.

Some need an answer: `Open` ends with `Session.opened` or `failed`, `Join` with `joined` or `failed`, `ReadHistory` with
`history_read` or `failed`, `ReadPresence` with `presence_read` or `failed`.
"""

from dataclasses import dataclass

from push_gateway.channels import Identity
from push_gateway.codes import Close
from shared.contracts.push import CardSeen
from shared.push import Position


@dataclass(frozen=True, slots=True)
class Send:
    """Put the frame into the client's queue."""

    frame: str


@dataclass(frozen=True, slots=True)
class Ping:
    """Ask whether the peer is still there."""


@dataclass(frozen=True, slots=True)
class End:
    """Close the connection; nothing comes after it."""

    close: Close


@dataclass(frozen=True, slots=True)
class Open:
    """Subscribe to the agent's channel and read its desk, for a connect command."""

    command: int
    identity: Identity
    channel: str
    known: Position | None


@dataclass(frozen=True, slots=True)
class Join:
    """Subscribe to a channel, for a subscribe command."""

    command: int
    channel: str
    known: Position | None
    reject_unrecovered: bool


@dataclass(frozen=True, slots=True)
class Leave:
    """Unsubscribe."""

    channel: str


@dataclass(frozen=True, slots=True)
class ReadHistory:
    """Read at most `limit` publications of a channel the client is subscribed to."""

    command: int
    channel: str
    since: Position | None
    limit: int
    reverse: bool


@dataclass(frozen=True, slots=True)
class ReadPresence:
    """Read who is in a channel the client is subscribed to. `method`: presence | presence_stats."""

    command: int
    channel: str
    method: str


@dataclass(frozen=True, slots=True)
class GiveReceipt:
    """Hand on that the agent's tab has shown or opened a card."""

    what: str
    agent: str
    seen: CardSeen


Question = Open | Join | ReadHistory | ReadPresence
Effect = Send | Ping | End | Leave | GiveReceipt | Question
