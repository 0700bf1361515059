"""Calls as the listing shows them; a single one is the whole `Call`."""

from typing import Any

from pydantic import BaseModel, Field

from card_api.paging import Page
from shared.contracts.base import Timestamp
from shared.contracts.call import CallEndReason, CallState, Direction


class CallItem(BaseModel):
    """A call in a listing: what can be searched for."""

    call_id: str = Field(examples=["main-1764000000.12"])
    pbx: str
    direction: Direction
    state: CallState
    caller_number: str | None = Field(description="E.164, an extension, or null if it was hidden")
    caller_name: str | None = Field(description="the name the PBX shows, not the customer's")
    did: str | None = Field(description="what was dialled")
    customer_number: str | None = Field(description="E.164 of the customer's end, whoever called whom")
    queue: str | None
    agents: list[str] = Field(description="logins of those who talked, in order")
    started_at: Timestamp
    answered_at: Timestamp | None
    ended_at: Timestamp | None
    end_reason: CallEndReason | None
    talk_seconds: int | None
    missed: bool

    @classmethod
    def of(cls, row: Any) -> "CallItem":
        return cls(**{name: getattr(row, name) for name in cls.model_fields})


class CallPage(Page[CallItem]):
    """Calls, newest first."""
