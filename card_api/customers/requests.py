"""What the customers' routes take and give beside customers themselves."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BeforeValidator, Field, StringConstraints

from card_api.customers.schemas import (
    MANY,
    AccountWrite,
    Country,
    Customer,
    Given,
    Json,
    Key,
    Line,
    Moment,
    Name,
    OrderWrite,
    PersonWrite,
    PhoneGiven,
    TicketWrite,
    Url,
    Word,
    no_nul,
)
from card_api.paging import Page
from shared.contracts.base import Contract
from shared.contracts.card import BlackListed, DoNotCall, DoNotCallReason, Note

NoteText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=10_000), BeforeValidator(no_nul)
]


class CustomerPatch(Given):
    """A JSON merge patch (RFC 7396): what is not named stays, null takes away, lists are replaced whole."""

    kind: Literal["person", "company"] | None = None
    name: Name | None = None
    greet_as: Name | None = None
    category: Word | None = None
    manager: Name | None = None
    country: Country | None = None
    url: Url | None = None
    tags: list[Word] | None = Field(None, max_length=MANY)
    attributes: Json | None = None
    preferences: dict[Word, Line | None] | None = Field(None, max_length=MANY)
    phones: list[PhoneGiven] | None = Field(None, max_length=MANY)
    names: list[Name] | None = Field(None, max_length=MANY)
    people: list[PersonWrite] | None = Field(None, max_length=MANY)
    accounts: list[AccountWrite] | None = Field(None, max_length=MANY)
    orders: list[OrderWrite] | None = Field(None, max_length=MANY)
    tickets: list[TicketWrite] | None = Field(None, max_length=MANY)


class CustomerPage(Page[Customer]):
    """In the order of their last change: who asks on from the last page's end misses no change."""


class MergeWrite(Given):
    duplicates: list[UUID] = Field(
        min_length=1, max_length=MANY, description="customers that are the same one, by our ids"
    )


class NoteWrite(Given):
    text: NoteText
    call_id: Key | None = Field(None, description="the call it is about")


class NotePage(Page[Note]):
    """Newest first."""


class CategoryWrite(Given):
    label: Word = Field(description="as agents see it")
    colour: Annotated[str, StringConstraints(pattern="^#[0-9a-fA-F]{6}$")] | None = None
    priority: int = Field(0, ge=-1000, le=1000, description="higher ranks first among several callers")


class CategoryEntry(Contract):
    code: str
    label: str
    colour: str | None = None
    priority: int = 0


class CategoryList(Contract):
    """Highest priority first."""

    items: list[CategoryEntry]


class DoNotCallWrite(Given):
    reason: DoNotCallReason
    comment: Line | None = None


class DoNotCallEntry(DoNotCall):
    number: str = Field(description="E.164")


class DoNotCallPage(Page[DoNotCallEntry]):
    """By number."""


class BlackListWrite(Given):
    reason: Line | None = None
    until: Moment | None = Field(None, description="none is for ever")


class BlackListEntry(BlackListed):
    number: str = Field(description="E.164")


class BlackListPage(Page[BlackListEntry]):
    """By number."""


class NumberErase(Given):
    number: Annotated[str, StringConstraints(min_length=1, max_length=100)] = Field(
        description="in any writing", examples=["+79001112233"]
    )


class Erased(Contract):
    """What an erasure took away: how many rows of which kind."""

    removed: dict[str, int]


class PersonExport(Contract):
    """Rows as they are in the tables."""

    customers: list[Customer]
    notes: list[dict[str, Any]]
    call_identities: list[dict[str, Any]]
    do_not_call: list[dict[str, Any]]
    black_list: list[dict[str, Any]]
    audit: list[dict[str, Any]]
    calls: list[dict[str, Any]]
