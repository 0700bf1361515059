"""Web hooks as those who set them up write and read them."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

import httpx
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from card_api.events.outbox import EventType
from card_api.webhooks import zammad
from shared.contracts.base import Timestamp

Format = Literal["callcard", "zammad"]
State = Literal["pending", "delivered", "dead"]

_EXAMPLE_URL = "https://crm.example/callcard"


def _receiver(value: str) -> str:
    try:
        url = httpx.URL(value)
    except (httpx.InvalidURL, ValueError):
        raise ValueError("is no address: write it like https://crm.example/callcard") from None
    if url.scheme not in ("https", "http") or not url.host:
        raise ValueError("must be a whole address that begins with https:// or http://")
    if url.fragment:
        raise ValueError("ends with a #fragment, which is never sent: leave it out")
    return value


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not contain a NUL character")
    return value


Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_no_nul)
]
ReceiverUrl = Annotated[
    str,
    StringConstraints(max_length=2000, pattern=r"^[!-~]+$"),  # printable ASCII, as on the wire
    AfterValidator(_receiver),
]
Events = Annotated[list[EventType], Field(min_length=1, max_length=len(EventType))]


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WebhookWrite(_Given):
    """A new web hook."""

    name: Name = Field(description="which system it is, for people", examples=["CRM"])
    url: ReceiverUrl = Field(description="what is sent goes there by POST", examples=[_EXAMPLE_URL])
    format: Format = Field(
        "callcard", description="`callcard`: JSON after Standard Webhooks; `zammad`: Zammad's generic CTI"
    )
    events: Events | None = Field(
        None, description="what to tell of; if not given: everything the format has words for"
    )

    @model_validator(mode="after")
    def _has_words(self) -> Self:
        refuse_unspoken(self.format, self.events)
        return self

    def wanted(self) -> list[str]:
        """The types, in the order of `EventType`."""
        spoken = zammad.EVENTS if self.format == zammad.FORMAT else list(EventType)
        chosen = set(self.events if self.events is not None else spoken)
        return [str(t) for t in EventType if t in chosen]


def refuse_unspoken(format_: str, events: list[EventType] | None) -> None:
    """Raises ValueError if the format has no words for one of the events."""
    unspoken = [str(e) for e in events or () if format_ == zammad.FORMAT and e not in zammad.EVENTS]
    if unspoken:
        raise ValueError(f"Zammad's CTI knows {', '.join(zammad.EVENTS)}, not {', '.join(unspoken)}")


class WebhookPatch(_Given):
    """What is to be changed; what is left out stays. The format stays: make another web hook."""

    name: Name | None = None
    url: ReceiverUrl | None = None
    events: Events | None = None
    active: bool | None = Field(
        None,
        description="false: nothing is sent, and what waits goes to the dead, from where it can be replayed",
    )


class Webhook(BaseModel):
    id: UUID
    name: str
    url: str
    format: Format
    events: list[EventType]
    active: bool
    switched_off: str | None = Field(None, description="why it is not active, if the receiver wanted that")
    created_at: Timestamp
    updated_at: Timestamp
    secret_rotated_at: Timestamp | None = None
    last_success_at: Timestamp | None = Field(None, description="to the minute")
    failing_since: Timestamp | None = Field(None, description="null: the last request was delivered")


class WebhookList(BaseModel):
    items: list[Webhook]


class WebhookSecret(BaseModel):
    secret: str = Field(
        description="proves that a request is ours (Standard Webhooks); not shown again",
        examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )


class NewWebhook(Webhook, WebhookSecret):
    pass


class TrialView(BaseModel):
    """What came of a trial."""

    delivered: bool
    status_code: int | None = Field(description="null: there was no answer")
    error: str | None
    ms: float = Field(description="how long it took, milliseconds")


class Delivery(BaseModel):
    """One event on its way to one web hook."""

    id: int
    event_id: UUID = Field(description="`webhook-id` of the request; the same at each try")
    type: str
    subject: str | None = Field(description="the call_id, or the customer's id")
    state: State
    attempts: int
    status_code: int | None
    error: str | None
    created_at: Timestamp
    next_at: Timestamp | None = Field(description="of the next try")
    finished_at: Timestamp | None


class DeliveryDetail(Delivery):
    payload: dict[str, Any] | None = Field(description="what it says; null: erased")


class Replayed(BaseModel):
    replayed: int = Field(description="how many are sent once more")
