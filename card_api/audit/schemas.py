"""The audit log as REST shows it."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from card_api.paging import Page
from shared.contracts.base import Timestamp


class AuditItem(BaseModel):
    """Who did what to whom."""

    id: int
    at: Timestamp
    actor_kind: Literal["agent", "api_key", "system"]
    actor: str = Field(description="login of an agent, beginning of an API key", examples=["cck_Ab12Cd"])
    action: str = Field(examples=["lookup", "card.read", "apikey.revoked"])
    subject: str | None = Field(description="the number (E.164) or the id it was about")
    detail: dict[str, Any]

    @classmethod
    def of(cls, row: Any) -> "AuditItem":
        return cls(**{name: getattr(row, name) for name in cls.model_fields})


class AuditPage(Page[AuditItem]):
    """Entries, newest first."""
