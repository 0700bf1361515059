"""Whose tokens are taken: our own, and those of one other system (a CRM, an identity provider) that signs agents in.

Which algorithm a token may be signed with is decided by the keys we were given, never by the token: a key of kind RSA
verifies RS256 and nothing else, so `alg: none`, or HS256 with the public key as its secret, are simply wrong.
"""

import warnings
from base64 import urlsafe_b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeGuard

import orjson
from joserfc import jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

from shared.security import LEEWAY_SECONDS, TokenClaims, TokenError, verify_token

VerifyKey = RSAKey | ECKey | OKPKey | OctKey

ROLES = frozenset({"agent", "supervisor", "admin"})
# A key's text is a page at most; a longer document is not a key set.
_MAX_KEYS = 64


class UnknownKeyError(TokenError):
    """The token names a key that is not known yet: perhaps a new one. Trying again in a moment is right."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """What is demanded of the other system's tokens, and where they say whose they are.

    `keys`: the keys as they are now. `issuer`: what `iss` must be; '' for anything. `login_claim`: the claim with the
    agent's login here. `role_claim`: the claim with the role; '' makes everybody an agent.
    """

    keys: Callable[[], Sequence[VerifyKey]]
    audience: str
    issuer: str = ""
    login_claim: str = "sub"
    role_claim: str = ""


class TokenVerifier:
    """Turns a token into claims. `other`: None if only our own tokens are taken."""

    def __init__(self, own_secret: str, other: Issuer | None = None) -> None:
        self._own_secret = own_secret
        self._other = other

    def verify(self, token: str, now: datetime) -> TokenClaims:
        """Who the bearer is. Raises `TokenError`, `UnknownKeyError` if it may be known in a moment."""
        try:
            return verify_token(self._own_secret, token, now)
        except TokenError as error:
            if self._other is None or error.expired:
                raise
        return _verify_other(self._other, token, now)


def public_keys(document: bytes) -> list[VerifyKey]:
    """The signing keys of a JSON Web Key Set that we can use. Secrets in it are left out: a document that is handed
    out must have none. Raises ValueError with a sentence if it is no key set, or has no key for us."""
    try:
        entries = orjson.loads(document)["keys"]
        found = [_public_key(entry) for entry in entries[:_MAX_KEYS]]
    except (ValueError, TypeError, KeyError):
        raise ValueError('is no JSON Web Key Set: {"keys": [{"kty": …}, …]} is expected') from None
    keys = [key for key in found if key is not None]
    if not keys:
        raise ValueError("has no key for signatures that we know: RSA, EC P-256 or Ed25519 with use=sig")
    return keys


def shared_key(secret: str) -> VerifyKey:
    """The key for HS256 with a secret both sides have."""
    return OctKey.import_key(secret)


def _public_key(entry: Any) -> VerifyKey | None:
    if (
        not isinstance(entry, dict)
        or entry.get("use", "sig") != "sig"
        or entry.get("kty") not in ("RSA", "EC", "OKP")
    ):
        return None
    try:
        (key,) = KeySet.import_key_set({"keys": [entry]}).keys
    except (JoseError, ValueError, KeyError, TypeError):
        return None  # one that we can't read must not cost the others
    return key if _algorithms(key) else None


def _algorithms(key: VerifyKey) -> list[str]:
    """What a key verifies."""
    known: list[str] = []
    if isinstance(key, OctKey):
        known = ["HS256"]
    elif isinstance(key, RSAKey):
        known = ["RS256"]
    elif isinstance(key, ECKey) and key.curve_name == "P-256":
        known = ["ES256"]
    elif isinstance(key, OKPKey) and key.curve_name == "Ed25519":
        known = ["EdDSA", "Ed25519"]  # one algorithm, by its old name and by that of RFC 9864
    said = key.get("alg")
    return [said] if said in known else known if said is None else []


def _verify_other(other: Issuer, token: str, now: datetime) -> TokenClaims:
    claims = _verified_claims(other.keys(), token)
    audience = claims.get("aud")
    if other.audience not in (audience if isinstance(audience, list) else [audience]):
        raise TokenError("the token is for somebody else")
    if other.issuer and claims.get("iss") != other.issuer:
        raise TokenError("the token is of another issuer")
    expires, not_before = claims.get("exp"), claims.get("nbf", 0)
    if not _is_moment(expires) or not _is_moment(not_before):
        raise TokenError("the token does not say how long it is valid")
    if now.timestamp() > expires + LEEWAY_SECONDS:
        raise TokenError("the token has expired", expired=True)
    if now.timestamp() < not_before - LEEWAY_SECONDS:
        raise TokenError("the token is not valid yet")
    login = claims.get(other.login_claim)
    if isinstance(login, int) and not isinstance(login, bool):
        login = str(login)  # an extension is often written as a number
    if not isinstance(login, str) or not login:
        raise TokenError(f"the token has no claim {other.login_claim} with the agent's login")
    if not login.isprintable():  # it becomes a part of names and of lines
        raise TokenError(f"the token's claim {other.login_claim} has characters that no login has")
    role = claims.get(other.role_claim) if other.role_claim else "agent"
    issued = claims.get("iat")
    return TokenClaims(
        login,
        role if isinstance(role, str) and role in ROLES else "agent",
        datetime.fromtimestamp(expires, UTC),
        datetime.fromtimestamp(issued, UTC) if _is_moment(issued) else None,
    )


def _verified_claims(keys: Sequence[VerifyKey], token: str) -> dict[str, Any]:
    kid = _kid(token)
    candidates = [key for key in keys if kid is None or key.kid is None or key.kid == kid]
    for key in candidates:
        try:
            with warnings.catch_warnings():
                # EdDSA is only the older name of Ed25519, and what today's issuers write.
                warnings.simplefilter("ignore", SecurityWarning)
                return jwt.decode(token, key, algorithms=_algorithms(key)).claims
        except (JoseError, ValueError, KeyError, TypeError):
            continue
    if not candidates:
        raise UnknownKeyError("the token is signed with a key that is not known")
    raise TokenError("the token is not valid")


def _kid(token: str) -> str | None:
    """The name of the key in the header: a hint which key to try, and nothing else is taken from it."""
    head = token.split(".", 1)[0]
    try:
        kid = orjson.loads(urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"]
    except (ValueError, KeyError, TypeError):
        return None
    return kid if isinstance(kid, str) else None


def _is_moment(value: Any) -> TypeGuard[float]:
    # A year beyond 9999 is no datetime, and no honest issuer's.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 253_402_300_800
