"""/scripts: what agents say, by line, queue, category and language."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response

from card_api.agents.directory import Agent
from card_api.api_keys.repository import ApiKey
from card_api.auth.access import Access, actor
from card_api.scripts.schemas import Script, ScriptList, ScriptWrite
from card_api.scripts.service import ScriptService
from shared.errors import (
    Conflict,
    Forbidden,
    NotFound,
    Unauthorised,
    Unavailable,
    Unprocessable,
    problem_responses,
)

_WHO = "For supervisors, and for API keys with the scope `admin`."


def scripts_router(service: ScriptService, access: Access) -> APIRouter:
    router = APIRouter(
        prefix="/scripts",
        tags=["scripts"],
        responses=problem_responses(Unauthorised, Forbidden, Unprocessable, Unavailable),
    )
    Editor = Annotated[Agent | ApiKey, Depends(access.supervisor_or_key("admin"))]  # noqa: N806 - a type
    missing = problem_responses(NotFound)
    taken = problem_responses(Conflict)

    @router.get("", operation_id="listScripts", summary="All scripts", description=_WHO)
    async def list_scripts(who: Editor) -> ScriptList:
        return ScriptList(items=await service.all())

    @router.post(
        "",
        operation_id="addScript",
        summary="A new script",
        description=_WHO + " It is on the cards of the next calls; other processes have it within seconds.",
        status_code=201,
        responses=taken,
    )
    async def add_script(script: ScriptWrite, who: Editor, response: Response) -> Script:
        kept = await service.add(script, actor(who))
        response.headers["Location"] = f"/api/v1/scripts/{kept.id}"
        return kept

    @router.get(
        "/{script_id}", operation_id="getScript", summary="One script", description=_WHO, responses=missing
    )
    async def get_script(script_id: UUID, who: Editor) -> Script:
        return await service.get(script_id)

    @router.put(
        "/{script_id}",
        operation_id="replaceScript",
        summary="Change a script",
        description=_WHO,
        responses={**missing, **taken},
    )
    async def replace_script(script_id: UUID, script: ScriptWrite, who: Editor) -> Script:
        return await service.replace(script_id, script, actor(who))

    @router.delete(
        "/{script_id}",
        operation_id="deleteScript",
        summary="Delete a script",
        description=_WHO,
        status_code=204,
        responses=missing,
    )
    async def delete_script(script_id: UUID, who: Editor) -> None:
        await service.remove(script_id, actor(who))

    return router
