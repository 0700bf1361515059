"""POST /cti/zammad: bridges written for Zammad's generic CTI work with us unchanged.

Most of them can only be given a URL, so the key may stand in it. Whoever sees the URL has the key; therefore such a key
may do nothing but tell calls, and our logs mask it (shared.observability).
"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request

from card_api.agents.directory import Directory
from card_api.api_keys.gate import KeyGate
from card_api.api_keys.service import ApiKey
from card_api.auth.access import Access, address_of
from card_api.calls.facts import CountryOf
from card_api.ingest.service import IngestService
from card_api.ingest.zammad import LARGEST_BODY, ZammadError, events_of, fields_of, pbx_of
from shared.errors import (
    Conflict,
    Forbidden,
    TooLarge,
    TooManyRequests,
    Unauthorised,
    Unavailable,
    Unprocessable,
    problem_responses,
)

_TEXT = {"type": "string"}
_FIELDS: dict[str, Any] = {
    "type": "object",
    "required": ["event", "callId"],
    "properties": {
        "event": {"enum": ["newCall", "answer", "hangup"]},
        "from": _TEXT,
        "to": _TEXT,
        "direction": {"enum": ["in", "out"]},
        "callId": {"type": "string", "minLength": 1, "maxLength": 250},
        "user": {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]},
        "queue": _TEXT,
        "answeringNumber": _TEXT,
        "cause": _TEXT,
    },
    "example": {
        "event": "newCall",
        "from": "79001112233",
        "to": "78432000000",
        "direction": "in",
        "callId": "5fb9532f40da834a",
        "user": ["101"],
    },
}
_BODY = {
    "required": True,
    "content": {
        kind: {"schema": _FIELDS}
        for kind in ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")
    },
}
_DESCRIPTION = (
    "As Zammad has it: https://docs.zammad.org/en/latest/api/generic-cti/. The sender is known by the name of its key: "
    "a key each makes each a telephone system of its own. The answer is always {}, as nothing is rejected or redialled."
)


def zammad_router(
    service: IngestService,
    access: Access,
    gate: KeyGate,
    directory: Callable[[], Directory],
    country_of: CountryOf,
    now: Callable[[], datetime],
) -> APIRouter:
    router = APIRouter(
        prefix="/api/v1/cti/zammad",
        tags=["events in"],
        responses=problem_responses(
            Unauthorised, Forbidden, Conflict, TooLarge, Unprocessable, TooManyRequests, Unavailable
        ),
    )

    @router.post(
        "",
        operation_id="tellZammadEvent",
        summary="An event in the dialect of Zammad's generic CTI",
        description=_DESCRIPTION,
        openapi_extra={"requestBody": _BODY},
    )
    async def tell(
        request: Request, key: Annotated[ApiKey, Depends(access.scope("calls:write"))]
    ) -> dict[str, str]:
        return await _take(request, key)

    @router.post(
        "/{key}",
        operation_id="tellZammadEventByUrl",
        summary="The same for bridges that can only be given a URL: with the key in it",
        description=f"{_DESCRIPTION} The key must have the scope `calls:write` and no other.",
        openapi_extra={"requestBody": _BODY},
    )
    async def tell_by_url(
        request: Request, key: Annotated[str, Path(max_length=100, description="an API key")]
    ) -> dict[str, str]:
        known = await gate.admit(key, address_of(request))
        if known.scopes != {"calls:write"}:
            raise Forbidden(
                "A key in a URL is seen by proxies and their logs, so it must be able to do nothing else: make one "
                "with callcard apikey create NAME --scope calls:write"
            )
        return await _take(request, known)

    async def _take(request: Request, key: ApiKey) -> dict[str, str]:
        try:
            fields = fields_of(await _body_of(request), request.headers.get("content-type", ""))
            pbx = pbx_of(key.name)
            events = events_of(fields, pbx, directory(), country_of(pbx), now())
        except ZammadError as error:
            raise Unprocessable(str(error)) from None
        results = await service.take(events)
        refused = next((result.detail for result in results if result.status == "refused"), None)
        if refused is not None:
            raise Conflict(f"{refused} It is known by the name of its API key.")
        return {}

    return router


async def _body_of(request: Request) -> bytes:
    """Raises `TooLarge` before more than that is in memory."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST_BODY:
            raise TooLarge(f"The body is larger than {LARGEST_BODY} bytes: send one event.")
    return bytes(body)
