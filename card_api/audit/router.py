"""GET /audit: who did what to whom."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from card_api.agents.directory import Agent
from card_api.api_keys.service import ApiKey
from card_api.audit.query import AuditFilter, AuditQuery
from card_api.audit.repository import AuditEntry
from card_api.audit.schemas import AuditItem, AuditPage
from card_api.audit.service import AuditService
from card_api.auth.access import Access, actor
from card_api.database import DATABASE_ERRORS
from card_api.paging import After, Size, cursor, page, read_cursor
from shared.contracts.base import Timestamp
from shared.errors import (
    Forbidden,
    TooManyRequests,
    Unauthorised,
    Unavailable,
    Unprocessable,
    problem_responses,
)
from shared.phone import normalise

# PostgreSQL's text has no NUL.
_TEXT = r"^[^\x00]*$"


def audit_router(
    query: AuditQuery, audit: AuditService, access: Access, country: str, now: Callable[[], datetime]
) -> APIRouter:
    """country: of numbers without a country code."""
    router = APIRouter(
        prefix="/api/v1/audit",
        tags=["audit"],
        responses=problem_responses(Unauthorised, Forbidden, Unprocessable, TooManyRequests, Unavailable),
    )

    @router.get(
        "",
        operation_id="listAuditEntries",
        summary="Who did what to whom, newest first",
        description="For API keys with the scope `admin` and for supervisors who are signed in. Reading it is written "
        "down as well.",
    )
    async def list_entries(
        who: Annotated[Agent | ApiKey, Depends(access.supervisor_or_key("admin"))],
        subject: Annotated[
            str | None,
            Query(
                min_length=1,
                max_length=200,
                pattern=_TEXT,
                description="a number in any writing; the id of a customer, which means its numbers too; else the text",
                examples=["+79001112233"],
            ),
        ] = None,
        by: Annotated[
            str | None,
            Query(
                alias="actor", max_length=100, pattern=_TEXT, description="login, or beginning of an API key"
            ),
        ] = None,
        action: Annotated[str | None, Query(max_length=100, pattern=_TEXT, examples=["lookup"])] = None,
        since: Annotated[Timestamp | None, Query(description="then or later; without a zone: UTC")] = None,
        until: Annotated[Timestamp | None, Query(description="before")] = None,
        after: After = None,
        limit: Size = 100,
    ) -> AuditPage:
        key = read_cursor(after, datetime, int) if after is not None else None
        customer_id = _id(subject) if subject is not None else None
        # As it was written down: numbers in E.164.
        number = None if subject is None or customer_id else normalise(subject, country)
        wanted = AuditFilter(
            None if subject is None or customer_id else number or subject.strip(),
            customer_id,
            by,
            action,
            since,
            until,
            (key[0], key[1]) if key else None,
        )
        try:
            rows = await query.find(wanted, limit + 1)
        except DATABASE_ERRORS:
            raise Unavailable(
                "The audit log cannot be read now: PostgreSQL is away.", {"Retry-After": "2"}
            ) from None
        about = str(customer_id) if customer_id else number
        detail: dict[str, Any] = {"actor": by, "action": action}
        if subject is not None and about is None:
            detail["text"] = (
                True  # only that one was searched: it may be a name, which no erasure would find in here
            )
        audit.note(AuditEntry(now(), *actor(who), "audit.read", about, detail))
        shown, following = page(rows, limit, lambda row: cursor(row.at, row.id))
        return AuditPage(items=[AuditItem.of(row) for row in shown], next=following)

    return router


def _id(text: str) -> UUID | None:
    try:
        return UUID(text.strip())
    except ValueError:
        return None
