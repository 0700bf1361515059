"""GET /calls, GET /calls/{call_id}: the record of calls."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from card_api.agents.directory import Agent, Directory
from card_api.api_keys.service import ApiKey
from card_api.audit.repository import AuditEntry
from card_api.audit.service import AuditService
from card_api.auth.access import Access, actor
from card_api.calls.facts import CountryOf, customer_end
from card_api.calls.repository import CallRepository
from card_api.calls.schemas import CallItem, CallPage
from card_api.calls.search import CallFilter, CallSearch
from card_api.cards.places import places
from card_api.database import DATABASE_ERRORS
from card_api.etag import etag, if_none_match
from card_api.paging import After, Size, cursor, page, read_cursor
from shared.contracts.base import Timestamp
from shared.contracts.call import Call, CallEndReason, Direction
from shared.errors import (
    Forbidden,
    NotFound,
    TooManyRequests,
    Unauthorised,
    Unavailable,
    Unprocessable,
    problem_responses,
)
from shared.phone import MAX_RAW, normalise

# PostgreSQL's text has no NUL.
_TEXT = r"^[^\x00]*$"
_WHO = (
    "For API keys with the scope `calls:read` and for whoever is signed in; agents see the calls they talked in, "
    "supervisors all. Reading a single call, or the calls of one number or customer, is written into the audit log."
)


class _Wanted:
    """The filters of the listing, as they come with the request."""

    def __init__(
        self,
        number: Annotated[
            str | None,
            Query(
                min_length=1,
                max_length=MAX_RAW,
                description="the customer's, in any writing",
                examples=["+79001112233"],
            ),
        ] = None,
        agent: Annotated[
            str | None, Query(max_length=64, pattern=_TEXT, description="login of one who talked")
        ] = None,
        queue: Annotated[str | None, Query(max_length=200, pattern=_TEXT)] = None,
        did: Annotated[
            str | None, Query(max_length=MAX_RAW, pattern=_TEXT, description="what was dialled")
        ] = None,
        direction: Direction | None = None,
        missed: bool | None = None,
        end_reason: CallEndReason | None = None,
        customer_id: Annotated[
            UUID | None, Query(description="from its numbers, or identified as it")
        ] = None,
        since: Annotated[
            Timestamp | None, Query(description="began then or later; without a zone: UTC")
        ] = None,
        until: Annotated[Timestamp | None, Query(description="began before")] = None,
    ) -> None:
        self.number, self.agent, self.queue, self.did = number, agent, queue, did
        self.direction, self.missed, self.end_reason = direction, missed, end_reason
        self.customer_id, self.since, self.until = customer_id, since, until

    def filter(self, after: str | None, country: str) -> CallFilter:
        """Raises `Unprocessable`."""
        number = None
        if self.number is not None and (number := normalise(self.number, country)) is None:
            raise Unprocessable(
                "The number is no phone number: write it with the country code, like +79001112233, or as it is "
                f"dialled in {country}. Calls of an agent are found by agent=."
            )
        did = None if self.did is None else normalise(self.did, country) or self.did.strip()
        key = read_cursor(after, datetime, str) if after is not None else None
        return CallFilter(
            number,
            self.agent,
            self.queue,
            did,
            self.direction,
            self.missed,
            self.end_reason,
            self.customer_id,
            self.since,
            self.until,
            (key[0], key[1]) if key else None,
        )


def calls_router(
    search: CallSearch,
    calls: CallRepository,
    audit: AuditService,
    access: Access,
    directory: Callable[[], Directory],
    country: str,
    country_of: CountryOf,
    now: Callable[[], datetime],
) -> APIRouter:
    """country: of numbers in a question; country_of: of those a PBX sends."""
    router = APIRouter(
        prefix="/api/v1/calls",
        tags=["calls"],
        responses=problem_responses(Unauthorised, Forbidden, Unprocessable, TooManyRequests, Unavailable),
    )
    Reader = Annotated[Agent | ApiKey, Depends(access.agent_or_key("calls:read"))]  # noqa: N806 - a type

    @router.get("", operation_id="listCalls", summary="Calls, newest first", description=_WHO)
    async def list_calls(
        who: Reader, wanted: Annotated[_Wanted, Depends()], after: After = None, limit: Size = 50
    ) -> CallPage:
        if isinstance(who, Agent) and not who.supervises:
            if wanted.agent not in (None, who.login):
                raise Forbidden("Agents see their own calls: leave agent= out, or ask a supervisor.")
            wanted.agent = who.login
        asked = wanted.filter(after, country)
        async with _database():
            rows = await search.find(asked, limit + 1)
        if asked.number is not None or asked.customer_id is not None:
            subject = asked.number or str(asked.customer_id)
            audit.note(
                AuditEntry(now(), *actor(who), "calls.read", subject, {"calls": min(len(rows), limit)})
            )
        shown, following = page(rows, limit, lambda row: cursor(row.started_at, row.call_id))
        return CallPage(items=[CallItem.of(row) for row in shown], next=following)

    @router.get(
        "/{call_id}",
        operation_id="getCall",
        summary="A whole call: legs, queue, transfers, timeline",
        description=_WHO,
        response_model=Call,
        responses={
            304: {"description": "The same as the answer with the ETag in If-None-Match"},
            **problem_responses(NotFound),
        },
    )
    async def get_call(
        request: Request,
        call_id: Annotated[str, Path(max_length=200, pattern=_TEXT, examples=["main-1764000000.12"])],
        who: Reader,
    ) -> Response:
        async with _database():
            stored = await calls.get(call_id)
        if stored is None or not _may_see(who, stored.call):
            raise NotFound(f"No call {call_id[:100]!r} is known here.")
        number = customer_end(stored.call, country_of).number
        audit.note(AuditEntry(now(), *actor(who), "call.read", number, {"call_id": call_id}))
        tag = etag(stored.version)
        headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
        if if_none_match(request.headers.get("if-none-match"), tag):
            return Response(status_code=304, headers=headers)
        return Response(stored.call.to_json(), media_type="application/json", headers=headers)

    def _may_see(who: Agent | ApiKey, call: Call) -> bool:
        if isinstance(who, ApiKey) or who.supervises:
            return True
        return any(place.agent.login == who.login for place in places(call, directory()))

    return router


@asynccontextmanager
async def _database() -> AsyncIterator[None]:
    try:
        yield
    except DATABASE_ERRORS:
        raise Unavailable("Calls cannot be read now: PostgreSQL is away.", {"Retry-After": "2"}) from None
