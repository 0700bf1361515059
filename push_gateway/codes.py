"""Errors of commands, and why connections and subscriptions are ended: numbers that every SDK knows. Pure."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Error:
    """Why a command failed. `temporary`: the client may try the same again later."""

    code: int
    message: str
    temporary: bool = False


INTERNAL = Error(100, "internal server error", temporary=True)
UNAUTHORIZED = Error(101, "unauthorized")
UNKNOWN_CHANNEL = Error(102, "unknown channel")
PERMISSION_DENIED = Error(103, "permission denied")
METHOD_NOT_FOUND = Error(104, "method not found")
ALREADY_SUBSCRIBED = Error(105, "already subscribed")
LIMIT_EXCEEDED = Error(106, "limit exceeded")
BAD_REQUEST = Error(107, "bad request")
NOT_AVAILABLE = Error(108, "not available")
TOKEN_EXPIRED = Error(109, "token expired")
TOO_MANY_REQUESTS = Error(111, "too many requests", temporary=True)
UNRECOVERABLE_POSITION = Error(112, "unrecoverable position")


@dataclass(frozen=True, slots=True)
class Close:
    """Why the gateway ends a connection: a WebSocket close code and its reason, both read by the SDK. `meaning`: for
    people who read of it."""

    code: int
    reason: str
    meaning: str = field(default="", compare=False)

    @property
    def reconnect(self) -> bool:
        """Does the SDK come back by itself? It does, but for 3500-3999 and 4500-4999."""
        return not (3500 <= self.code < 4000 or 4500 <= self.code < 5000)


SHUTDOWN = Close(3001, "shutdown", "This process ends; another one, or the same in a moment, takes over.")
SERVER_ERROR = Close(3004, "internal server error", "A mistake of ours; it is in the log.")
EXPIRED = Close(
    3005,
    "connection expired",
    "The token ran out and no new one came; the SDK asks the page for one and reconnects.",
)
SLOW = Close(3008, "slow", "The tab did not read; it reconnects and recovers from the history.")
INSUFFICIENT_STATE = Close(
    3010,
    "insufficient state",
    "Publications were lost or the desk was rebuilt; a reconnect brings the snapshot.",
)
FORCE_RECONNECT = Close(
    3011,
    "force reconnect",
    "More was posted than the session could take in; a new connection begins without it.",
)
NO_PONG = Close(3012, "no pong", "Nothing was heard after a ping: the way to the tab is dead.")
INVALID_TOKEN = Close(
    3500, "invalid token", "The token is not ours; trying again can't help, signing in does."
)
CLOSE_BAD_REQUEST = Close(3501, "bad request", "The frame is not the protocol: a broken client.")
STALE = Close(3502, "stale", "Connected, but never said who it is.")
CONNECTION_LIMIT = Close(3504, "connection limit", "The agent has too many tabs open already.")
TOO_MANY_ERRORS = Close(
    3509,
    "too many errors",
    "The tab was told 111 and went on all the same: a loop in a page, which a reconnect would only begin anew.",
)


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """Why the gateway ends one subscription of the client's own. The SDK subscribes again from 2500 on."""

    code: int
    reason: str
    meaning: str = field(default="", compare=False)


UNSUBSCRIBED_BY_SERVER = Unsubscribed(
    2000, "server unsubscribe", "The new token does not allow the channel any more."
)
UNSUBSCRIBED_INSUFFICIENT = Unsubscribed(
    2500,
    "insufficient state",
    "Publications of this channel were lost; subscribing again brings what there is.",
)
