"""What the look-up finds, and the answer of the enrichment end point."""

from typing import Any, NamedTuple

from pydantic import Field

from shared.contracts.base import Contract, Timestamp
from shared.contracts.card import (
    Account,
    BlackListed,
    CallerProfile,
    Candidate,
    Category,
    DoNotCall,
    Link,
    MatchedBy,
    MatchKind,
    Named,
    Note,
    Order,
    PastCall,
    Person,
    Source,
    Ticket,
)

PURPOSES = ("mobile", "contact", "work", "home", "sms", "fax")
"""What a number is for (`shared.numbers.Purpose`), the likeliest to be answered by the customer first."""


class RankedCategory(Category):
    priority: int = 0


class Talk(Contract):
    """A conversation of before."""

    at: Timestamp
    agent: str | None = None


class FoundCustomer(Contract):
    """A customer who may be calling, with everything a card shows."""

    id: str | None = Field(None, description="ours; none if only another system knows them")
    matched_by: MatchedBy = MatchedBy.NUMBER
    source: str
    external_id: str
    kind: str
    name: str
    greet_as: str | None = None
    category: RankedCategory | None = None
    manager: str | None = None
    tags: list[str] = []
    url: str | None = None
    purpose: str | None = Field(
        "contact",
        description="what the number is for: contact, mobile, sms, fax …; none if they were not found by it",
    )
    preferences: dict[str, str] = {}
    attributes: dict[str, Any] = {}
    origins: dict[str, str] = Field(
        {}, description="field → source, where another source than `source` said it"
    )
    last_talk: Talk | None = Field(None, description="with this very customer, as somebody said in that call")
    names: list[Named] = []
    people: list[Person] = []
    accounts: list[Account] = []
    tickets: list[Ticket] = Field([], description="open ones, newest first")
    orders: list[Order] = Field([], description="newest first")
    notes: list[Note] = Field([], description="newest first")
    also: list["FoundCustomer"] = Field(
        [], description="records of the same customer that were merged into this one"
    )


class Question(NamedTuple):
    """What is known when somebody is to be found. `number`: E.164; `account`: a contract number somebody gave (typed in
    the IVR, or said to the agent); `call_id`: what was noted in this call counts."""

    number: str | None
    account: str | None = None
    call_id: str | None = None


class Found(Contract):
    """Everybody who has a number, and the calls from and to it (of one customer: by any of their numbers)."""

    # Not `= []`: pydantic deep-copies such a default, and every call begins with nothing found.
    customers: list[FoundCustomer] = Field(default_factory=list)
    history: list[PastCall] = Field(default_factory=list)
    notes: list[Note] = Field(default_factory=list, description="written in this call")
    person: str | None = Field(None, description="who speaks, as somebody picked in this call")
    identity: int = Field(0, description="version of what was said in this call of who it is; 0: nothing")
    do_not_call: DoNotCall | None = None
    black_listed: BlackListed | None = None


class LookupAnswer(Contract):
    """The same as the caller part of a card."""

    number: str | None = Field(
        description="the number as E.164; null if it is hidden, missing or was not asked for"
    )
    match: MatchKind
    caller: CallerProfile
    candidates: list[Candidate] = []
    history: list[PastCall] = []
    tickets: list[Ticket] = []
    orders: list[Order] = []
    notes: list[Note] = []
    links: list[Link] = []
    sources: list[Source] = []
