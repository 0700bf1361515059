"""The PBXs: the listeners' links to them, their queues and phones."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Depends
from redis.exceptions import RedisError

from card_api.auth.access import Access
from card_api.pbx.floor import FloorService, Reader
from card_api.pbx.schemas import PbxList, PhoneList, QueueList
from card_api.pbx.service import PbxService
from shared.contracts.floor import QueueUpdate
from shared.errors import (
    Forbidden,
    NotFound,
    Unauthorised,
    Unavailable,
    Unprocessable,
    problem_responses,
)

_WHO = (
    "For whoever is signed in, and for API keys with the scope `floor`. Numbers of waiting callers are shown whole to "
    "supervisors and to keys that have the scope `lookup` as well; everybody else gets them masked and without names."
)


def pbx_router(service: PbxService, floor: FloorService, access: Access) -> APIRouter:
    router = APIRouter(prefix="/api/v1", tags=["pbx"], responses=problem_responses(Unauthorised, Unavailable))
    reader = access.agent_or_key("floor")
    refusals = problem_responses(Forbidden, NotFound, Unprocessable)

    @router.get(
        "/pbx",
        operation_id="listPbx",
        summary="The PBXs and the listeners' links to them",
        dependencies=[Depends(access.agent)],
    )
    async def list_pbx() -> PbxList:
        async with _redis():
            return PbxList(items=await service.all())

    @router.get(
        "/pbx/{pbx}/queues",
        operation_id="listQueues",
        summary="Every queue of a PBX: members, who waits, statistics",
        description=_WHO,
        responses=refusals,
    )
    async def list_queues(pbx: str, who: Annotated[Reader, Depends(reader)]) -> QueueList:
        async with _redis():
            return await floor.queues(pbx, who)

    @router.get(
        "/pbx/{pbx}/queues/{queue}",
        operation_id="getQueue",
        summary="One queue",
        description=_WHO,
        responses=refusals,
    )
    async def get_queue(pbx: str, queue: str, who: Annotated[Reader, Depends(reader)]) -> QueueUpdate:
        async with _redis():
            return await floor.queue(pbx, queue, who)

    @router.get(
        "/pbx/{pbx}/phones",
        operation_id="listPhones",
        summary="Every phone of a PBX and what it does",
        description="For whoever is signed in, and for API keys with the scope `floor`.",
        responses=refusals,
        dependencies=[Depends(reader)],
    )
    async def list_phones(pbx: str) -> PhoneList:
        async with _redis():
            return await floor.phones(pbx)

    return router


@asynccontextmanager
async def _redis() -> AsyncIterator[None]:
    try:
        yield
    except (RedisError, OSError):
        raise Unavailable(
            "What the PBXs say is not known now: Redis is away.", {"Retry-After": "2"}
        ) from None
