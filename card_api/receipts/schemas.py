"""Rings as the API shows them."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from card_api.paging import Page
from card_api.receipts.ring import Unseen
from shared.contracts.base import Timestamp


class RingItem(BaseModel):
    """One ring of a call at an agent, and the way of its card to the eye."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "call_id": "main-1764000000.12",
                    "agent": "101",
                    "arrived": "2026-11-24T16:00:00.120Z",
                    "looked_up": "2026-11-24T16:00:00.124Z",
                    "rang": "2026-11-24T16:00:07.310Z",
                    "pushed": "2026-11-24T16:00:07.318Z",
                    "shown": "2026-11-24T16:00:07.402Z",
                    "opened": None,
                    "unseen": None,
                }
            ]
        }
    )

    call_id: str
    agent: str = Field(description="login")
    arrived: Timestamp = Field(description="the call, at the PBX")
    looked_up: Timestamp | None = Field(
        description="our own tables knew who it is; null: not when the card came"
    )
    rang: Timestamp = Field(description="the agent's phone")
    pushed: Timestamp = Field(description="the card was handed to the push gateways")
    shown: Timestamp | None = Field(
        description="the first tab said so, by the gateway's clock; null: none did"
    )
    opened: Timestamp | None = Field(description="the agent opened the card")
    unseen: Unseen | None = Field(
        description="why no tab had shown it 2 s after the push: `no_tab` none was connected; `disconnected` the last "
        "one was lost less than 2 minutes before; `token_expired` its token had ended; `slow` one was connected and "
        "did not say so in time; `over` the same, and the ring was over sooner; `unknown` nobody could ask. null: it "
        "was shown in time, or the 2 s are not over"
    )

    @classmethod
    def of(cls, row: Any) -> "RingItem":
        return cls(**{name: getattr(row, name) for name in cls.model_fields})


class RingPage(Page[RingItem]):
    """Rings, newest first."""


class RingList(BaseModel):
    """The rings of one call, in order."""

    items: list[RingItem]
