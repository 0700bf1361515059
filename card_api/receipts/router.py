"""GET /rings, GET /calls/{call_id}/rings: which cards reached the agents' screens."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from card_api.auth.access import Access
from card_api.calls.repository import CallRepository
from card_api.database import DATABASE_ERRORS
from card_api.paging import After, Size, cursor, page, read_cursor
from card_api.receipts.query import RingFilter, RingQuery
from card_api.receipts.schemas import RingItem, RingList, RingPage
from shared.contracts.base import Timestamp
from shared.errors import (
    Forbidden,
    NotFound,
    TooManyRequests,
    Unauthorised,
    Unavailable,
    Unprocessable,
    problem_responses,
)

# PostgreSQL's text has no NUL.
_TEXT = r"^[^\x00]*$"
_WHO = (
    "For supervisors who are signed in and for API keys with the scope `calls:read`. A ring is here half a second "
    "after the push, and four seconds after it says why it was not seen; it stays for 90 days."
)


def rings_router(query: RingQuery, calls: CallRepository, access: Access) -> APIRouter:
    router = APIRouter(
        prefix="/api/v1",
        tags=["rings"],
        responses=problem_responses(Unauthorised, Forbidden, Unprocessable, TooManyRequests, Unavailable),
        dependencies=[Depends(access.supervisor_or_key("calls:read"))],
    )

    @router.get(
        "/rings",
        operation_id="listRings",
        summary="Rings at agents and whether their cards were seen, newest first",
        description=_WHO,
    )
    async def list_rings(
        agent: Annotated[
            str | None, Query(max_length=64, pattern=_TEXT, description="login", examples=["101"])
        ] = None,
        unseen: Annotated[
            bool | None,
            Query(description="true: only those that no tab had shown within 2 s; false: the others"),
        ] = None,
        since: Annotated[
            Timestamp | None, Query(description="rang then or later; without a zone: UTC")
        ] = None,
        until: Annotated[Timestamp | None, Query(description="rang before")] = None,
        after: After = None,
        limit: Size = 100,
    ) -> RingPage:
        key = read_cursor(after, datetime, str, str) if after is not None else None
        wanted = RingFilter(agent, unseen, since, until, (key[0], key[1], key[2]) if key else None)
        async with _database():
            rows = await query.find(wanted, limit + 1)
        shown, following = page(rows, limit, lambda row: cursor(row.rang, row.call_id, row.agent))
        return RingPage(items=[RingItem.of(row) for row in shown], next=following)

    @router.get(
        "/calls/{call_id}/rings",
        operation_id="listRingsOfCall",
        summary="At whom a call rang, and why each did or did not see its card",
        description=_WHO,
        responses=problem_responses(NotFound),
    )
    async def list_rings_of_call(
        call_id: Annotated[str, Path(max_length=200, pattern=_TEXT, examples=["main-1764000000.12"])],
    ) -> RingList:
        async with _database():
            rows = await query.of_call(call_id)
            if not rows and not await calls.versions({call_id}):
                raise NotFound(f"No call {call_id[:100]!r} is known here.")
        return RingList(items=[RingItem.of(row) for row in rows])

    return router


@asynccontextmanager
async def _database() -> AsyncIterator[None]:
    try:
        yield
    except DATABASE_ERRORS:
        raise Unavailable("Rings cannot be read now: PostgreSQL is away.", {"Retry-After": "2"}) from None
