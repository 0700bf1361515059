"""POST /auth/sign-in, /auth/refresh, /auth/sign-out."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.security import HTTPAuthorizationCredentials

from card_api.agents.directory import Agent
from card_api.auth.access import Access
from card_api.auth.schemas import SignedIn, SignIn
from card_api.auth.service import AuthService
from shared.errors import (
    Forbidden,
    TooManyRequests,
    Unauthorised,
    Unavailable,
    Unprocessable,
    problem_responses,
)


def auth_router(service: AuthService, access: Access) -> APIRouter:
    router = APIRouter(prefix="/api/v1/auth", tags=["auth"])

    @router.post(
        "/sign-in",
        operation_id="signIn",
        summary="Get a token for a login and a password",
        responses=problem_responses(Unauthorised, TooManyRequests, Unavailable, Unprocessable),
    )
    async def sign_in(given: SignIn, request: Request) -> SignedIn:
        return await service.sign_in(given, request.client.host if request.client else "")

    @router.post(
        "/refresh",
        operation_id="refreshToken",
        summary="Get a fresh token for one that is still valid",
        description="For tokens from `/auth/sign-in`. One that another system signed is renewed there, and refused "
        "here with 403.",
        responses=problem_responses(Unauthorised, Forbidden, Unavailable),
    )
    async def refresh(
        agent: Annotated[Agent, Depends(access.agent)],
        token: Annotated[HTTPAuthorizationCredentials, Depends(access.token)],
    ) -> SignedIn:
        return service.renew(agent, token.credentials)

    @router.post(
        "/sign-out",
        operation_id="signOut",
        summary="End all sessions of the agent whose token it is",
        description="Every token of the agent that was issued until now ends, this one too: the API refuses it, and "
        "the push gateway closes all tabs with 4500. Signing in again gives a new one.",
        status_code=204,
        responses=problem_responses(Unauthorised, Unavailable),
    )
    async def sign_out(agent: Annotated[Agent, Depends(access.agent)]) -> None:
        await service.sign_out(agent)

    return router
