"""Who is calling, as a card and the enrichment end point say it: a pure function of what was found."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from card_api.agents.directory import Agent
from card_api.cards.greeting import address
from card_api.cards.layout import Layout, attributes, links
from card_api.lookup.ranking import candidate, rank, the_one
from card_api.lookup.schemas import Found, FoundCustomer
from shared.contracts.call import Presentation
from shared.contracts.card import (
    CallerProfile,
    Candidate,
    Category,
    Link,
    MatchedBy,
    MatchKind,
    Named,
    Note,
    Order,
    PastCall,
    Ticket,
)
from shared.phone import display

# What a card shows of the past.
_HISTORY = 10
_NOTES = 20
# Fields of the profile whose source is always said.
_SAID = ("category", "manager")


class Reader(NamedTuple):
    """Who reads it. `agent`: none for another system. `now`: the time where the company is; days end in its zone.

    A tuple, like the next: each update of a call makes one for each card, and a frozen dataclass costs three times."""

    language: str
    now: datetime
    agent: Agent | None = None


class CallerPart(NamedTuple):
    """The part of a card that is about the caller. `address`: how to greet them. `has_number`: the customer is known to
    have the number they call from."""

    match: MatchKind
    caller: CallerProfile
    address: str | None = None
    candidates: tuple[Candidate, ...] = ()
    history: tuple[PastCall, ...] = ()
    tickets: tuple[Ticket, ...] = ()
    orders: tuple[Order, ...] = ()
    notes: tuple[Note, ...] = ()
    links: tuple[Link, ...] = ()
    has_number: bool = False


def caller_part(
    presentation: Presentation,
    number: str | None,
    found: Found,
    reader: Reader,
    layout: Layout,
    *,
    account: str | None = None,
    call_id: str | None = None,
) -> CallerPart:
    """What the look-up says. Names of several customers are never glued together.

    A hidden number matches nobody; whom an agent named or whose account was given is known all the same. `account`:
    given in this call. `call_id`: the call that goes on, which is no history yet.
    """
    hidden = presentation is not Presentation.ALLOWED
    if hidden:
        number = None
    customers = [c for c in found.customers if c.matched_by is not MatchedBy.NUMBER or not hidden]
    shown = display(number) if number else None
    # The history of a hidden caller is that of whom somebody named: those calls were found by the customer.
    history = () if hidden and not customers else _history(found, call_id)
    customer = the_one(customers)
    others = () if len(customers) < 2 else _candidates(customers, customer, reader)
    if customer is not None:
        return CallerPart(
            MatchKind.ONE,
            _profile(customer, _found_by(customer, others), found, shown, layout),
            address=_address(customer, found.person),
            candidates=others,
            history=history,
            tickets=tuple(customer.tickets),
            orders=tuple(customer.orders),
            notes=_notes(found.notes, customer.notes),
            links=links(layout, customer, number=number, account=account, call_id=call_id),
            has_number=_has_number(customer),
        )
    match = MatchKind.SEVERAL if customers else MatchKind.WITHHELD if hidden else MatchKind.NONE
    return CallerPart(
        match,
        stranger(shown, found, hidden=hidden),
        address=_address(None, found.person),
        candidates=others,
        history=history,
        notes=_notes(found.notes, ()),
        links=links(layout, None, number=number, account=account, call_id=call_id),
    )


def stranger(shown: str | None, found: Found | None = None, *, hidden: bool = False) -> CallerProfile:
    """Nothing but the number, and what holds for the number. The empty lists are said because pydantic copies default
    ones the slow way."""
    about = None if hidden else found
    return CallerProfile(
        person=found.person if found else None,
        display_number=shown,
        names=[],
        people=[],
        accounts=[],
        tags=[],
        preferences={},
        attributes=[],
        origins={},
        do_not_call=about.do_not_call if about else None,
        black_listed=about.black_listed if about else None,
    )


def _has_number(customer: FoundCustomer) -> bool:
    """Our tables say what each number is for, other systems do not."""
    return customer.matched_by is MatchedBy.NUMBER or (
        customer.id is not None and customer.purpose is not None
    )


def _found_by(customer: FoundCustomer, others: tuple[Candidate, ...]) -> MatchedBy:
    """Who alone has the number is known by it, whatever was said besides: to take that back would change nothing. An
    agent who names who speaks for them has picked nobody."""
    by_agent = customer.matched_by is MatchedBy.AGENT
    return (
        MatchedBy.NUMBER if by_agent and not others and customer.purpose is not None else customer.matched_by
    )


def _profile(
    customer: FoundCustomer, found_by: MatchedBy, found: Found, shown: str | None, layout: Layout
) -> CallerProfile:
    category = customer.category
    return CallerProfile(
        customer_id=customer.id,
        source=customer.source,
        external_id=customer.external_id,
        kind=customer.kind,
        matched_by=found_by,
        name=customer.name,
        person=found.person,
        display_number=shown,
        names=[
            Named(name=customer.name, source=customer.origins.get("name", customer.source)),
            *customer.names,
        ],
        people=customer.people,
        accounts=customer.accounts,
        category=Category(code=category.code, label=category.label, colour=category.colour)
        if category
        else None,
        manager=customer.manager,
        tags=customer.tags,
        preferences=customer.preferences,
        attributes=attributes(customer, layout),
        origins=_origins(customer),
        do_not_call=found.do_not_call,
        black_listed=found.black_listed,
    )


def _origins(customer: FoundCustomer) -> dict[str, str]:
    said = {"name": customer.source}
    for field in _SAID:
        if getattr(customer, field) is not None:
            said[field] = customer.source
    # Attributes say theirs themselves.
    said.update((k, v) for k, v in customer.origins.items() if not k.startswith("attributes."))
    return said


def _candidates(
    customers: list[FoundCustomer], chosen: FoundCustomer | None, reader: Reader
) -> tuple[Candidate, ...]:
    """The others stay to be picked, in case it is one of them after all."""
    others = [customer for customer in customers if customer is not chosen]
    return tuple(
        candidate(ranked, reader.language, reader.now) for ranked in rank(others, reader.agent, reader.now)
    )


def _address(customer: FoundCustomer | None, person: str | None) -> str | None:
    """Who speaks is greeted; `greet_as` is the customer's, not that of whoever speaks for them."""
    if person and (customer is None or person != customer.name):
        return address(person, "person", None)
    return address(customer.name, customer.kind, customer.greet_as) if customer else None


def _history(found: Found, call_id: str | None) -> tuple[PastCall, ...]:
    return tuple(past for past in found.history if past.call_id != call_id)[:_HISTORY]


def _notes(of_call: list[Note], of_customer: Iterable[Note]) -> tuple[Note, ...]:
    """Each once (a note may be of both), newest first."""
    once = {note.id: note for note in (*of_call, *of_customer)}
    if len(once) < 2:
        return tuple(once.values())
    return tuple(sorted(once.values(), key=lambda note: (note.at, note.id), reverse=True)[:_NOTES])
