"""POST /call-events: calls of other telephone systems and branch offices."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import ValidationError

from card_api.api_keys.service import ApiKey
from card_api.auth.access import Access
from card_api.ingest.schemas import MOST_EVENTS, CallEvent, EventResult, EventResults
from card_api.ingest.service import IngestService
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


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without references: FastAPI puts none of ours among its components."""
    parts = schema.pop("$defs", {})

    def resolve(value: Any) -> Any:
        match value:
            case {"$ref": str(name), **others}:
                return {**resolve(parts[name.rsplit("/", 1)[1]]), **others}
            case dict():
                return {key: resolve(item) for key, item in value.items()}
            case list():
                return [resolve(item) for item in value]
        return value

    resolved: dict[str, Any] = resolve(schema)
    return resolved


def _body() -> dict[str, Any]:
    event = _inlined(CallEvent.model_json_schema(by_alias=True))
    several = {"type": "array", "items": event, "minItems": 1, "maxItems": MOST_EVENTS}
    return {"required": True, "content": {"application/json": {"schema": {"oneOf": [event, several]}}}}


def ingest_router(service: IngestService, access: Access) -> APIRouter:
    router = APIRouter(prefix="/api/v1", tags=["events in"])

    @router.post(
        "/call-events",
        operation_id="tellCallEvents",
        summary="Tell what happened to calls: one event or up to 1000",
        description="Calls told here have cards, a record and web hooks like those of a PBX that a listener follows. "
        "Order, repetition and delay do no harm. The answer says for each event what became of it; if none could be "
        "taken it is a 422, or a 409 if a listener speaks for the PBX.",
        status_code=202,
        response_model=EventResults,
        responses=problem_responses(
            Unauthorised, Forbidden, Conflict, TooLarge, Unprocessable, TooManyRequests, Unavailable
        ),
        openapi_extra={"requestBody": _body()},
    )
    async def tell(request: Request, _: Annotated[ApiKey, Depends(access.scope("calls:write"))]) -> Response:
        given = read_json(await request.body())
        items = given if isinstance(given, list) else [given]
        if not 1 <= len(items) <= MOST_EVENTS:
            raise Unprocessable(f"Send one event, or an array of 1 to {MOST_EVENTS} of them.")
        results = await take_all(service, items)
        answer = EventResults(accepted=sum(r.status == "accepted" for r in results), results=results)
        return Response(answer.to_json(), 202, media_type="application/json")

    return router


async def take_all(service: IngestService, items: list[Any]) -> list[EventResult]:
    """Take those that are events. Raises `Unprocessable` or `Conflict` if none could be taken."""
    results: dict[int, EventResult] = {}
    events: list[CallEvent] = []
    places: list[int] = []
    for n, item in enumerate(items):
        try:
            events.append(CallEvent.model_validate(item))
            places.append(n)
        except ValidationError as error:
            results[n] = EventResult(index=n, status="refused", detail=_sentence(error))
    for n, result in zip(places, await service.take(events), strict=True):
        results[n] = result.model_copy(update={"index": n})
    ordered = [results[n] for n in range(len(items))]
    if all(result.status == "refused" for result in ordered):
        said = next(result.detail for result in ordered if result.detail)
        kind = Conflict if len(events) == len(items) and "listener" in said else Unprocessable
        raise kind(said if len(ordered) == 1 else f"No event could be taken. The first: {said}")
    return ordered


def read_json(body: bytes) -> Any:
    """Raises `Unprocessable`."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Unprocessable(f"The body is no JSON: {error}.") from None


def _sentence(error: ValidationError) -> str:
    """What is wrong, field by field, without what was sent."""
    said = []
    for item in error.errors(include_input=False, include_url=False):
        field = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        said.append(f"{field}: {message}" if field else message)
    return "; ".join(said[:5])[:500] + "."
