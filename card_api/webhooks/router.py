"""/webhooks: telling other systems of calls and customers."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Response

from card_api.auth.access import Access
from card_api.database import DATABASE_ERRORS
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
from card_api.webhooks.service import WebhookService
from shared.errors import (
    Conflict,
    Forbidden,
    NotFound,
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


def webhooks_router(service: WebhookService, access: Access) -> APIRouter:
    router = APIRouter(
        prefix="/api/v1/webhooks",
        tags=["webhooks"],
        dependencies=[Depends(access.scope("webhooks")), Depends(_database_there)],
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
        responses=problem_responses(Problem, Conflict, TooLarge),
    )
    async def create_webhook(write: WebhookWrite, response: Response) -> NewWebhook:
        row, secret = await service.create(write)
        response.headers["Location"] = f"/api/v1/webhooks/{row.id}"
        response.headers["Cache-Control"] = "no-store"
        return NewWebhook(**_view(row).model_dump(), secret=secret)

    @router.get("/{webhook_id}", operation_id="getWebhook", summary="One web hook", responses=unknown)
    async def get_webhook(webhook_id: UUID) -> Webhook:
        return _view(await service.get(webhook_id))

    @router.patch(
        "/{webhook_id}",
        operation_id="changeWebhook",
        summary="Change what is given; what is left out stays",
        responses=problem_responses(Problem, NotFound, TooLarge),
    )
    async def change_webhook(webhook_id: UUID, patch: WebhookPatch) -> Webhook:
        return _view(await service.change(webhook_id, patch))

    @router.delete(
        "/{webhook_id}",
        operation_id="deleteWebhook",
        summary="Send nothing there any more; what was on its way or given up is deleted too",
        status_code=204,
        responses=unknown,
    )
    async def delete_webhook(webhook_id: UUID) -> Response:
        await service.delete(webhook_id)
        return Response(status_code=204)

    @router.post(
        "/{webhook_id}/rotate-secret",
        operation_id="rotateWebhookSecret",
        summary="A new secret; requests are signed with both for a day",
        responses=unknown,
    )
    async def rotate_secret(webhook_id: UUID, response: Response) -> WebhookSecret:
        response.headers["Cache-Control"] = "no-store"
        return WebhookSecret(secret=await service.rotate(webhook_id))

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
