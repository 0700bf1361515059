"""GET /agents, GET /me."""

from typing import Annotated

from fastapi import APIRouter, Depends

from card_api.agents.directory import Agent
from card_api.agents.schemas import AgentList, AgentView
from card_api.agents.service import AgentDirectory
from card_api.auth.access import Access
from shared.errors import Unauthorised, Unavailable, problem_responses


def agents_router(directory: AgentDirectory, access: Access) -> APIRouter:
    router = APIRouter(
        prefix="/api/v1", tags=["agents"], responses=problem_responses(Unauthorised, Unavailable)
    )

    @router.get(
        "/agents",
        operation_id="listAgents",
        summary="The colleagues: every active agent, by login",
        dependencies=[Depends(access.agent)],
    )
    async def list_agents() -> AgentList:
        agents = directory.current.by_login.values()
        return AgentList(items=[AgentView.of(a) for a in sorted(agents, key=lambda a: a.login)])

    @router.get("/me", operation_id="getMe", summary="The agent whose token it is")
    async def me(agent: Annotated[Agent, Depends(access.agent)]) -> AgentView:
        return AgentView.of(agent)

    return router
