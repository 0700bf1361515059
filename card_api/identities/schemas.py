"""What agents send from a card."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, model_validator

from card_api.customers.requests import NoteText
from card_api.customers.schemas import (
    MANY,
    AccountWrite,
    Given,
    Json,
    Key,
    Line,
    Name,
    PersonWrite,
    SourceName,
    Url,
    Word,
)
from shared.numbers import Purpose


class Identify(Given):
    """Who is calling: one of ours, one that only another system knows, or whoever has this contract. Nothing at all
    takes back what was said before."""

    customer_id: UUID | None = None
    source: SourceName | None = None
    external_id: Key | None = None
    account: Key | None = Field(None, description="number of a contract", examples=["Д-100201"])

    @model_validator(mode="after")
    def _one_way(self) -> "Identify":
        if (self.source is None) != (self.external_id is None):
            raise ValueError("source and external_id belong together: give both, or neither")
        ways = [self.customer_id, self.source, self.account]
        if sum(way is not None for way in ways) > 1:
            raise ValueError("give one of customer_id, source with external_id, and account")
        return self


class PersonSaid(PersonWrite):
    """How may I call you? One of the customer's people, or somebody new."""


class NoteSaid(Given):
    text: NoteText


class NewCustomer(Given):
    """A caller nobody knew. Sent again in the same call it changes the customer that was made."""

    kind: Literal["person", "company"] = "person"
    name: Name
    greet_as: Name | None = None
    category: Word | None = None
    manager: Name | None = None
    url: Url | None = None
    tags: list[Word] = Field([], max_length=MANY)
    attributes: Json = Field({})
    preferences: dict[Word, Line] = Field({}, max_length=MANY)
    people: list[PersonWrite] = Field([], max_length=MANY)
    accounts: list[AccountWrite] = Field([], max_length=MANY)
    purpose: Annotated[Purpose, Field(description="what the number they call from is for")] = Purpose.CONTACT


class NumberSaid(Given):
    purpose: Purpose = Purpose.CONTACT
