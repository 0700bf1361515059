"""/customers/{customer_id}/export and …/erase."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy.ext.asyncio import AsyncConnection

from card_api.api_keys.repository import ApiKey
from card_api.auth.access import Access
from card_api.customers.actor import actor_of
from card_api.customers.erasure.person import Person
from card_api.customers.erasure.service import ErasureService
from card_api.customers.erasure.subject import SubjectExport
from card_api.customers.requests import Erased, PersonExport
from card_api.customers.router import ALWAYS
from card_api.idempotency.service import Answer, Idempotency, IdempotencyKey
from shared.errors import Conflict, NotFound, problem_responses


def erasure_router(
    erasure: ErasureService, export: SubjectExport, idempotency: Idempotency, access: Access
) -> APIRouter:
    router = APIRouter(
        prefix="/api/v1/customers/{customer_id}",
        tags=["customers"],
        responses={**ALWAYS, **problem_responses(NotFound)},
    )

    @router.get(
        "/export",
        operation_id="exportCustomer",
        summary="All that is kept about a person: what they may ask for by law",
        description="Also of the records merged into this one. Calls of a number that another customer has, too, are "
        "in it only if somebody said in the call that it was this one.",
        response_model=PersonExport,
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

    @router.post(
        "/erase",
        operation_id="eraseCustomer",
        summary="Take out all that is personal (GDPR, 152-FZ); it cannot be undone",
        description="Of this record and of those merged with it: records, notes, numbers on lists; calls stay for "
        "statistics and say nothing about the person. What remains is one audit entry. Your own systems are told by "
        "`customer.deleted`; what they load again is there again.",
        response_model=Erased,
        responses=problem_responses(Conflict),
    )
    async def erase_customer(
        customer_id: UUID,
        request: Request,
        key: Annotated[ApiKey, Depends(access.scope("admin"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        actor, gone = actor_of(key), list[Person]()

        async def work(connection: AsyncConnection) -> Answer:
            person, removed = await erasure.erase(connection, actor, customer_id)
            gone.append(person)
            return Answer(200, Erased(removed=removed).to_json())

        answer = await idempotency.once(actor.id, idempotency_key, request, work)
        for person in gone:
            await erasure.finish(person)
        return answer.response()

    return router
