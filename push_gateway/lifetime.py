"""When a connection is pinged, and when its silence or its token ends it. Pure; times are seconds of one clock."""

from typing import Literal

from push_gateway.codes import EXPIRED, NO_PONG, STALE, Close

# Convention of the protocol; the SDKs wait ten seconds longer before they call a connection dead.
PING_SECONDS = 25
# A tab in the background may be slow; a dead way is better found out late than a sleeping one cut off.
PONG_SECONDS = 8
# The SDK asks for a new token when `ttl` is over; this is how long page and network may take for it.
EXPIRY_GRACE_SECONDS = 25

_NEVER = float("inf")


class Lifetime:
    """The deadlines of one connection. It is stale if it has not connected at `stale_at`.

    `spread`, up to 1: after which part of the time between two pings the first one is sent. With the same one for all,
    tabs that came together, after a restart, would be pinged together ever after, and a ring wait for them.
    """

    __slots__ = ("_expires_at", "_ping_at", "_pong_until", "_spread", "_stale_at")

    def __init__(self, stale_at: float, spread: float) -> None:
        self._stale_at = stale_at
        self._spread = spread
        self._ping_at = _NEVER
        self._pong_until = _NEVER
        self._expires_at = _NEVER

    @property
    def deadline(self) -> float:
        """When `tick` is wanted next."""
        if self._stale_at < _NEVER:
            return self._stale_at
        return min(self._ping_at, self._pong_until, self._expires_at)

    def heard(self) -> None:
        """The peer said something: any frame counts as life."""
        self._pong_until = _NEVER

    def connected(self, now: float) -> None:
        self._stale_at = _NEVER
        self._ping_at = now + PING_SECONDS * self._spread

    def token_until(self, moment: float) -> None:
        """The token, the first one or a new one, is good until then."""
        self._expires_at = moment + EXPIRY_GRACE_SECONDS

    def end(self) -> None:
        """Nothing is due any more."""
        self._stale_at = self._ping_at = self._pong_until = self._expires_at = _NEVER

    def tick(self, now: float) -> Close | Literal["ping"] | None:
        """What is due, if anything is."""
        if self._stale_at < _NEVER:
            return STALE if now >= self._stale_at else None
        if now >= self._pong_until:
            return NO_PONG
        if now >= self._expires_at:
            return EXPIRED
        if now >= self._ping_at:
            self._ping_at = now + PING_SECONDS
            self._pong_until = now + PONG_SECONDS
            return "ping"
        return None
