"""/api-keys: what `callcard apikey` does, for who administers through REST."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from card_api.api_keys.schemas import ApiKeyList, ApiKeyView, ApiKeyWrite, NewApiKey, Rotation
from card_api.api_keys.service import ApiKey, ApiKeyError, ApiKeyService, By, Made
from card_api.auth.access import Access
from card_api.database import DATABASE_ERRORS
from card_api.idempotency.service import Answer, Idempotency, idempotency_header
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


# Kept answers would be the only place where keys can be stolen from; so only that it was done is kept.
_IdempotencyKey = Annotated[
    str | None,
    idempotency_header(
        "The same key and body again within 24 hours make no second API key; an API key is shown once, so the answer "
        "is 409 with its `id` and `prefix`"
    ),
]


def api_keys_router(service: ApiKeyService, idempotency: Idempotency, access: Access) -> APIRouter:
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
        responses=problem_responses(Conflict),
    )
    async def create_key(
        given: ApiKeyWrite,
        admin: Admin,
        request: Request,
        response: Response,
        idempotency_key: _IdempotencyKey = None,
    ) -> NewApiKey:
        async def make(connection: AsyncConnection) -> Made:
            try:
                return await service.make(
                    given.name, given.scopes, given.per_second, given.expires_at, _by(admin), connection
                )
            except ApiKeyError as error:
                raise Unprocessable(str(error)) from None

        response.headers.update(_ONCE)
        return await _once(admin, idempotency_key, request, make)

    @router.post(
        "/{key_id}/rotate",
        operation_id="rotateApiKey",
        summary="A new key that may do the same; the old one works on for a while",
        status_code=201,
        responses=problem_responses(NotFound, Conflict),
    )
    async def rotate_key(
        key_id: UUID,
        admin: Admin,
        request: Request,
        response: Response,
        given: Rotation | None = None,
        idempotency_key: _IdempotencyKey = None,
    ) -> NewApiKey:
        wanted = given or Rotation()
        keep = timedelta(seconds=wanted.keep_seconds)
        async with _database():
            old = await _existing(key_id)

        async def make(connection: AsyncConnection) -> Made:
            try:
                return await service.rotate(old, keep, wanted.expires_at, _by(admin), connection)
            except ApiKeyError as error:
                raise Conflict(str(error)) from None

        response.headers.update(_ONCE)
        return await _once(admin, idempotency_key, request, make)

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

    async def _once(
        admin: ApiKey,
        key: str | None,
        request: Request,
        make: Callable[[AsyncConnection], Awaitable[Made]],
    ) -> NewApiKey:
        made: list[NewApiKey] = []

        async def work(connection: AsyncConnection) -> Answer:
            made.append(NewApiKey.made(await make(connection)))
            return Answer(201, made[0].model_dump_json(include={"id", "prefix"}).encode())

        answer = await idempotency.once(":".join(_by(admin)), key, request, work)
        if answer.replayed:
            shown = orjson.loads(answer.body)
            raise Conflict(
                f"This was done: the key {shown['prefix']}… was made, and a key is shown once. If you have not got it, "
                f"DELETE /api/v1/api-keys/{shown['id']} and ask with another Idempotency-Key.",
                more=shown,
            )
        return made[0]

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
