"""What the customers' routes take and give beside customers themselves."""

from typing import Literal

from pydantic import Field

from card_api.customers.schemas import (
    MANY,
    AccountWrite,
    Country,
    Customer,
    Given,
    Json,
    Line,
    Name,
    OrderWrite,
    PersonWrite,
    PhoneGiven,
    TicketWrite,
    Url,
    Word,
)
from shared.contracts.base import Contract


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


class CustomerPage(Contract):
    items: list[Customer]
    next: str | None = Field(None, description="`cursor` of the next page; null: this is the last one")
