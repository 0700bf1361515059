"""How often somebody may ask: a token bucket each. Pure: the time is passed in, nothing waits here.

A bucket holds `burst` tokens and gains `rate` a second; each request takes one. All there is to remember of a bucket is
when it will be full again, so one that is full needs no memory at all.

Counted in this process. Behind several API processes each key may ask as often as its limit allows of each of them: the
limit keeps one system from disturbing the others, it is no bill.
"""

from collections.abc import Hashable
from math import ceil
from typing import NamedTuple

# Buckets that are not full at the same time. Beyond this somebody asks under many names; whose bucket is nearly full
# is forgotten first. Some 10 MB.
_MOST = 100_000
# Full buckets are thrown away when as many as this have come since the last time: a clean-up of 1 ms now and then.
_CLEAN_EVERY = 10_000
# In tokens. Times are floats of some 10^6 s, and each request adds its own rounding: less than this is no debt.
_ROUNDING = 1e-6


class Limit(NamedTuple):
    """rate: requests a second. burst: how many may come at once after a pause."""

    rate: float
    burst: float


class Verdict(NamedTuple):
    """allowed: may this request go on? left: how many more may come at once. wait: seconds until one more may come,
    0 if it may come now."""

    allowed: bool
    left: int
    wait: float


class Limiter:
    """The buckets of everybody, by any name that can be told apart."""

    def __init__(self, most: int = _MOST) -> None:
        self._full_at: dict[Hashable, float] = {}
        self._most = most
        self._clean_at = min(most, _CLEAN_EVERY)

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, who: Hashable, limit: Limit, now: float) -> Verdict:
        """Take a token out of the bucket of `who`, if there is one. now: seconds of a clock that never goes back."""
        verdict = self.look(who, limit, now)
        if not verdict.allowed:
            return verdict
        self._full_at[who] = max(self._full_at.get(who, now), now) + 1.0 / limit.rate
        if len(self._full_at) > self._clean_at:
            self._clean(now)
        return Verdict(True, verdict.left - 1, 0.0)

    def look(self, who: Hashable, limit: Limit, now: float) -> Verdict:
        """May `who` ask now? Nothing is taken."""
        missing = (self._full_at.get(who, now) - now) * limit.rate  # tokens
        if missing < 0.0:
            missing = 0.0
        left = limit.burst - missing
        if left < 1.0 - _ROUNDING:
            return Verdict(False, 0, (1.0 - left) / limit.rate)
        return Verdict(True, int(left + _ROUNDING), 0.0)

    def _clean(self, now: float) -> None:
        self._full_at = {who: at for who, at in self._full_at.items() if at > now}
        if len(self._full_at) > self._most:
            emptiest = sorted(self._full_at.items(), key=lambda item: item[1])[-self._most // 2 :]
            self._full_at = dict(emptiest)
        self._clean_at = min(self._most, len(self._full_at) + _CLEAN_EVERY)


def headers(name: str, limit: Limit, verdict: Verdict) -> dict[str, str]:
    """What an answer says about a limit that was reached: `Retry-After`, the fields of the IETF's draft
    (`RateLimit-Policy` with quota and window, `RateLimit` with what remains and when more does) and the X- ones that
    older clients look at."""
    wait = str(max(1, ceil(verdict.wait)))
    quota = str(int(limit.rate))
    return {
        "Retry-After": wait,
        "RateLimit-Policy": f'"{name}";q={quota};w=1',
        "RateLimit": f'"{name}";r={verdict.left};t={wait}',
        "X-RateLimit-Limit": quota,
        "X-RateLimit-Remaining": str(verdict.left),
        "X-RateLimit-Reset": wait,
    }
