"""/api-keys: what `callcard apikey` does, for who administers through REST."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response

from card_api.api_keys.schemas import ApiKeyList, ApiKeyView, ApiKeyWrite, NewApiKey, Rotation
from card_api.api_keys.service import ApiKey, ApiKeyError, ApiKeyService, By
from card_api.auth.access import Access
from card_api.database import DATABASE_ERRORS
from shared.errors import (
    Conflict,
    Forbidden,
    NotFound,
    TooManyRequests,
    Unauthorised,
    Unavailable,
    Unprocessable,
    problem_responses,
)

# A key in an answer must not stay in anybody's cache.
_ONCE = {"Cache-Control": "no-store"}


def api_keys_router(service: ApiKeyService, access: Access) -> APIRouter:
    router = APIRouter(
        prefix="/api/v1/api-keys",
        tags=["api-keys"],
        responses=problem_responses(Unauthorised, Forbidden, Unprocessable, TooManyRequests, Unavailable),
    )
    Admin = Annotated[ApiKey, Depends(access.scope("admin"))]  # noqa: N806 - a type

    @router.get("", operation_id="listApiKeys", summary="Every API key, without the key itself")
    async def list_keys(_: Admin) -> ApiKeyList:
        async with _database():
            return ApiKeyList(items=[ApiKeyView.of(key) for key in await service.all()])

    @router.post(
        "",
        operation_id="createApiKey",
        summary="Make a key: the answer shows it for the only time",
        status_code=201,
    )
    async def create_key(given: ApiKeyWrite, admin: Admin, response: Response) -> NewApiKey:
        response.headers.update(_ONCE)
        async with _database():
            try:
                made = await service.make(
                    given.name, given.scopes, given.per_second, given.expires_at, _by(admin)
                )
            except ApiKeyError as error:
                raise Unprocessable(str(error)) from None
        return NewApiKey.made(made)

    @router.post(
        "/{key_id}/rotate",
        operation_id="rotateApiKey",
        summary="A new key that may do the same; the old one works on for a while",
        status_code=201,
        responses=problem_responses(NotFound, Conflict),
    )
    async def rotate_key(
        key_id: UUID, admin: Admin, response: Response, given: Rotation | None = None
    ) -> NewApiKey:
        response.headers.update(_ONCE)
        wanted = given or Rotation()
        async with _database():
            old = await _existing(key_id)
            try:
                keep = timedelta(seconds=wanted.keep_seconds)
                made = await service.rotate(old, keep, wanted.expires_at, _by(admin))
            except ApiKeyError as error:
                raise Conflict(str(error)) from None
        return NewApiKey.made(made)

    @router.delete(
        "/{key_id}",
        operation_id="revokeApiKey",
        summary="Make a key worthless, within seconds everywhere; again does no harm",
        status_code=204,
        responses=problem_responses(NotFound),
    )
    async def revoke_key(key_id: UUID, admin: Admin) -> None:
        async with _database():
            await service.revoke(await _existing(key_id), _by(admin))

    async def _existing(key_id: UUID) -> ApiKey:
        key = await service.get(key_id)
        if key is None:
            raise NotFound("There is no API key with this id: GET /api/v1/api-keys lists them.")
        return key

    return router


def _by(admin: ApiKey) -> By:
    return By("api_key", admin.prefix)


@asynccontextmanager
async def _database() -> AsyncIterator[None]:
    try:
        yield
    except DATABASE_ERRORS:
        raise Unavailable(
            "API keys cannot be read or changed now: PostgreSQL is away.", {"Retry-After": "2"}
        ) from None
