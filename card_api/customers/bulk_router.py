"""Customers in mass over HTTP: a stream in, a stream of reports out; and all of them out again."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse

from card_api.api_keys.service import ApiKey
from card_api.audit.repository import AuditEntry
from card_api.audit.service import AuditService
from card_api.auth.access import Access
from card_api.customers.bulk.answer import NDJSON, Body, Loading, ReportKind, Summary
from card_api.customers.bulk.columns import ColumnError, columns_by_name
from card_api.customers.bulk.openapi import BULK, CSV_EXAMPLE, EXAMPLE, REPORTS
from card_api.customers.bulk.reading import NoHeader, csv_file, ndjson
from card_api.customers.bulk.rows import How
from card_api.customers.bulk.service import BulkLoads
from card_api.customers.export import Wanted, csv_lines, export_pages, ndjson_lines
from card_api.customers.schemas import SourceName
from card_api.database import DATABASE_ERRORS
from shared.contracts.base import Timestamp
from shared.errors import (
    Conflict,
    Forbidden,
    TooManyRequests,
    Unauthorised,
    Unavailable,
    Unprocessable,
    UnsupportedMediaType,
    problem_responses,
)

CSV = "text/csv"
# What may stand in charset=: the line ends, quotes and delimiters of ASCII are theirs too.
_ENCODINGS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "utf-8",
    "windows-1251": "cp1251",
    "cp1251": "cp1251",
    "koi8-r": "koi8-r",
}


class ExportFormat(StrEnum):
    NDJSON = "ndjson"
    CSV = "csv"


def bulk_router(
    loads: BulkLoads, audit: AuditService, access: Access, country: str, now: Callable[[], datetime]
) -> APIRouter:
    """Mount it before the router of single customers: `export` and `bulk` are no customers' ids."""
    router = APIRouter(prefix="/api/v1/customers", tags=["customers"])

    @router.post(
        "/bulk",
        operation_id="loadCustomers",
        summary="Create or update customers, as many as you like",
        description=BULK,
        response_class=Response,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    NDJSON: {"schema": {"type": "string"}, "example": EXAMPLE},
                    CSV: {"schema": {"type": "string"}, "example": CSV_EXAMPLE},
                },
            }
        },
        responses={
            200: {
                "description": "The load has begun; its last line says how it ended",
                "content": {NDJSON: {"schema": {"type": "string"}, "example": REPORTS}},
            },
            **problem_responses(
                Unauthorised,
                Forbidden,
                Conflict,
                UnsupportedMediaType,
                Unprocessable,
                TooManyRequests,
                Unavailable,
            ),
        },
    )
    async def bulk(
        request: Request,
        key: Annotated[ApiKey, Depends(access.scope("customers:write"))],
        source: Annotated[SourceName | None, Query(description="of rows that name none")] = None,
        report: Annotated[ReportKind, Query(description="which rows are reported")] = ReportKind.ALL,
        dry_run: Annotated[bool, Query(description="check everything, store nothing")] = False,
    ) -> Response:
        form, encoding = _media(request)
        body = Body(request.receive)
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(loads.turn(key.id))
            except DATABASE_ERRORS:
                raise Unavailable(
                    "Nothing can be loaded now: PostgreSQL is away.", {"Retry-After": "5"}
                ) from None
            if form == NDJSON:
                rows, how = ndjson(body.chunks()), How(country, source)
            else:
                try:
                    file = await csv_file(body.chunks(), encoding)
                    columns = columns_by_name(file.header, source_given=source is not None)
                except (NoHeader, ColumnError) as error:
                    raise Unprocessable(str(error)) from None
                rows, how = file.rows, How(country, source, columns, file.delimiter, encoding)
            detail: dict[str, Any] = {"format": form, "dry_run": dry_run}
            audit.note(AuditEntry(now(), "api_key", key.prefix, "customers.bulk", None, detail))

            def done(summary: Summary) -> None:
                counts = summary.model_dump(exclude_none=True)
                with suppress(Unavailable):  # that it began is written down
                    audit.note(AuditEntry(now(), "api_key", key.prefix, "customers.bulk.done", None, counts))

            return Loading(
                body, loads.load(rows, how, dry_run=dry_run), report, dry_run, stack.pop_all(), done
            )

    @router.get(
        "/export",
        operation_id="exportCustomers",
        summary="All customers, as their sources said them",
        description=(
            "In the order of their last change. Each line of NDJSON can be loaded again by /customers/bulk as it is. "
            "What agents have added to a record is not in it: GET the customer for that."
        ),
        response_class=Response,
        responses={
            200: {
                "description": "A stream; it breaks off without an end if PostgreSQL goes away meanwhile",
                "content": {
                    NDJSON: {"schema": {"type": "string"}, "example": EXAMPLE},
                    CSV: {"schema": {"type": "string"}},
                },
            },
            **problem_responses(Unauthorised, Forbidden, Unprocessable, Unavailable),
        },
    )
    async def export(
        key: Annotated[ApiKey, Depends(access.scope("customers:read"))],
        format: Annotated[ExportFormat, Query()] = ExportFormat.NDJSON,  # noqa: A002 - the parameter's name
        source: Annotated[SourceName | None, Query(description="records of this system only")] = None,
        category: Annotated[str | None, Query(max_length=100, description="its code")] = None,
        updated_since: Annotated[
            Timestamp | None, Query(description="changed at this moment or later")
        ] = None,
    ) -> Response:
        wanted = Wanted(source, category and category.replace("\0", ""), updated_since)
        filters = {
            "format": str(format),
            "source": source,
            "category": wanted.category,
            "updated_since": wanted.updated_since and wanted.updated_since.isoformat(),
        }
        pages = export_pages(loads.engine, wanted)
        try:
            first: list[str] = await anext(pages, [])
        except DATABASE_ERRORS:
            raise Unavailable("Nothing can be read now: PostgreSQL is away.", {"Retry-After": "5"}) from None
        audit.note(AuditEntry(now(), "api_key", key.prefix, "customers.export", None, filters))
        whole = _and_then(first, pages)
        if format is ExportFormat.NDJSON:
            return StreamingResponse(ndjson_lines(whole), media_type=NDJSON)
        return StreamingResponse(csv_lines(whole), media_type=CSV)

    return router


def _media(request: Request) -> tuple[str, str]:
    """(NDJSON or CSV, encoding)."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the rows as they are, without a Content-Encoding.")
    media, *parameters = (part.strip() for part in request.headers.get("content-type", "").lower().split(";"))
    charset = next(
        (p.removeprefix("charset=").strip('"') for p in parameters if p.startswith("charset=")), "utf-8"
    )
    if media in (NDJSON, "application/ndjson", "application/jsonl") and charset in ("utf-8", "utf8"):
        return NDJSON, "utf-8"
    if media == CSV and charset in _ENCODINGS:
        return CSV, _ENCODINGS[charset]
    raise UnsupportedMediaType(
        f"Send Content-Type: {NDJSON} (a customer a line) or {CSV} (the first line names the columns); the charset is "
        "utf-8, or for CSV windows-1251 or koi8-r."
    )


async def _and_then(first: list[str], pages: AsyncIterator[list[str]]) -> AsyncIterator[list[str]]:
    yield first
    async for page in pages:
        yield page
