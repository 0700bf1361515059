"""POST /cards/{call_id}/…: what an agent says from the card."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Header, Path, Request, Response

from card_api.agents.directory import Agent
from card_api.auth.access import Access
from card_api.customers.actor import actor_of
from card_api.idempotency.service import Idempotency, idempotency_header
from card_api.identities.schemas import Identify, NewCustomer, NoteSaid, NumberSaid, PersonSaid
from card_api.identities.service import IdentityService
from shared.contracts.card import Card
from shared.errors import (
    Conflict,
    Forbidden,
    NotFound,
    Problem,
    Unauthorised,
    Unavailable,
    Unprocessable,
    problem_responses,
)

_CallId = Annotated[str, Path(max_length=200, examples=["main-1764000000.12"])]

_IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=1000,
        description="`if_match` of the card's action: what the agent has seen said of the caller. If somebody else was "
        "faster, nothing is overwritten, and the 409 says what holds now. Without it the last word counts",
        examples=['"1764000000000000"'],
    ),
]

_IdempotencyKey = Annotated[
    str | None,
    idempotency_header(
        "The same key and body again within 24 hours write no second note; the answer is the card as it is then, with "
        "`Idempotent-Replayed: true`"
    ),
]

_WAYS = {
    "a candidate": {"value": {"customer_id": "5f0f6d2e-6c1e-4a57-9d3c-1f7f9a3b2c10"}},
    "one that only the CRM knows": {"value": {"source": "crm", "external_id": "C-1"}},
    "by contract": {"value": {"account": "Д-100201"}},
    "take it back": {"value": {}},
}


def identities_router(service: IdentityService, idempotency: Idempotency, access: Access) -> APIRouter:
    router = APIRouter(
        prefix="/api/v1/cards/{call_id}",
        tags=["cards"],
        responses=problem_responses(
            Problem, Unauthorised, Forbidden, NotFound, Conflict, Unprocessable, Unavailable
        ),
    )
    Caller = Annotated[Agent, Depends(access.agent)]  # noqa: N806 - a type

    @router.post("/identify", operation_id="identifyCaller", summary="Say who is calling, or take it back")
    async def identify(
        call_id: _CallId,
        agent: Caller,
        said: Annotated[Identify, Body(openapi_examples=_WAYS)],
        match: _IfMatch = None,
    ) -> Card:
        return await service.identify(agent, call_id, said, match)

    @router.post(
        "/person",
        operation_id="nameSpeaker",
        summary="Say which person speaks; who is new joins the customer's people",
    )
    async def person(call_id: _CallId, agent: Caller, said: PersonSaid, match: _IfMatch = None) -> Card:
        return await service.person(agent, call_id, said, match)

    @router.post(
        "/notes",
        operation_id="noteInCall",
        summary="Write a note that whoever talks to the customer next reads",
    )
    async def note(
        call_id: _CallId,
        agent: Caller,
        said: NoteSaid,
        request: Request,
        response: Response,
        idempotency_key: _IdempotencyKey = None,
    ) -> Card:
        once = partial(idempotency.once, actor_of(agent).id, idempotency_key, request)
        card, done = await service.note(agent, call_id, said.text, once)
        response.headers.update(done.headers)
        return card

    @router.post("/customer", operation_id="addCaller", summary="Make a customer of a caller nobody knew")
    async def customer(call_id: _CallId, agent: Caller, given: NewCustomer, match: _IfMatch = None) -> Card:
        return await service.customer(agent, call_id, given, match)

    @router.post(
        "/number", operation_id="addCallersNumber", summary="The customer has the number they call from"
    )
    async def number(call_id: _CallId, agent: Caller, said: NumberSaid, match: _IfMatch = None) -> Card:
        return await service.number(agent, call_id, said, match)

    return router
