"""The public keys of another system, read from its address or from a file, and read again when they change."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import httpx

from shared.observability import logger
from shared.security import TokenClaims
from shared.settings import AuthSettings
from shared.token_keys import Issuer, TokenVerifier, UnknownKeyError, VerifyKey, public_keys, shared_key

# Issuers publish a new key long before they sign with it; this finds it in time.
REFRESH_SECONDS = 600.0
# A token with an unknown key makes us look at once, but forged ones must not have us ask all the time.
LEAST_SECONDS = 10.0
# Keys are a few kB.
_MAX_BYTES = 256 * 1024
_HTTP_SECONDS = 5.0


class KeyRing:
    """Keys of `place` (https://… or a file), and fixed ones beside them. Run `run` as a task.

    What was read stays good while the place can't be read: an issuer that is away for an hour signs nobody out.
    """

    def __init__(self, place: str, fixed: Sequence[VerifyKey] = ()) -> None:
        self._place = place
        self._fixed = tuple(fixed)
        self._keys: tuple[VerifyKey, ...] = ()
        self._wanted = asyncio.Event()
        self._log = logger("tokens")

    def known(self) -> Sequence[VerifyKey]:
        """The keys as they are now."""
        return (*self._fixed, *self._keys)

    def look_again(self) -> None:
        """Somebody came with a key that is not known."""
        self._wanted.set()

    async def run(self) -> None:
        """Never returns, unless there is no place to look at."""
        while self._place:
            await self.load()
            await asyncio.sleep(LEAST_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS - LEAST_SECONDS):
                    await self._wanted.wait()

    async def load(self) -> None:
        """Read the place once; what was known stays if that fails."""
        self._wanted.clear()
        try:
            self._keys = tuple(public_keys(await self._read()))
        except (OSError, ValueError, httpx.HTTPError, httpx.InvalidURL) as error:
            self._log.warning("the keys for signing in can't be read", place=self._place, error=str(error))

    async def _read(self) -> bytes:
        if not self._place.startswith(("https://", "http://")):
            return await asyncio.to_thread(Path(self._place).read_bytes)
        async with (
            httpx.AsyncClient(timeout=_HTTP_SECONDS, follow_redirects=False) as http,
            http.stream("GET", self._place) as answer,
        ):
            answer.raise_for_status()
            body = b""
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > _MAX_BYTES:
                    raise ValueError("answers with more than a key set can have")
            return body


class Tokens:
    """Verifies tokens by the settings. `ring` is None if only our own tokens are taken; else run `ring.run`."""

    def __init__(self, settings: AuthSettings, own_secret: str) -> None:
        fixed = [shared_key(settings.sso_secret.get_secret_value())] if settings.sso_secret else []
        self.ring = KeyRing(settings.jwks, fixed) if fixed or settings.jwks else None
        issuer = None
        if self.ring is not None:
            issuer = Issuer(
                self.ring.known, settings.audience, settings.issuer, settings.login_claim, settings.role_claim
            )
        self._verifier = TokenVerifier(own_secret, issuer)

    def verify(self, token: str, now: datetime) -> TokenClaims:
        """Who the bearer is. Raises `TokenError`; `UnknownKeyError` means: once more in a few seconds."""
        try:
            return self._verifier.verify(token, now)
        except UnknownKeyError:
            if self.ring is not None:
                self.ring.look_again()
            raise
