"""What the look-up finds, and the answer of the enrichment end point."""

from pydantic import Field

from shared.contracts.base import Contract
from shared.contracts.card import (
    Account,
    CallerProfile,
    Candidate,
    Category,
    MatchKind,
    Named,
    Order,
    PastCall,
    Source,
    Ticket,
)


class RankedCategory(Category):
    priority: int = 0


class FoundCustomer(Contract):
    """A customer who has the number, with everything a card shows."""

    id: str
    source: str
    external_id: str
    kind: str
    name: str
    greet_as: str | None = None
    category: RankedCategory | None = None
    manager: str | None = None
    tags: list[str] = []
    url: str | None = None
    purpose: str = Field(description="what the number is for: contact, mobile, sms, fax …")
    names: list[Named] = []
    people: list[Named] = []
    accounts: list[Account] = []
    tickets: list[Ticket] = Field([], description="open ones, newest first")
    orders: list[Order] = Field([], description="newest first")


class Found(Contract):
    """Everybody who has a number, and the calls from and to it (of one customer: by any of their numbers)."""

    # Not `= []`: pydantic deep-copies such a default, and every call begins with nothing found.
    customers: list[FoundCustomer] = Field(default_factory=list)
    history: list[PastCall] = Field(default_factory=list)


class LookupAnswer(Contract):
    """The same as the caller part of a card."""

    number: str | None = Field(description="the number as E.164; null if it is withheld")
    match: MatchKind
    caller: CallerProfile
    candidates: list[Candidate] = []
    history: list[PastCall] = []
    tickets: list[Ticket] = []
    orders: list[Order] = []
    sources: list[Source] = []
