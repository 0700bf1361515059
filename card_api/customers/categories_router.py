"""/categories."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path

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
from shared.errors import NotFound, problem_responses

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
        responses=problem_responses(NotFound),
    )
    async def get_category(code: _Code, _: Reader) -> CategoryEntry:
        return _entry(await service.get(code))

    @router.put(
        "/{code}",
        operation_id="putCategory",
        summary="Add a category, or make it as given",
        responses=WITH_BODY,
    )
    async def put_category(
        code: _Code,
        given: Annotated[CategoryWrite, CATEGORY],
        key: Annotated[ApiKey, Depends(access.scope("customers:write"))],
    ) -> CategoryEntry:
        record = CategoryRecord(code, given.label, given.colour, given.priority)
        await service.put(actor_of(key), record)
        return _entry(record)

    @router.delete(
        "/{code}",
        operation_id="deleteCategory",
        summary="Take a category away; its customers go on without one",
        status_code=204,
        responses=problem_responses(NotFound),
    )
    async def delete_category(code: _Code, key: Annotated[ApiKey, Depends(access.scope("admin"))]) -> None:
        await service.delete(actor_of(key), code)

    return router


def _entry(record: CategoryRecord) -> CategoryEntry:
    return CategoryEntry(code=record.code, label=record.label, colour=record.colour, priority=record.priority)
