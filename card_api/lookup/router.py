"""GET /lookup: the enrichment end point for other systems."""

import hashlib
from collections.abc import Callable
from datetime import datetime
from time import perf_counter
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from card_api.api_keys.service import ApiKey
from card_api.audit.repository import AuditEntry
from card_api.audit.service import AuditService
from card_api.auth.access import Access
from card_api.calls.facts import WITHHELD_WORDS
from card_api.cards.render import caller_part
from card_api.database import DATABASE_ERRORS
from card_api.lookup.schemas import Found, LookupAnswer, Question
from card_api.lookup.service import SOURCE, LookupService
from shared.contracts.call import Presentation
from shared.contracts.card import Source, SourceStatus
from shared.errors import Forbidden, Unauthorised, Unavailable, Unprocessable, problem_responses
from shared.phone import MAX_RAW, normalise

_NUMBER = Query(
    min_length=1,
    max_length=MAX_RAW,
    description="The number as people or a PBX write it; without a country code it is of the site's country. In a "
    "URL a plus sign is %2B.",
    examples=["+79001112233", "8 (900) 111-22-33"],
)


def lookup_router(
    service: LookupService,
    audit: AuditService,
    access: Access,
    country: str,
    language: str,
    now: Callable[[], datetime],
) -> APIRouter:
    router = APIRouter(tags=["lookup"])

    @router.get(
        "/lookup",
        operation_id="lookUpCaller",
        summary="Who is behind a phone number? The same answer as a card's caller part",
        response_model=LookupAnswer,
        responses={
            304: {"description": "The same as the answer with the ETag in If-None-Match"},
            **problem_responses(Unauthorised, Forbidden, Unprocessable, Unavailable),
        },
    )
    async def look_up(
        request: Request,
        number: Annotated[str, _NUMBER],
        key: Annotated[ApiKey, Depends(access.scope("lookup"))],
    ) -> Response:
        answer = await _answer(number)
        # Before the answer: what cannot be written down must not be told.
        audit.note(AuditEntry(now(), "api_key", key.prefix, "lookup", answer.number, {"match": answer.match}))
        body = answer.model_dump_json(exclude={"sources"}).encode()
        # Over what was found, without how long it took.
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
        if etag in [
            tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")
        ]:
            return Response(status_code=304, headers=headers)
        return Response(answer.model_dump_json(), media_type="application/json", headers=headers)

    async def _answer(raw: str) -> LookupAnswer:
        if raw.strip().lower() in WITHHELD_WORDS:
            return _shape(None, Presentation.WITHHELD, Found(), [])
        number = normalise(raw, country)
        if number is None:
            raise Unprocessable(
                "The number is no phone number: write it with the country code, like +79001112233, or as it is "
                f"dialled in {country}. Extensions belong to nobody outside."
            )
        began = perf_counter()
        try:
            found = await service.find(Question(number))
        except DATABASE_ERRORS:
            raise Unavailable(
                "Nobody can be looked up now: PostgreSQL is away.", {"Retry-After": "2"}
            ) from None
        ms = round((perf_counter() - began) * 1000, 2)
        source = Source(name=SOURCE, status=SourceStatus.OK, ms=ms)
        return _shape(number, Presentation.ALLOWED, found, [source])

    def _shape(
        number: str | None, presentation: Presentation, found: Found, sources: list[Source]
    ) -> LookupAnswer:
        part = caller_part(presentation, number, found, language)
        return LookupAnswer(
            number=number,
            match=part.match,
            caller=part.caller,
            candidates=list(part.candidates),
            history=list(part.history),
            tickets=list(part.tickets),
            orders=list(part.orders),
            sources=sources,
        )

    return router
