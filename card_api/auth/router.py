"""POST /auth/sign-in, POST /auth/refresh."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from card_api.agents.directory import Agent
from card_api.auth.access import Access
from card_api.auth.schemas import SignedIn, SignIn
from card_api.auth.service import AuthService
from shared.errors import TooManyRequests, Unauthorised, Unavailable, Unprocessable, problem_responses


def auth_router(service: AuthService, access: Access) -> APIRouter:
    router = APIRouter(prefix="/auth", tags=["auth"])

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
        responses=problem_responses(Unauthorised, Unavailable),
    )
    async def refresh(agent: Annotated[Agent, Depends(access.agent)]) -> SignedIn:
        return service.renew(agent)

    return router
