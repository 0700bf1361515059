"""The way in for API keys: is it one, and may it ask again already?"""

from collections.abc import Callable
from time import monotonic

from card_api.api_keys.limit import Limit, Limiter, headers
from card_api.api_keys.service import ApiKey, ApiKeyService
from card_api.database import DATABASE_ERRORS
from shared.errors import TooManyRequests, Unauthorised, Unavailable
from shared.security import API_KEY_PREFIX

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="callcard"'}
"""What every 401 carries."""

# A system that fetched its configuration twice asks a few times with a key that is not good any more; a guesser asks
# for ever. A key has 256 random bits, so this saves statements, not secrets.
_GUESSES = Limit(rate=1.0, burst=20.0)
# After a pause a key may catch up what it has not asked in this many seconds: CRMs work in bursts, a page of theirs
# looks up all its rows at once.
_BURST_SECONDS = 2


class KeyGate:
    """`admit` is asked by each request with a key; for one that was good within seconds it asks nobody else.

    per_second: requests a key may make, if its own record does not say it.
    """

    def __init__(self, keys: ApiKeyService, per_second: int, clock: Callable[[], float] = monotonic) -> None:
        self._keys = keys
        self._per_second = per_second
        self._clock = clock
        self._asked = Limiter()
        self._guessed = Limiter()

    async def admit(self, given: str, address: str) -> ApiKey:
        """The record of the key. Raises `Unauthorised`, `TooManyRequests`, or `Unavailable` when PostgreSQL is away.

        Wrong keys are counted by the client's `address`. When it has sent too many, only keys that were good before are
        still looked at, because behind a proxy all clients have one address.
        """
        looks_like_one = given.startswith(API_KEY_PREFIX)
        if not (looks_like_one and self._keys.knows(given)):
            self._refuse_guesser(address)
        try:
            key = await self._keys.verify(given) if looks_like_one else None
        except DATABASE_ERRORS:
            raise Unavailable(
                "The key cannot be checked: PostgreSQL is away.", {"Retry-After": "2"}
            ) from None
        if key is None:
            self._guessed.take(address, _GUESSES, self._clock())
            raise Unauthorised("This API key is not known, was revoked, or has expired.", CHALLENGE)
        rate = key.per_second or self._per_second
        limit = Limit(rate, rate * _BURST_SECONDS)
        verdict = self._asked.take(key.id, limit, self._clock())
        if not verdict.allowed:
            raise TooManyRequests(
                f"This API key may ask {rate} times a second and has asked more. Ask again after the seconds in "
                "Retry-After, or have its limit raised (callcard apikey create --per-second).",
                headers("key", limit, verdict),
            )
        return key

    def _refuse_guesser(self, address: str) -> None:
        verdict = self._guessed.look(address, _GUESSES, self._clock())
        if not verdict.allowed:
            raise TooManyRequests(
                "Too many wrong API keys came from this address. Correct the key, then ask again after the seconds in "
                "Retry-After.",
                headers("wrong-keys", _GUESSES, verdict),
            )
