"""GET /pbx: so that the desk can say that the link to the telephones is lost."""

from fastapi import APIRouter, Depends
from pydantic import BaseModel
from redis.exceptions import RedisError

from card_api.auth.access import Access
from card_api.pbx.service import PbxService
from shared.contracts.call import PbxStatus
from shared.errors import Unauthorised, Unavailable, problem_responses


class PbxList(BaseModel):
    items: list[PbxStatus]


def pbx_router(service: PbxService, access: Access) -> APIRouter:
    router = APIRouter(tags=["pbx"], responses=problem_responses(Unauthorised, Unavailable))

    @router.get(
        "/pbx",
        operation_id="listPbx",
        summary="The PBXs and the listeners' links to them",
        dependencies=[Depends(access.agent)],
    )
    async def list_pbx() -> PbxList:
        try:
            return PbxList(items=await service.all())
        except (RedisError, OSError):
            raise Unavailable(
                "The PBX links are not known now: Redis is away.", {"Retry-After": "2"}
            ) from None

    return router
