"""API keys: making, checking, revoking."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime
from time import monotonic
from uuid import UUID

from card_api.api_keys.repository import ApiKey, ApiKeyRepository
from card_api.api_keys.scopes import SCOPES
from card_api.database import DATABASE_ERRORS
from shared.observability import logger
from shared.security import API_KEY_PREFIX, hash_api_key, new_api_key

__all__ = ["SCOPES", "ApiKey", "ApiKeyError", "ApiKeyService"]

# A revoked key works for at most this long; in return a busy key costs no statement a request.
_KEPT_SECONDS = 5.0
_KEPT_KEYS = 1000
# "Last used" is for people who clear up keys: to the minute is exact enough.
_USED_SECONDS = 60.0


class ApiKeyError(Exception):
    """What is wrong with a key that was to be made: a sentence for a person."""


class ApiKeyService:
    """`create` and `revoke` are what `callcard apikey` does; `verify` is asked by each request."""

    def __init__(
        self,
        repository: ApiKeyRepository,
        now: Callable[[], datetime],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._repository = repository
        self._now = now
        self._clock = clock
        self._kept: OrderedDict[bytes, tuple[float, ApiKey]] = OrderedDict()
        self._used: set[UUID] = set()
        self._log = logger("api_keys")

    async def create(self, name: str, scopes: Sequence[str]) -> str:
        """Make a key; returns it, for the only time. Raises `ApiKeyError`."""
        if not name.strip():
            raise ApiKeyError("The name is empty: say which system will use the key.")
        unknown = sorted(set(scopes) - set(SCOPES))
        if unknown or not scopes:
            said = f"There is no scope {unknown[0]!r}" if unknown else "A key without a scope can do nothing"
            raise ApiKeyError(f"{said}: use one of {', '.join(SCOPES)}.")
        key, prefix, key_hash = new_api_key()
        await self._repository.add(name.strip(), prefix, key_hash, sorted(set(scopes)))
        return key

    async def revoke(self, prefix: str) -> int:
        """Revoke by the key or by its first characters as lists show them; returns how many were."""
        return await self._repository.revoke(prefix[: len(API_KEY_PREFIX) + 6])

    async def verify(self, key: str) -> ApiKey | None:
        """The key's record, None if it is unknown or revoked. Raises one of `DATABASE_ERRORS`."""
        key_hash = hash_api_key(key)
        kept = self._kept.get(key_hash)
        if kept is not None and kept[0] > self._clock():
            found: ApiKey | None = kept[1]
        else:
            # By the hash of 256 random bits: what the time of an index search tells is of no use to anybody.
            found = await self._repository.by_hash(key_hash)
            self._kept.pop(key_hash, None)
            if found is not None:
                self._kept[key_hash] = (self._clock() + _KEPT_SECONDS, found)
                if len(self._kept) > _KEPT_KEYS:
                    self._kept.popitem(last=False)
        if found is not None:
            self._used.add(found.id)
        return found

    async def note_use(self) -> None:
        """Write down which keys were used since the last time."""
        used, self._used = self._used, set()
        if not used:
            return
        try:
            await self._repository.used(used, self._now())
        except DATABASE_ERRORS:
            self._used |= used

    async def run(self) -> None:
        """Until cancelled: note the use every minute, and once more at the end."""
        try:
            while True:
                await asyncio.sleep(_USED_SECONDS)
                await self.note_use()
        finally:
            await self.note_use()
