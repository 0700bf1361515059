"""/webhooks: telling other systems of calls and customers."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from card_api.api_keys.repository import ApiKey
from card_api.auth.access import Access
from card_api.customers.actor import actor_of
from card_api.database import DATABASE_ERRORS
from card_api.etag import IfMatch
from card_api.idempotency.service import Answer, Idempotency, IdempotencyKey
from card_api.paging import After, Page, Size, cursor, page, read_cursor
from card_api.webhooks.schemas import (
    Delivery,
    DeliveryDetail,
    NewWebhook,
    Replayed,
    State,
    TrialView,
    Webhook,
    WebhookList,
    WebhookPatch,
    WebhookSecret,
    WebhookWrite,
)
from card_api.webhooks.service import WebhookService, tag_of
from shared.errors import (
    Conflict,
    Forbidden,
    NotFound,
    PreconditionFailed,
    Problem,
    TooLarge,
    Unauthorised,
    Unavailable,
    Unprocessable,
    problem_responses,
)

# PostgreSQL's bigint.
_DeliveryId = Annotated[int, Path(ge=1, le=2**63 - 1)]
_AWAY = "Web hooks cannot be read or changed now: PostgreSQL is away."


# A secret in an answer must not stay in anybody's cache.
_NO_STORE = {"Cache-Control": "no-store"}
_ETAG: dict[str, Any] = {
    "headers": {
        "ETag": {
            "description": "the version of what is set, for If-Match; how it fares is not in it",
            "schema": {"type": "string"},
        }
    }
}


def webhooks_router(service: WebhookService, idempotency: Idempotency, access: Access) -> APIRouter:
    scope = access.scope("webhooks")
    Caller = Annotated[ApiKey, Depends(scope)]  # noqa: N806 - a type
    router = APIRouter(
        prefix="/api/v1/webhooks",
        tags=["webhooks"],
        dependencies=[Depends(scope), Depends(_database_there)],
        responses=problem_responses(Unauthorised, Forbidden, Unprocessable, Unavailable),
    )
    unknown = problem_responses(NotFound)

    @router.get("", operation_id="listWebhooks", summary="Every web hook, and how it fares")
    async def list_webhooks() -> WebhookList:
        return WebhookList(items=[_view(row) for row in await service.all()])

    @router.post(
        "",
        operation_id="createWebhook",
        summary="Tell a system of calls and customers from now on; the answer has its secret, once",
        status_code=201,
        responses={201: _ETAG, **problem_responses(Problem, Conflict, TooLarge)},
    )
    async def create_webhook(
        write: WebhookWrite,
        caller: Caller,
        request: Request,
        response: Response,
        idempotency_key: IdempotencyKey = None,
    ) -> NewWebhook:
        async def work(connection: AsyncConnection) -> Answer:
            row = await service.create(write, connection)
            # Kept without the secret, which is made anew for each answer.
            headers = {"ETag": tag_of(row), "Location": f"/api/v1/webhooks/{row.id}"}
            return Answer(201, _view(row).model_dump_json().encode(), headers)

        answer = await idempotency.once(actor_of(caller).id, idempotency_key, request, work)
        await service.changed()
        response.headers.update({**answer.headers, **_NO_STORE})
        made = Webhook.model_validate_json(answer.body)
        return NewWebhook(**made.model_dump(), secret=service.secret(made.id))

    @router.get(
        "/{webhook_id}",
        operation_id="getWebhook",
        summary="One web hook",
        responses={200: _ETAG, **unknown},
    )
    async def get_webhook(webhook_id: UUID, response: Response) -> Webhook:
        row = await service.get(webhook_id)
        response.headers["ETag"] = tag_of(row)
        return _view(row)

    @router.patch(
        "/{webhook_id}",
        operation_id="changeWebhook",
        summary="Change what is given; what is left out stays",
        responses={200: _ETAG, **problem_responses(Problem, NotFound, PreconditionFailed, TooLarge)},
    )
    async def change_webhook(
        webhook_id: UUID, patch: WebhookPatch, response: Response, match: IfMatch = None
    ) -> Webhook:
        row = await service.change(webhook_id, patch, match)
        response.headers["ETag"] = tag_of(row)
        return _view(row)

    @router.delete(
        "/{webhook_id}",
        operation_id="deleteWebhook",
        summary="Send nothing there any more; what was on its way or given up is deleted too",
        status_code=204,
        responses=problem_responses(NotFound, PreconditionFailed),
    )
    async def delete_webhook(webhook_id: UUID, match: IfMatch = None) -> Response:
        await service.delete(webhook_id, match)
        return Response(status_code=204)

    @router.post(
        "/{webhook_id}/rotate-secret",
        operation_id="rotateWebhookSecret",
        summary="A new secret; requests are signed with both for a day",
        responses=problem_responses(NotFound, Conflict),
    )
    async def rotate_secret(
        webhook_id: UUID,
        caller: Caller,
        request: Request,
        response: Response,
        idempotency_key: IdempotencyKey = None,
    ) -> WebhookSecret:
        async def work(connection: AsyncConnection) -> Answer:
            return Answer(200, b"%d" % await service.rotate(webhook_id, connection))

        answer = await idempotency.once(actor_of(caller).id, idempotency_key, request, work)
        response.headers.update({**answer.headers, **_NO_STORE})
        return WebhookSecret(secret=service.secret(webhook_id, int(answer.body)))

    @router.post(
        "/{webhook_id}/test",
        operation_id="testWebhook",
        summary="Send a ping now and say what came of it",
        responses=unknown,
    )
    async def test_webhook(webhook_id: UUID) -> TrialView:
        outcome = await service.try_out(webhook_id)
        return TrialView(
            delivered=outcome.delivered,
            status_code=outcome.status_code,
            error=outcome.error,
            ms=outcome.ms,
        )

    @router.get(
        "/{webhook_id}/deliveries",
        operation_id="listDeliveries",
        summary="What was sent, waits or was given up, newest first",
        responses=unknown,
    )
    async def list_deliveries(
        webhook_id: UUID,
        state: Annotated[State | None, Query(description="only these; `dead`: given up")] = None,
        after: After = None,
        limit: Size = 100,
    ) -> Page[Delivery]:
        before = read_cursor(after, int)[0] if after else None
        rows = await service.deliveries(webhook_id, state, before, limit + 1)
        shown, following = page(rows, limit, lambda row: cursor(row.id))
        return Page(items=[Delivery.model_validate(row._asdict()) for row in shown], next=following)

    @router.get(
        "/{webhook_id}/deliveries/{delivery_id}",
        operation_id="getDelivery",
        summary="One delivery with what it says",
        responses=unknown,
    )
    async def get_delivery(webhook_id: UUID, delivery_id: _DeliveryId) -> DeliveryDetail:
        return DeliveryDetail.model_validate((await service.delivery(webhook_id, delivery_id))._asdict())

    @router.post(
        "/{webhook_id}/deliveries/{delivery_id}/replay",
        operation_id="replayDelivery",
        summary="Send it once more, with its tries counted anew",
        status_code=202,
        responses=problem_responses(NotFound, Conflict),
    )
    async def replay_delivery(webhook_id: UUID, delivery_id: _DeliveryId) -> Replayed:
        await service.replay(webhook_id, delivery_id)
        return Replayed(replayed=1)

    @router.post(
        "/{webhook_id}/replay-dead",
        operation_id="replayDead",
        summary="Send everything that was given up once more",
        status_code=202,
        responses=problem_responses(NotFound, Conflict),
    )
    async def replay_dead(webhook_id: UUID) -> Replayed:
        return Replayed(replayed=await service.replay_dead(webhook_id))

    return router


async def _database_there() -> Any:
    """What a statement raises while PostgreSQL is away, as a problem of the API."""
    try:
        yield
    except DATABASE_ERRORS:
        raise Unavailable(_AWAY, {"Retry-After": "2"}) from None


def _view(row: Any) -> Webhook:
    return Webhook.model_validate(row._asdict())
