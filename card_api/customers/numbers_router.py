"""/do-not-call and /black-list."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from card_api.agents.directory import Agent
from card_api.api_keys.repository import ApiKey
from card_api.auth.access import Access
from card_api.customers.actor import actor_of
from card_api.customers.examples import BLACK_LIST, DO_NOT_CALL
from card_api.customers.number_service import NumberList
from card_api.customers.requests import (
    BlackListEntry,
    BlackListPage,
    BlackListWrite,
    DoNotCallEntry,
    DoNotCallPage,
    DoNotCallWrite,
)
from card_api.customers.router import ALWAYS, WITH_BODY
from card_api.paging import After, cursor, page, read_cursor
from shared.contracts.card import DoNotCallReason
from shared.errors import NotFound, problem_responses
from shared.phone import MAX_RAW

_Number = Annotated[
    str, Path(max_length=MAX_RAW, description="in any writing; a plus is %2B or +", examples=["+79001112233"])
]
_Limit = Annotated[int, Query(ge=1, le=200, description="numbers a page")]
_MISSING = problem_responses(NotFound)


def do_not_call_router(numbers: NumberList, access: Access) -> APIRouter:
    router = APIRouter(prefix="/api/v1/do-not-call", tags=["customers"], responses=ALWAYS)
    Reader = Annotated[Agent | ApiKey, Depends(access.agent_or_key("customers:read"))]  # noqa: N806 - types
    Writer = Annotated[ApiKey, Depends(access.scope("customers:write"))]  # noqa: N806

    @router.get("", operation_id="listDoNotCall", summary="Numbers that nobody shall call")
    async def list_numbers(
        key: Annotated[ApiKey, Depends(access.scope("customers:read"))],
        reason: DoNotCallReason | None = None,
        after: After = None,
        limit: _Limit = 50,
    ) -> DoNotCallPage:
        place = read_cursor(after, str)[0] if after else None
        rows = await numbers.list(actor_of(key), place, limit + 1, reason)
        shown, following = page(rows, limit, lambda row: cursor(row["e164"]))
        return DoNotCallPage(items=[DoNotCallEntry(**row) for row in shown], next=following)

    @router.get(
        "/{number}", operation_id="getDoNotCall", summary="May this number be called?", responses=_MISSING
    )
    async def get_number(number: _Number, who: Reader) -> DoNotCallEntry:
        return DoNotCallEntry(**await numbers.get(actor_of(who), number))

    @router.put(
        "/{number}",
        operation_id="putDoNotCall",
        summary="Nobody shall call this number any more (agents may say so, too)",
        responses=WITH_BODY,
    )
    async def put_number(
        number: _Number,
        given: Annotated[DoNotCallWrite, DO_NOT_CALL],
        who: Annotated[Agent | ApiKey, Depends(access.agent_or_key("customers:write"))],
    ) -> DoNotCallEntry:
        return DoNotCallEntry(**await numbers.put(actor_of(who), number, given.model_dump()))

    @router.delete(
        "/{number}",
        operation_id="deleteDoNotCall",
        summary="The number may be called again",
        status_code=204,
        responses=_MISSING,
    )
    async def delete_number(number: _Number, key: Writer) -> None:
        await numbers.delete(actor_of(key), number)

    return router


def black_list_router(numbers: NumberList, access: Access) -> APIRouter:
    router = APIRouter(prefix="/api/v1/black-list", tags=["customers"], responses=ALWAYS)
    Reader = Annotated[ApiKey, Depends(access.scope("customers:read"))]  # noqa: N806 - types
    Writer = Annotated[ApiKey, Depends(access.scope("customers:write"))]  # noqa: N806

    @router.get("", operation_id="listBlackList", summary="Numbers on the black list")
    async def list_numbers(key: Reader, after: After = None, limit: _Limit = 50) -> BlackListPage:
        place = read_cursor(after, str)[0] if after else None
        rows = await numbers.list(actor_of(key), place, limit + 1)
        shown, following = page(rows, limit, lambda row: cursor(row["e164"]))
        return BlackListPage(items=[BlackListEntry(**row) for row in shown], next=following)

    @router.get(
        "/{number}",
        operation_id="getBlackListed",
        summary="Is this number on the black list?",
        responses=_MISSING,
    )
    async def get_number(number: _Number, key: Reader) -> BlackListEntry:
        return BlackListEntry(**await numbers.get(actor_of(key), number))

    @router.put(
        "/{number}",
        operation_id="putBlackListed",
        summary="Put a number on the black list, for a while or for ever",
        responses=WITH_BODY,
    )
    async def put_number(
        number: _Number, given: Annotated[BlackListWrite, BLACK_LIST], key: Writer
    ) -> BlackListEntry:
        return BlackListEntry(**await numbers.put(actor_of(key), number, given.model_dump()))

    @router.delete(
        "/{number}",
        operation_id="deleteBlackListed",
        summary="Take a number off the black list",
        status_code=204,
        responses=_MISSING,
    )
    async def delete_number(number: _Number, key: Writer) -> None:
        await numbers.delete(actor_of(key), number)

    return router
