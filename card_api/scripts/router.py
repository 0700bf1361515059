"""/scripts: what agents say, by line, queue, category and language."""

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from card_api.agents.directory import Agent
from card_api.api_keys.repository import ApiKey
from card_api.auth.access import Access, actor
from card_api.etag import ETAG, NOT_MODIFIED, IfMatch, IfNoneMatch, if_none_match
from card_api.idempotency.service import Answer, Idempotency, IdempotencyKey
from card_api.scripts.schemas import Script, ScriptList, ScriptWrite
from card_api.scripts.service import ScriptService
from shared.errors import (
    Conflict,
    Forbidden,
    NotFound,
    PreconditionFailed,
    Unauthorised,
    Unavailable,
    Unprocessable,
    problem_responses,
)

_WHO = "For supervisors, and for API keys with the scope `admin`."


def scripts_router(service: ScriptService, idempotency: Idempotency, access: Access) -> APIRouter:
    router = APIRouter(
        prefix="/api/v1/scripts",
        tags=["scripts"],
        responses=problem_responses(Unauthorised, Forbidden, Unprocessable, Unavailable),
    )
    Editor = Annotated[Agent | ApiKey, Depends(access.supervisor_or_key("admin"))]  # noqa: N806 - a type
    missing = problem_responses(NotFound)
    taken = problem_responses(Conflict)
    changed = problem_responses(PreconditionFailed)

    @router.get("", operation_id="listScripts", summary="All scripts", description=_WHO)
    async def list_scripts(who: Editor) -> ScriptList:
        return ScriptList(items=await service.all())

    @router.post(
        "",
        operation_id="addScript",
        summary="A new script",
        description=_WHO + " It is on the cards of the next calls; other processes have it within seconds.",
        status_code=201,
        response_model=Script,
        responses={201: ETAG, **taken},
    )
    async def add_script(
        script: ScriptWrite, who: Editor, request: Request, idempotency_key: IdempotencyKey = None
    ) -> Response:
        async def work(connection: AsyncConnection) -> Answer:
            kept = await service.add(connection, script, actor(who))
            return Answer(201, kept.to_json(), {"ETag": kept.etag, "Location": f"/api/v1/scripts/{kept.id}"})

        answer = await idempotency.once(":".join(actor(who)), idempotency_key, request, work)
        await service.changed()
        return answer.response()

    @router.get(
        "/{script_id}",
        operation_id="getScript",
        summary="One script",
        description=_WHO,
        response_model=Script,
        responses={200: ETAG, **NOT_MODIFIED, **missing},
    )
    async def get_script(script_id: UUID, who: Editor, none_match: IfNoneMatch = None) -> Response:
        script = await service.get(script_id)
        headers = {"ETag": script.etag, "Cache-Control": "private, no-cache"}
        if if_none_match(none_match, script.etag):
            return Response(status_code=304, headers=headers)
        return _answer(script, 200, headers)

    @router.put(
        "/{script_id}",
        operation_id="replaceScript",
        summary="Change a script",
        description=_WHO,
        response_model=Script,
        responses={200: ETAG, **missing, **taken, **changed},
    )
    async def replace_script(
        script_id: UUID, script: ScriptWrite, who: Editor, match: IfMatch = None
    ) -> Response:
        return _answer(await service.replace(script_id, script, actor(who), match), 200)

    @router.delete(
        "/{script_id}",
        operation_id="deleteScript",
        summary="Delete a script",
        description=_WHO,
        status_code=204,
        responses={**missing, **changed},
    )
    async def delete_script(script_id: UUID, who: Editor, match: IfMatch = None) -> None:
        await service.remove(script_id, actor(who), match)

    return router


def _answer(script: Script, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        script.to_json(), status, {"ETag": script.etag, **(headers or {})}, media_type="application/json"
    )
