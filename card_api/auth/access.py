"""Who asks? The dependencies every protected route names."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Literal

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.base import SecurityBase

from card_api.agents.directory import Agent
from card_api.agents.service import AgentDirectory
from card_api.api_keys.gate import CHALLENGE, KeyGate
from card_api.api_keys.scopes import Scope, allows, described
from card_api.api_keys.service import ApiKey
from card_api.auth.endings import TokenEndings
from shared.errors import Forbidden, Unauthorised, Unavailable
from shared.security import API_KEY_PREFIX, TokenClaims, TokenError
from shared.token_keys import UnknownKeyError

_TOKEN = HTTPBearer(
    scheme_name="agentToken",
    bearerFormat="JWT",
    description="An agent's token: from /api/v1/auth/sign-in, or signed by the system that Callcard trusts to sign "
    "agents in (a CRM)",
    auto_error=False,
)
_SCOPES = f"It may do what its scopes say:\n\n{described()}"
_KEY_BEARER = HTTPBearer(
    scheme_name="apiKeyBearer",
    description=f"An API key (cck_…) as a bearer token. {_SCOPES}",
    auto_error=False,
)
_KEY_HEADER = APIKeyHeader(
    name="X-API-Key",
    scheme_name="apiKeyHeader",
    description=f"An API key (cck_…). {_SCOPES}",
    auto_error=False,
)


KEY_WAYS = (_KEY_BEARER, _KEY_HEADER)
"""How a key may be sent, for the OpenAPI document."""


class Access:
    """`Depends(access.agent)` gives the agent who is signed in, `Depends(access.scope("lookup"))` the API key.

    `verify`: `shared.jwks.Tokens.verify`. What an agent may do the tables say, never the token.
    """

    token = _TOKEN
    """Dependency: the agent's token itself, if there is one."""

    def __init__(
        self,
        verify: Callable[[str, datetime], TokenClaims],
        directory: AgentDirectory,
        endings: TokenEndings,
        gate: KeyGate,
        now: Callable[[], datetime],
    ) -> None:
        self._verify = verify
        self._directory = directory
        self._endings = endings
        self._gate = gate
        self._now = now

    async def agent(self, bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_TOKEN)]) -> Agent:
        """The agent whose token it is, as the tables know them now: who was switched off is out at once."""
        if bearer is None:
            raise Unauthorised(
                "Send an agent's token: Authorization: Bearer … (POST /api/v1/auth/sign-in gives one).",
                CHALLENGE,
            )
        try:
            claims = self._verify(bearer.credentials, self._now())
        except UnknownKeyError:
            raise Unavailable(
                "The key that signed this token is not known yet and is being looked for. Try again in a moment.",
                {"Retry-After": "2"},
            ) from None
        except TokenError as error:
            hint = "Refresh earlier, or sign in again." if error.expired else "Sign in again."
            raise Unauthorised(f"This token is not accepted: {error}. {hint}", CHALLENGE) from None
        if not (self._directory.loaded and self._endings.loaded):
            raise Unavailable("The agents are not known yet: PostgreSQL is away.", {"Retry-After": "2"})
        if self._endings.ended(claims.login, claims.issued_at):
            raise Unauthorised(
                "This token was ended: the agent signed out, was switched off, or has another password. "
                "Sign in again.",
                CHALLENGE,
            )
        agent = self._directory.current.by_login.get(claims.login)
        if agent is None:
            raise Unauthorised("There is no such agent any more, or it was switched off.", CHALLENGE)
        return agent

    def scope(self, scope: Scope) -> Callable[[Request], Awaitable[ApiKey]]:
        """A dependency: the API key of the request, which must have this scope."""
        return _KeyWithScope(self._gate, scope)

    def agent_or_key(self, scope: Scope) -> Callable[..., Awaitable[Agent | ApiKey]]:
        """A dependency: whoever is signed in, or an API key with this scope."""
        key_with_scope = self.scope(scope)

        async def agent_or_key(
            request: Request,
            token: Annotated[HTTPAuthorizationCredentials | None, Depends(_TOKEN)],
            bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_KEY_BEARER)],
            header: Annotated[str | None, Depends(_KEY_HEADER)],
        ) -> Agent | ApiKey:
            if header is not None or (bearer is not None and bearer.credentials.startswith(API_KEY_PREFIX)):
                return await key_with_scope(request)
            if token is None:
                raise Unauthorised(
                    "Send an agent's token (POST /api/v1/auth/sign-in gives one) or an API key "
                    f"(callcard apikey create --scope {scope}): Authorization: Bearer …",
                    CHALLENGE,
                )
            return await self.agent(token)

        return agent_or_key

    def supervisor_or_key(self, scope: Scope) -> Callable[..., Awaitable[Agent | ApiKey]]:
        """A dependency: a supervisor who is signed in, or an API key with this scope."""

        async def supervisor_or_key(
            who: Annotated[Agent | ApiKey, Depends(self.agent_or_key(scope))],
        ) -> Agent | ApiKey:
            if isinstance(who, Agent) and not who.supervises:
                raise Forbidden(f"This is for supervisors, and for API keys with the scope '{scope}'.")
            return who

        return supervisor_or_key


class _KeyWithScope(SecurityBase):
    """A dependency that looks at both headers itself: to have FastAPI hand over each by a dependency of its own takes
    longer than to check the key. It documents itself as the first of `KEY_WAYS`; `tidy_openapi` adds the other."""

    model = _KEY_BEARER.model
    scheme_name = _KEY_BEARER.scheme_name

    def __init__(self, gate: KeyGate, scope: Scope) -> None:
        self._gate = gate
        self._scope = scope

    async def __call__(self, request: Request) -> ApiKey:
        given = await _KEY_HEADER(request)
        if given is None:
            bearer = await _KEY_BEARER(request)
            given = bearer.credentials if bearer else None
        if given is None:
            raise Unauthorised(
                "Send an API key: Authorization: Bearer cck_… or X-API-Key: cck_… "
                "(callcard apikey create makes one).",
                CHALLENGE,
            )
        key = await self._gate.admit(given, address_of(request))
        if not allows(key.scopes, self._scope):
            raise Forbidden(
                f"This API key has no scope '{self._scope}'. Create one with --scope {self._scope}."
            )
        return key


def address_of(request: Request) -> str:
    """The client's address, as the front of the process knows it; '' if it does not."""
    return request.client.host if request.client else ""


def actor(who: Agent | ApiKey) -> tuple[Literal["agent", "api_key"], str]:
    """Kind and name of who asks, as the audit log has them."""
    return ("agent", who.login) if isinstance(who, Agent) else ("api_key", who.prefix)
