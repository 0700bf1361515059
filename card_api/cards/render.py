"""The card as a pure function of the call, what is known of the caller, and the agent it is for."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from card_api.agents.directory import Agent, Directory
from card_api.calls.facts import CountryOf, CustomerEnd, customer_end
from card_api.cards.greeting import address, greeting
from card_api.cards.places import Place
from card_api.lookup.ranking import candidate, rank
from card_api.lookup.schemas import Found, FoundCustomer
from shared.contracts.call import Call, Direction, Presentation
from shared.contracts.card import (
    CallerProfile,
    CallSummary,
    Candidate,
    Card,
    CardState,
    Category,
    Link,
    MatchKind,
    Named,
    Order,
    PastCall,
    Source,
    SourceStatus,
    Ticket,
    Timings,
)
from shared.phone import display

# Enrichments a version can have. Sixteen patches of one call between two events of the PBX is more than all sources we
# can think of; and a version in milliseconds times sixteen stays below 2^53, where JavaScript's numbers end.
REVS_A_VERSION = 16
MAX_REV = 2**53 - 1

# After this the screen drops the card by itself, whatever it has heard: only for the case that nobody is left to close
# it. No phone rings for longer; no conversation lasts longer; a closed card has been read by then.
RINGING_FOR = timedelta(minutes=10)
TALKING_FOR = timedelta(hours=12)
CLOSED_FOR = timedelta(seconds=15)

# What a card shows of the past.
_HISTORY = 10


@dataclass(frozen=True, slots=True)
class Site:
    """What rendering needs to know of the company."""

    timezone: ZoneInfo
    language: str
    country_of: CountryOf


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What a source said about a caller: `status` ok | late (not answered yet) | failed, after `ms`."""

    name: str
    status: SourceStatus
    ms: float


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known of the caller now. `enrichment` counts how often that changed for this call."""

    found: Found = field(default_factory=Found)
    sources: tuple[SourceReport, ...] = ()
    looked_up_at: datetime | None = None
    enrichment: int = 0


NOTHING_KNOWN = Knowledge()


@dataclass(frozen=True, slots=True)
class CallerPart:
    """The part of a card that is about the caller; the enrichment end point answers with the same."""

    match: MatchKind
    caller: CallerProfile
    address: str | None = None
    candidates: tuple[Candidate, ...] = ()
    history: tuple[PastCall, ...] = ()
    tickets: tuple[Ticket, ...] = ()
    orders: tuple[Order, ...] = ()
    links: tuple[Link, ...] = ()


def revision(version: int, enrichment: int) -> int:
    """The card's `rev`. Raises ValueError for a version beyond what a browser can compare."""
    rev = version * REVS_A_VERSION + min(enrichment, REVS_A_VERSION - 1)
    if not 0 <= rev <= MAX_REV:
        raise ValueError(f"version {version} is outside 0..{MAX_REV // REVS_A_VERSION}")
    return rev


def render(
    call: Call,
    version: int,
    place: Place,
    knowledge: Knowledge,
    directory: Directory,
    site: Site,
    now: datetime,
) -> Card:
    """The card of one agent."""
    language = place.agent.language or site.language
    other = customer_end(call, site.country_of)
    colleague = internal_caller(call, directory)
    about = summary(call, place, other)
    part = (
        _internal(call, colleague)
        if call.direction is Direction.INTERNAL
        else caller_part(other.presentation, about.number, knowledge.found, language, call.call_id)
    )
    return Card(
        call_id=call.call_id,
        rev=revision(version, knowledge.enrichment),
        state=place.state,
        close_reason=place.close_reason,
        agent=place.agent.login,
        call=about,
        match=part.match,
        caller=part.caller,
        candidates=list(part.candidates),
        greeting=None if colleague else greeting(now.astimezone(site.timezone), language, part.address),
        history=list(part.history),
        tickets=list(part.tickets),
        orders=list(part.orders),
        # Nobody fills these yet; said for the reason of `_stranger`.
        callbacks=[],
        actions=[],
        links=list(part.links),
        sources=[Source(name=s.name, status=s.status, ms=s.ms) for s in knowledge.sources],
        expires_at=_expires_at(call, place, now),
        timings=Timings(
            arrived=call.started_at, looked_up=knowledge.looked_up_at, rang=place.ringing_at, pushed=now
        ),
    )


def summary(call: Call, place: Place, other: CustomerEnd) -> CallSummary:
    """The call as this agent sees it."""
    number = other.number
    if number is None and other.presentation is Presentation.ALLOWED:
        # No phone number of the world, but what the PBX says is better than nothing: an extension, a local number.
        number = call.did if call.direction is Direction.OUTBOUND else call.caller.number
    return CallSummary(
        pbx=call.pbx,
        direction=call.direction,
        state=call.state,
        number=number,
        presentation=other.presentation,
        did=call.did,
        queue=call.queue.name if call.queue else None,
        digits=[d.digits for d in call.digits],
        started_at=call.started_at,
        ringing_at=place.ringing_at,
        answered_at=place.answered_at,
        ended_at=place.ended_at,
        end_reason=call.end_reason,
    )


def caller_part(
    presentation: Presentation,
    number: str | None,
    found: Found,
    language: str,
    except_call: str | None = None,
) -> CallerPart:
    """What the look-up says, as a card shows it. Names of several customers are never glued together.

    `except_call`: the call that is going on, which is no history yet.
    """
    if presentation is not Presentation.ALLOWED:
        return CallerPart(MatchKind.WITHHELD, _stranger(None))
    shown = display(number) if number else None
    history = tuple(c for c in found.history if c.call_id != except_call)[:_HISTORY]
    if not found.customers:
        return CallerPart(MatchKind.NONE, _stranger(shown), history=history)
    if len(found.customers) > 1:
        return CallerPart(
            MatchKind.SEVERAL,
            _stranger(shown),
            candidates=tuple(candidate(ranked, language) for ranked in rank(found.customers)),
            history=history,
        )
    customer = found.customers[0]
    return CallerPart(
        MatchKind.ONE,
        _profile(customer, shown),
        address=address(customer.name, customer.kind, customer.greet_as),
        history=history,
        tickets=tuple(customer.tickets),
        orders=tuple(customer.orders),
        links=(Link(label=customer.source, url=customer.url),) if customer.url else (),
    )


def internal_caller(call: Call, directory: Directory) -> Agent | None:
    """The colleague who calls, if it is an internal call."""
    if call.direction is not Direction.INTERNAL:
        return None
    return directory.find(call.pbx, call.caller.endpoint, call.caller.number)


def _internal(call: Call, colleague: Agent | None) -> CallerPart:
    number = call.caller.number
    if colleague is None:
        return CallerPart(MatchKind.NONE, _stranger(number))
    return CallerPart(
        MatchKind.COLLEAGUE,
        CallerProfile(name=colleague.name, display_number=number or colleague.extension),
    )


def _stranger(shown: str | None) -> CallerProfile:
    """Nothing but the number. The empty lists are said because pydantic copies default ones the slow way."""
    return CallerProfile(display_number=shown, names=[], people=[], accounts=[], tags=[])


def _profile(customer: FoundCustomer, shown: str | None) -> CallerProfile:
    category = customer.category
    return CallerProfile(
        customer_id=customer.id,
        name=customer.name,
        display_number=shown,
        names=[Named(name=customer.name, source=customer.source), *customer.names],
        people=customer.people,
        accounts=customer.accounts,
        category=Category(code=category.code, label=category.label, colour=category.colour)
        if category
        else None,
        manager=customer.manager,
        tags=customer.tags,
    )


def _expires_at(call: Call, place: Place, now: datetime) -> datetime:
    match place.state:
        case CardState.RINGING:
            return (place.ringing_at or call.started_at) + RINGING_FOR
        case CardState.CLOSED:
            return now + CLOSED_FOR
    return (place.answered_at or call.started_at) + TALKING_FOR
