"""/categories."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from card_api.agents.directory import Agent
from card_api.api_keys.repository import ApiKey
from card_api.auth.access import Access
from card_api.customers.actor import actor_of
from card_api.customers.categories import CategoryRecord
from card_api.customers.category_service import CategoryService
from card_api.customers.examples import CATEGORY
from card_api.customers.requests import CategoryEntry, CategoryList, CategoryWrite
from card_api.customers.router import ALWAYS, WITH_BODY
from card_api.customers.schemas import Word
from card_api.etag import ETAG, NOT_MODIFIED, IfMatch, IfNoneMatch, if_none_match
from shared.errors import NotFound, PreconditionFailed, problem_responses

_Code = Annotated[Word, Path(description="what customers name it by", examples=["vip"])]


def categories_router(service: CategoryService, access: Access) -> APIRouter:
    router = APIRouter(prefix="/api/v1/categories", tags=["customers"], responses=ALWAYS)
    Reader = Annotated[Agent | ApiKey, Depends(access.agent_or_key("customers:read"))]  # noqa: N806 - a type

    @router.get("", operation_id="listCategories", summary="Categories, highest priority first")
    async def list_categories(_: Reader) -> CategoryList:
        return CategoryList(items=[_entry(record) for record in await service.list()])

    @router.get(
        "/{code}",
        operation_id="getCategory",
        summary="A category",
        response_model=CategoryEntry,
        responses={200: ETAG, **NOT_MODIFIED, **problem_responses(NotFound)},
    )
    async def get_category(code: _Code, _: Reader, none_match: IfNoneMatch = None) -> Response:
        record = await service.get(code)
        headers = {"ETag": record.etag, "Cache-Control": "private, no-cache"}
        if if_none_match(none_match, record.etag):
            return Response(status_code=304, headers=headers)
        return Response(_entry(record).to_json(), 200, headers, media_type="application/json")

    @router.put(
        "/{code}",
        operation_id="putCategory",
        summary="Add a category, or make it as given",
        responses={200: ETAG, **WITH_BODY, **problem_responses(PreconditionFailed)},
    )
    async def put_category(
        code: _Code,
        given: Annotated[CategoryWrite, CATEGORY],
        key: Annotated[ApiKey, Depends(access.scope("customers:write"))],
        response: Response,
        match: IfMatch = None,
    ) -> CategoryEntry:
        record = CategoryRecord(code, given.label, given.colour, given.priority)
        await service.put(actor_of(key), record, match)
        response.headers["ETag"] = record.etag
        return _entry(record)

    @router.delete(
        "/{code}",
        operation_id="deleteCategory",
        summary="Take a category away; its customers go on without one",
        status_code=204,
        responses=problem_responses(NotFound, PreconditionFailed),
    )
    async def delete_category(
        code: _Code, key: Annotated[ApiKey, Depends(access.scope("admin"))], match: IfMatch = None
    ) -> None:
        await service.delete(actor_of(key), code, match)

    return router


def _entry(record: CategoryRecord) -> CategoryEntry:
    return CategoryEntry(code=record.code, label=record.label, colour=record.colour, priority=record.priority)
