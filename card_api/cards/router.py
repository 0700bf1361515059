"""GET /cards/{call_id}."""

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from card_api.agents.directory import Agent
from card_api.auth.access import Access
from card_api.cards.compact import compact
from card_api.cards.query import CardQuery
from shared.contracts.card import Card, CompactCard
from shared.errors import NotFound, Unauthorised, Unavailable, Unprocessable, problem_responses

# Ours are `pbx-uniqueid`, some 40 characters.
_LONGEST_ID = 200


class Form(StrEnum):
    FULL = "full"
    COMPACT = "compact"


def cards_router(query: CardQuery, access: Access) -> APIRouter:
    router = APIRouter(
        prefix="/api/v1/cards",
        tags=["cards"],
        responses=problem_responses(Unauthorised, NotFound, Unprocessable, Unavailable),
    )

    @router.get(
        "/{call_id}",
        operation_id="getCard",
        summary="The card of a call that rang at, or was handled by, this agent; any call for a supervisor",
    )
    async def get_card(
        call_id: Annotated[str, Path(max_length=_LONGEST_ID, examples=["main-1764000000.12"])],
        agent: Annotated[Agent, Depends(access.agent)],
        of: Annotated[
            str | None,
            Query(
                alias="agent",
                max_length=64,
                description="supervisors: whose card; default: who talks or rings",
            ),
        ] = None,
        form: Annotated[Form, Query(description="compact: what a pop-up has room for")] = Form.FULL,
    ) -> Card | CompactCard:
        card = await query.card(call_id, agent, of)
        return compact(card) if form is Form.COMPACT else card

    return router
