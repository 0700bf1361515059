"""Who asks? The dependencies every protected route names."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated

from fastapi import Depends
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from card_api.agents.directory import Agent
from card_api.agents.service import AgentDirectory
from card_api.api_keys.scopes import Scope, allows
from card_api.api_keys.service import ApiKey, ApiKeyService
from card_api.database import DATABASE_ERRORS
from shared.errors import Forbidden, Unauthorised, Unavailable
from shared.security import API_KEY_PREFIX, TokenError, verify_token

_TOKEN = HTTPBearer(
    scheme_name="agentToken",
    bearerFormat="JWT",
    description="An agent's token from /api/v1/auth/sign-in",
    auto_error=False,
)
_KEY_BEARER = HTTPBearer(
    scheme_name="apiKeyBearer", description="An API key (cck_…) as a bearer token", auto_error=False
)
_KEY_HEADER = APIKeyHeader(
    name="X-API-Key", scheme_name="apiKeyHeader", description="An API key (cck_…)", auto_error=False
)
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="callcard"'}


class Access:
    """`Depends(access.agent)` gives the agent who is signed in, `Depends(access.scope("lookup"))` the API key."""

    def __init__(
        self, secret: str, directory: AgentDirectory, keys: ApiKeyService, now: Callable[[], datetime]
    ) -> None:
        self._secret = secret
        self._directory = directory
        self._keys = keys
        self._now = now

    async def agent(self, bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_TOKEN)]) -> Agent:
        """The agent whose token it is, as the tables know them now: who was switched off is out at once."""
        if bearer is None:
            raise Unauthorised(
                "Send an agent's token: Authorization: Bearer … (POST /api/v1/auth/sign-in gives one).",
                _CHALLENGE,
            )
        try:
            claims = verify_token(self._secret, bearer.credentials, self._now())
        except TokenError as error:
            hint = "Refresh earlier, or sign in again." if error.expired else "Sign in again."
            raise Unauthorised(f"This token is not accepted: {error}. {hint}", _CHALLENGE) from None
        if not self._directory.loaded:
            raise Unavailable("The agents are not known yet: PostgreSQL is away.", {"Retry-After": "2"})
        agent = self._directory.current.by_login.get(claims.login)
        if agent is None:
            raise Unauthorised("There is no such agent any more, or it was switched off.", _CHALLENGE)
        return agent

    def scope(self, scope: Scope) -> Callable[..., Awaitable[ApiKey]]:
        """A dependency: the API key of the request, which must have this scope."""

        async def key_with_scope(
            bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_KEY_BEARER)],
            header: Annotated[str | None, Depends(_KEY_HEADER)],
        ) -> ApiKey:
            given = header or (bearer.credentials if bearer else None)
            if given is None:
                raise Unauthorised(
                    "Send an API key: Authorization: Bearer cck_… or X-API-Key: cck_… "
                    "(callcard apikey create makes one).",
                    _CHALLENGE,
                )
            try:
                key = await self._keys.verify(given) if given.startswith(API_KEY_PREFIX) else None
            except DATABASE_ERRORS:
                raise Unavailable(
                    "The key cannot be checked: PostgreSQL is away.", {"Retry-After": "2"}
                ) from None
            if key is None:
                raise Unauthorised("This API key is not known, or it was revoked.", _CHALLENGE)
            if not allows(key.scopes, scope):
                raise Forbidden(f"This API key has no scope '{scope}'. Create one with --scope {scope}.")
            return key

        return key_with_scope

    def agent_or_key(self, scope: Scope) -> Callable[..., Awaitable[Agent | ApiKey]]:
        """A dependency: whoever is signed in, or an API key with this scope."""
        key_with_scope = self.scope(scope)

        async def agent_or_key(
            token: Annotated[HTTPAuthorizationCredentials | None, Depends(_TOKEN)],
            bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_KEY_BEARER)],
            header: Annotated[str | None, Depends(_KEY_HEADER)],
        ) -> Agent | ApiKey:
            if header is not None or (bearer is not None and bearer.credentials.startswith(API_KEY_PREFIX)):
                return await key_with_scope(bearer, header)
            if token is None:
                raise Unauthorised(
                    "Send an agent's token (POST /api/v1/auth/sign-in gives one) or an API key "
                    f"(callcard apikey create --scope {scope}): Authorization: Bearer …",
                    _CHALLENGE,
                )
            return await self.agent(token)

        return agent_or_key
