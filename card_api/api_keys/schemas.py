"""API keys as REST shows them: never the key itself, but once."""

from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from card_api.api_keys.scopes import Scope
from card_api.api_keys.service import KEEP, ApiKey, Made
from shared.contracts.base import Timestamp

# A quarter: longer than any roll-out, short enough that an old key does end.
_LONGEST_KEEP = timedelta(days=90)


def _one_line(value: str) -> str:
    if not value.isprintable() or not value.strip():
        raise ValueError("must be one line of text")
    return value.strip()


class ApiKeyWrite(BaseModel):
    """A key that is to be made."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": "crm", "scopes": ["lookup", "customers:read"], "per_second": 50}]
        },
    )

    name: Annotated[str, AfterValidator(_one_line)] = Field(
        min_length=1, max_length=100, description="which system will use it"
    )
    scopes: list[Scope] = Field(min_length=1, max_length=20, description="what it may do")
    per_second: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="requests a second; null: the site's limit (CALLCARD_API__PER_SECOND)",
    )
    expires_at: Timestamp | None = Field(None, description="when it stops working; null: never")


class Rotation(BaseModel):
    """How a key is rotated."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"keep_seconds": 86400}]})

    keep_seconds: int = Field(
        int(KEEP.total_seconds()),
        ge=0,
        le=int(_LONGEST_KEEP.total_seconds()),
        description="how long the old key works on",
    )
    expires_at: Timestamp | None = Field(None, description="end of the new key; null: that of the old one")


class ApiKeyView(BaseModel):
    """A key as lists show it."""

    id: UUID
    name: str
    prefix: str = Field(description="how it begins: by this a key is known in lists and in the audit log")
    scopes: list[str]
    per_second: int | None = Field(description="null: the site's limit")
    created_at: Timestamp
    last_used_at: Timestamp | None = Field(description="to the minute; null: never used")
    expires_at: Timestamp | None
    revoked_at: Timestamp | None

    @classmethod
    def of(cls, key: ApiKey) -> "ApiKeyView":
        return cls(**_shown(key))


class NewApiKey(ApiKeyView):
    """A key that was made."""

    key: str = Field(description="the key itself: keep it well, it is not shown again", examples=["cck_…"])

    @classmethod
    def made(cls, made: Made) -> "NewApiKey":
        return cls(**_shown(made.record), key=made.key)


class ApiKeyList(BaseModel):
    """Every key, newest first, revoked and expired ones too."""

    items: list[ApiKeyView]


def _shown(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": sorted(key.scopes),
        "per_second": key.per_second,
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }
