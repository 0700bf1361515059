"""GET /lookup: the enrichment end point for other systems."""

import hashlib
from collections.abc import Callable
from datetime import datetime
from time import perf_counter
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import TypeAdapter

from card_api.api_keys.service import ApiKey
from card_api.audit.repository import AuditEntry
from card_api.audit.service import AuditService
from card_api.auth.access import Access
from card_api.cards.caller import Reader, caller_part
from card_api.cards.render import Site
from card_api.database import DATABASE_ERRORS
from card_api.lookup.schemas import Found, LookupAnswer, Question
from card_api.lookup.service import SOURCE, LookupService
from shared.contracts.call import Presentation
from shared.contracts.card import Source, SourceStatus
from shared.errors import Forbidden, Unauthorised, Unavailable, Unprocessable, problem_responses
from shared.phone import MAX_RAW, NumberKind, kind, normalise

# As CRMs have them at most (card_api/customers/schemas).
_LONGEST_ACCOUNT = 200

_NOBODY = Question(None)
_ANSWER = TypeAdapter(LookupAnswer)
_SOURCES = TypeAdapter(list[Source])

_NUMBER = Query(
    max_length=MAX_RAW,
    description="The number as people or a PBX write it; without a country code it is of the site's country. In a "
    "URL a plus sign is %2B. May be left out if an account is given.",
    examples=["+79001112233", "8 (900) 111-22-33"],
)
_ACCOUNT = Query(
    max_length=_LONGEST_ACCOUNT,
    description="A contract or account number that the caller gave, exactly as the CRM has it. It says more than the "
    "phone: whose account it is, is who calls.",
    examples=["77-123"],
)
_WORDS_FOR = {
    NumberKind.INTERNAL: "{raw!r} is an extension: extensions belong to nobody outside. Ask for the number the caller "
    "called from.",
    NumberKind.SERVICE: "{raw!r} is a short number of a service in {country}; no customer has it. Ask for the number "
    "the caller called from.",
    NumberKind.UNKNOWN: "The number is no phone number: write it with the country code, like +79001112233, or as it is "
    "dialled in {country}; one number, not several.",
}


def lookup_router(
    service: LookupService,
    audit: AuditService,
    access: Access,
    country: str,
    site: Site,
    now: Callable[[], datetime],
) -> APIRouter:
    """`country`: of numbers without a country code."""
    router = APIRouter(prefix="/api/v1", tags=["lookup"])

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
        key: Annotated[ApiKey, Depends(access.scope("lookup"))],
        number: Annotated[str | None, _NUMBER] = None,
        account: Annotated[str | None, _ACCOUNT] = None,
    ) -> Response:
        presentation, question = _question(number, account, country)
        answer = await _answer(presentation, question)
        detail = {
            "match": answer.match,
            "account": question.account,
            "customer_id": answer.caller.customer_id,
        }
        told = {name: value for name, value in detail.items() if value is not None}
        # Before the answer: what cannot be written down must not be told.
        audit.note(AuditEntry(now(), "api_key", key.prefix, "lookup", answer.number, told))
        found = _ANSWER.dump_json(answer, exclude={"sources"})
        # Over what was found, without how long it took.
        etag = f'"{hashlib.sha256(found).hexdigest()[:32]}"'
        headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
        if etag in [
            tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")
        ]:
            return Response(status_code=304, headers=headers)
        # Its last field; writing all of it once more would cost as much as the key, the limit and the audit together.
        body = found[:-1] + b',"sources":' + _SOURCES.dump_json(answer.sources) + b"}"
        return Response(body, media_type="application/json", headers=headers)

    async def _answer(presentation: Presentation, question: Question) -> LookupAnswer:
        if question == _NOBODY:
            return _shape(presentation, question, Found(), [])
        began = perf_counter()
        try:
            found = await service.find(question)
        except DATABASE_ERRORS:
            raise Unavailable(
                "Nobody can be looked up now: PostgreSQL is away.", {"Retry-After": "2"}
            ) from None
        ms = round((perf_counter() - began) * 1000, 2)
        return _shape(presentation, question, found, [Source(name=SOURCE, status=SourceStatus.OK, ms=ms)])

    def _shape(
        presentation: Presentation, question: Question, found: Found, sources: list[Source]
    ) -> LookupAnswer:
        reader = Reader(site.language, now().astimezone(site.timezone))
        part = caller_part(
            presentation, question.number, found, reader, site.layout, account=question.account
        )
        return LookupAnswer(
            number=question.number,
            match=part.match,
            caller=part.caller,
            candidates=list(part.candidates),
            history=list(part.history),
            tickets=list(part.tickets),
            orders=list(part.orders),
            notes=list(part.notes),
            links=list(part.links),
            sources=sources,
        )

    return router


def _question(raw: str | None, account: str | None, country: str) -> tuple[Presentation, Question]:
    """What is asked for. Raises `Unprocessable` with a sentence for what is no number of a caller."""
    given = (account or "").strip() or None
    if given is not None and "\0" in given:
        raise Unprocessable("The account holds a NUL: no account has one. Send it as the CRM has it.")
    if raw is None or not raw.strip():
        if given is None:
            raise Unprocessable("Nothing is asked for: give a number, an account, or both.")
        # Nobody hid a number: none was asked for.
        return Presentation.ALLOWED, Question(None, given)
    number = normalise(raw, country)
    if number is not None:
        return Presentation.ALLOWED, Question(number, given)
    # What a PBX says in place of a number is an honest question; the answer is that of the card.
    match kind(raw, country):
        case NumberKind.WITHHELD:
            return Presentation.WITHHELD, Question(None, given)
        case NumberKind.MISSING:
            return Presentation.UNAVAILABLE, Question(None, given)
        case other:
            raise Unprocessable(
                _WORDS_FOR.get(other, _WORDS_FOR[NumberKind.UNKNOWN]).format(raw=raw, country=country)
            )
