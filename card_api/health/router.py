"""/healthz, /readyz, /metrics: for whoever keeps the process running."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from card_api.health.service import HealthService, Readiness
from card_api.metrics import Metrics


class Alive(BaseModel):
    status: str = "ok"


def health_router(service: HealthService, metrics: Metrics) -> APIRouter:
    # Not in the OpenAPI document: what an address answers is the process's health, of all its pieces (services/front).
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz", operation_id="getHealth", summary="The process is alive; it asks nobody else")
    async def healthz() -> Alive:
        return Alive()

    @router.get(
        "/readyz",
        operation_id="getReadiness",
        summary="PostgreSQL, its schema, Redis and the call updates: what is ready and what is not",
        responses={503: {"model": Readiness, "description": "Not ready; the checks say why"}},
    )
    async def readyz(response: Response) -> Readiness:
        readiness = await service.readiness()
        response.status_code = 200 if readiness.ready else 503
        return readiness

    @router.get(
        "/metrics",
        operation_id="getMetrics",
        summary="Figures for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}},
    )
    async def metrics_page() -> Response:
        backlog = await service.backlog()
        metrics.backlog.set(float("nan") if backlog is None else backlog)
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router
