"""/customers/{customer_id}/export and …/erase, and /erase for who is no customer."""

from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy.ext.asyncio import AsyncConnection

from card_api.api_keys.repository import ApiKey
from card_api.auth.access import Access
from card_api.customers.actor import Actor, actor_of
from card_api.customers.erasure.person import Person
from card_api.customers.erasure.service import ErasureService
from card_api.customers.erasure.subject import SubjectExport
from card_api.customers.number_service import e164_of
from card_api.customers.requests import Erased, NumberErase, PersonExport
from card_api.customers.router import ALWAYS, WITH_BODY
from card_api.idempotency.service import Answer, Idempotency, IdempotencyKey
from shared.errors import Conflict, NotFound, problem_responses


def erasure_router(
    erasure: ErasureService, export: SubjectExport, idempotency: Idempotency, access: Access, country: str
) -> APIRouter:
    """country: of numbers without a country code."""
    router = APIRouter(prefix="/api/v1", tags=["customers"], responses=ALWAYS)

    @router.get(
        "/customers/{customer_id}/export",
        operation_id="exportCustomer",
        summary="All that is kept about a person: what they may ask for by law",
        description="Also of the records merged into this one. Calls of a number that another customer has, too, are "
        "in it only if somebody said in the call that it was this one.",
        response_model=PersonExport,
        responses=problem_responses(NotFound),
    )
    async def export_customer(
        customer_id: UUID, key: Annotated[ApiKey, Depends(access.scope("customers:read"))]
    ) -> Response:
        pieces = await export.open(actor_of(key), customer_id)
        return StreamingResponse(
            pieces,
            media_type="application/json",
            headers={"Content-Disposition": f'attachment; filename="customer-{customer_id}.json"'},
        )

    async def erased(
        key: ApiKey,
        idempotency_key: str | None,
        request: Request,
        erase: Callable[[AsyncConnection, Actor], Awaitable[tuple[Person, dict[str, int]]]],
    ) -> Response:
        actor, gone = actor_of(key), list[Person]()

        async def work(connection: AsyncConnection) -> Answer:
            person, removed = await erase(connection, actor)
            gone.append(person)
            return Answer(200, Erased(removed=removed).to_json())

        answer = await idempotency.once(actor.id, idempotency_key, request, work)
        for person in gone:
            await erasure.finish(person)
        return answer.response()

    @router.post(
        "/customers/{customer_id}/erase",
        operation_id="eraseCustomer",
        summary="Take out all that is personal (GDPR, 152-FZ); it cannot be undone",
        description="Of this record and of those merged with it: records, notes, numbers on lists; calls stay for "
        "statistics and say nothing about the person. What remains is one audit entry. Your own systems are told by "
        "`customer.deleted`; what they load again is there again.",
        response_model=Erased,
        responses=problem_responses(NotFound, Conflict),
    )
    async def erase_customer(
        customer_id: UUID,
        request: Request,
        key: Annotated[ApiKey, Depends(access.scope("admin"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        return await erased(
            key, idempotency_key, request, lambda c, actor: erasure.erase(c, actor, customer_id)
        )

    @router.post(
        "/erase",
        operation_id="eraseNumber",
        summary="The same for a number that no customer has: of somebody who only called, or whose record was deleted",
        description="Calls with the number stay for statistics and say nothing about the person; notes of these calls, "
        "the number on lists and who looked at it go. What remains is one audit entry without the number.",
        response_model=Erased,
        responses={**WITH_BODY, **problem_responses(Conflict)},
    )
    async def erase_number(
        given: NumberErase,
        request: Request,
        key: Annotated[ApiKey, Depends(access.scope("admin"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        number = e164_of(given.number, country)
        return await erased(
            key, idempotency_key, request, lambda c, actor: erasure.erase_number(c, actor, number)
        )

    return router
