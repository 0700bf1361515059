"""API keys: making, rotating, revoking, and knowing one again."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from card_api.api_keys.repository import ApiKey, ApiKeyRepository, NewKey
from card_api.api_keys.scopes import SCOPES
from card_api.audit.repository import AuditEntry
from card_api.database import DATABASE_ERRORS
from shared.security import API_KEY_PREFIX, hash_api_key, new_api_key

__all__ = ["KEEP", "SCOPES", "ApiKey", "ApiKeyError", "ApiKeyService", "By", "Made"]

KEEP = timedelta(hours=24)
"""How long a key lives on after it was rotated: a working day to put the new one in place, wherever it is used."""

# A revoked key works for at most this long; in return a busy key costs no statement a request.
_KEPT_SECONDS = 5.0
_KEPT_KEYS = 1000
# "Last used" is for people who clear up keys: to the minute is exact enough.
_USED_SECONDS = 60.0
_LONGEST_NAME = 100


class ApiKeyError(Exception):
    """What is wrong with a key that was to be made: a sentence for a person."""


class By(NamedTuple):
    """Who does it, for the audit log: an API key's beginning, or the command line."""

    kind: Literal["agent", "api_key", "system"]
    name: str


_COMMAND_LINE = By("system", "command line")


class Made(NamedTuple):
    """A key that was made: itself, for the only time, and its record."""

    key: str
    record: ApiKey


class ApiKeyService:
    """`verify` is asked by each request. The others raise one of `DATABASE_ERRORS` when PostgreSQL is away."""

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

    # --- what administrators do ---------------------------------------------------------------------------------

    async def create(self, name: str, scopes: Sequence[str]) -> str:
        """Make a key; returns it, for the only time. Raises `ApiKeyError`."""
        return (await self.make(name, scopes)).key

    async def make(
        self,
        name: str,
        scopes: Sequence[str],
        per_second: int | None = None,
        expires_at: datetime | None = None,
        by: By = _COMMAND_LINE,
        connection: AsyncConnection | None = None,
    ) -> Made:
        """Make a key with a limit and an end of its own; in the transaction of `connection`, if one is given. Raises
        `ApiKeyError`."""
        self._check(name, scopes, per_second, expires_at)
        key, new = _new(name.strip(), sorted(set(scopes)), per_second, expires_at)
        audit = self._audit("apikey.created", new.prefix, by, _said(new))
        record = await self._repository.add(new, audit, connection)
        return Made(key, record)

    async def rotate(
        self,
        old: ApiKey,
        keep: timedelta = KEEP,
        expires_at: datetime | None = None,
        by: By = _COMMAND_LINE,
        connection: AsyncConnection | None = None,
    ) -> Made:
        """A new key that may do the same; the old one lives on for `keep`. The new one has the end the old one had,
        unless another is given. In the transaction of `connection`, if one is given. Raises `ApiKeyError` if the old
        one does not work any more."""
        now = self._now()
        self._check(old.name, sorted(old.scopes), old.per_second, expires_at)
        key, new = _new(old.name, sorted(old.scopes), old.per_second, expires_at or old.expires_at)
        detail = {"replaces": old.prefix, "old_until": (now + keep).isoformat("T", "seconds"), **_said(new)}
        audit = self._audit("apikey.rotated", new.prefix, by, detail)
        record = await self._repository.replace(old.id, new, now + keep, audit, now, connection)
        if record is None:
            raise ApiKeyError(
                f"The key {old.prefix}… was revoked or has expired, so there is nothing to rotate: create one."
            )
        self._forget(old.id)
        return Made(key, record)

    async def revoke(self, key: ApiKey, by: By = _COMMAND_LINE) -> bool:
        """Revoke: at once in this process, within seconds in others. False if it was before."""
        audit = self._audit("apikey.revoked", key.prefix, by, {"name": key.name})
        done = await self._repository.revoke(key.id, audit)
        self._forget(key.id)
        return done

    async def get(self, key_id: UUID) -> ApiKey | None:
        return await self._repository.get(key_id)

    async def named(self, beginning: str) -> list[ApiKey]:
        """By the key or by its first characters as lists show them."""
        return await self._repository.begin_with(beginning[: len(API_KEY_PREFIX) + 6])

    async def all(self) -> list[ApiKey]:
        """Every key, newest first, revoked ones too."""
        return await self._repository.all()

    # --- what requests need -------------------------------------------------------------------------------------

    async def verify(self, key: str) -> ApiKey | None:
        """The key's record, None if it is unknown, revoked or expired. Raises one of `DATABASE_ERRORS`."""
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
        if found is None or (found.expires_at is not None and found.expires_at <= self._now()):
            return None
        self._used.add(found.id)
        return found

    def knows(self, key: str) -> bool:
        """Was this key good a while ago? Then it is worth a statement, whoever else guesses from the same address."""
        return hash_api_key(key) in self._kept

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

    def _forget(self, key_id: UUID) -> None:
        for key_hash in [h for h, (_, kept) in self._kept.items() if kept.id == key_id]:
            del self._kept[key_hash]

    def _check(
        self, name: str, scopes: Sequence[str], per_second: int | None, expires_at: datetime | None
    ) -> None:
        if not name.strip():
            raise ApiKeyError("The name is empty: say which system will use the key.")
        if len(name) > _LONGEST_NAME or not name.isprintable():
            raise ApiKeyError(f"The name must be at most {_LONGEST_NAME} characters in one line.")
        unknown = sorted(set(scopes) - set(SCOPES))
        if unknown or not scopes:
            said = f"There is no scope {unknown[0]!r}" if unknown else "A key without a scope can do nothing"
            raise ApiKeyError(f"{said}: use one of {', '.join(SCOPES)}.")
        if per_second is not None and per_second < 1:
            raise ApiKeyError("A key that may ask less than once a second is of no use: leave the limit out.")
        if expires_at is not None and expires_at <= self._now():
            raise ApiKeyError(
                f"{expires_at:%Y-%m-%d %H:%M} is over, the key would not work: name a later moment."
            )

    def _audit(self, action: str, subject: str, by: By, detail: dict[str, Any]) -> AuditEntry:
        return AuditEntry(self._now(), by.kind, by.name, action, subject, detail)


def _new(
    name: str, scopes: Sequence[str], per_second: int | None, expires_at: datetime | None
) -> tuple[str, NewKey]:
    key, prefix, key_hash = new_api_key()
    return key, NewKey(name, prefix, key_hash, scopes, per_second, expires_at)


def _said(new: NewKey) -> dict[str, Any]:
    """What the audit log keeps of a key."""
    return {
        "name": new.name,
        "scopes": list(new.scopes),
        "per_second": new.per_second,
        "expires_at": new.expires_at.isoformat("T", "seconds") if new.expires_at else None,
    }
