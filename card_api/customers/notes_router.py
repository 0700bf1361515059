"""/customers/{customer_id}/notes."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from card_api.agents.directory import Agent
from card_api.api_keys.repository import ApiKey
from card_api.auth.access import Access
from card_api.customers.actor import actor_of
from card_api.customers.examples import NOTE
from card_api.customers.note_service import NoteService
from card_api.customers.requests import NotePage, NoteWrite
from card_api.customers.router import ALWAYS, WITH_BODY
from card_api.idempotency.service import Answer, Idempotency, IdempotencyKey
from card_api.paging import After, cursor, page, read_cursor
from shared.contracts.card import Note
from shared.errors import Conflict, NotFound, problem_responses


def notes_router(service: NoteService, idempotency: Idempotency, access: Access) -> APIRouter:
    router = APIRouter(
        prefix="/api/v1/customers/{customer_id}/notes",
        tags=["customers"],
        responses={**ALWAYS, **problem_responses(NotFound)},
    )

    @router.get("", operation_id="listNotes", summary="Notes about a customer, newest first")
    async def list_notes(
        customer_id: UUID,
        key: Annotated[ApiKey, Depends(access.scope("customers:read"))],
        after: After = None,
        limit: Annotated[int, Query(ge=1, le=200, description="notes a page")] = 50,
    ) -> NotePage:
        at, id_ = read_cursor(after, datetime, UUID) if after else (None, None)
        place = (at, id_) if at and id_ else None
        found = await service.list(actor_of(key), customer_id, place, limit + 1)
        shown, following = page(found, limit, lambda note: cursor(note.at, UUID(note.id)))
        return NotePage(items=list(shown), next=following)

    @router.post(
        "",
        operation_id="addNote",
        summary="Write down something about a customer (agents may, too)",
        status_code=201,
        response_model=Note,
        responses={**WITH_BODY, **problem_responses(Conflict)},
    )
    async def add_note(
        customer_id: UUID,
        given: Annotated[NoteWrite, NOTE],
        request: Request,
        who: Annotated[Agent | ApiKey, Depends(access.agent_or_key("customers:write"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        actor = actor_of(who)

        async def work(connection: AsyncConnection) -> Answer:
            note = await service.add(connection, actor, customer_id, given)
            location = f"/api/v1/customers/{customer_id}/notes/{note.id}"
            return Answer(201, note.to_json(), {"Location": location})

        return (await idempotency.once(actor.id, idempotency_key, request, work)).response()

    @router.delete("/{note_id}", operation_id="deleteNote", summary="Take a note away", status_code=204)
    async def delete_note(
        customer_id: UUID, note_id: UUID, key: Annotated[ApiKey, Depends(access.scope("customers:write"))]
    ) -> None:
        await service.delete(actor_of(key), customer_id, note_id)

    return router
