"""Tokens that agents carry, and hashes of what must never be stored as it is."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

AUDIENCE = "callcard"
ALGORITHM = "HS256"
# Clocks of two machines may differ by this much before a token is "not yet valid" or "expired".
LEEWAY_SECONDS = 5
API_KEY_PREFIX = "cck_"


class TokenError(Exception):
    """The token is not ours, was changed, or is too old. `expired` tells the last case."""

    def __init__(self, message: str, *, expired: bool = False) -> None:
        super().__init__(message)
        self.expired = expired


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """Who the bearer is: `login` (JWT `sub`), `role` agent | supervisor | admin, until `expires_at` (UTC).

    `issued_at`: None if the token does not say. `channels`: push channels beyond the agent's own (`line:support`).
    """

    login: str
    role: str
    expires_at: datetime
    issued_at: datetime | None = None
    channels: tuple[str, ...] = ()


def issue_token(
    secret: str, login: str, role: str, now: datetime, lifetime: timedelta, channels: Sequence[str] = ()
) -> str:
    """A signed JWT for an agent: `sub`, `role`, `aud`, `iat` (with milliseconds), `exp`, and `channels`, if any."""
    claims: dict[str, Any] = {
        "sub": login,
        "role": role,
        "aud": AUDIENCE,
        # A token that is issued in the same second in which an older one is revoked is the newer of the two.
        "iat": round(now.timestamp(), 3),
        "exp": int((now + lifetime).timestamp()),
    }
    if channels:
        claims["channels"] = list(channels)
    return jwt.encode({"alg": ALGORITHM}, claims, OctKey.import_key(secret))


def verify_token(secret: str, token: str, now: datetime) -> TokenClaims:
    """The claims of a token of ours. Raises `TokenError`."""
    try:
        claims = jwt.decode(token, OctKey.import_key(secret), algorithms=[ALGORITHM]).claims
    except (JoseError, ValueError, TypeError):
        raise TokenError("the token is not valid") from None
    login, role, expires = claims.get("sub"), claims.get("role"), claims.get("exp")
    if claims.get("aud") != AUDIENCE or not isinstance(login, str) or not isinstance(role, str):
        raise TokenError("the token is not valid")
    if not isinstance(expires, int | float):
        raise TokenError("the token is not valid")
    if now.timestamp() > expires + LEEWAY_SECONDS:
        raise TokenError("the token has expired", expired=True)
    issued, channels = claims.get("iat"), claims.get("channels") or ()
    return TokenClaims(
        login,
        role,
        datetime.fromtimestamp(expires, UTC),
        datetime.fromtimestamp(issued, UTC) if isinstance(issued, int | float) else None,
        tuple(c for c in channels if isinstance(c, str)) if isinstance(channels, list) else (),
    )


def new_api_key() -> tuple[str, str, bytes]:
    """A fresh API key: (what its owner gets once, the prefix by which it is named in lists, what is stored)."""
    key = API_KEY_PREFIX + secrets.token_urlsafe(32)
    return key, key[: len(API_KEY_PREFIX) + 6], hash_api_key(key)


def hash_api_key(key: str) -> bytes:
    """SHA-256: a key has 256 random bits, so a slow hash would add nothing but milliseconds to each look-up."""
    return hashlib.sha256(key.encode()).digest()


def same(a: bytes, b: bytes) -> bool:
    """Equal, in constant time."""
    return hmac.compare_digest(a, b)


class Passwords:
    """Argon2id hashes of people's passwords."""

    def __init__(self) -> None:
        self._hash = PasswordHash((Argon2Hasher(),))
        # Verified against when the login is unknown, so that the answer takes as long as for a known one.
        self._nobody = self._hash.hash(secrets.token_hex(8))

    def hash(self, password: str) -> str:
        """What is stored."""
        return self._hash.hash(password)

    def verify(self, password: str, stored: str | None) -> bool:
        """Is it the password? `stored` None (no such agent, or no password set) takes as long and says no."""
        ok = self._hash.verify(password, stored or self._nobody)
        return ok and stored is not None
