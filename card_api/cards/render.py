"""The card as a pure function of the call, what is known of the caller, and the agent it is for."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from card_api.agents.directory import Agent, Directory
from card_api.calls.facts import CountryOf, CustomerEnd, account_of, customer_end
from card_api.cards.caller import CallerPart, Reader, caller_part, stranger
from card_api.cards.greeting import greeting
from card_api.cards.layout import Layout
from card_api.cards.places import Place
from card_api.identities.actions import actions
from card_api.lookup.schemas import Found
from card_api.scripts.choice import ScriptOf, filled, no_script
from shared.contracts.call import Call, Direction, Presentation
from shared.contracts.card import (
    CallerProfile,
    CallSummary,
    Card,
    CardState,
    MatchKind,
    Source,
    SourceStatus,
    Timings,
)
from shared.phone import MAX_RAW, plain
from shared.revision import revision

# After this the screen drops the card by itself, whatever it has heard: only for the case that nobody is left to close
# it. No phone rings for longer; no conversation lasts longer; a closed card has been read by then.
RINGING_FOR = timedelta(minutes=10)
TALKING_FOR = timedelta(hours=12)
CLOSED_FOR = timedelta(seconds=15)

# A caller id of 10 kB is looked at so far for signs that can be shown.
_READ = 4 * MAX_RAW


@dataclass(frozen=True, slots=True)
class Site:
    """What rendering needs to know of the company."""

    timezone: ZoneInfo
    language: str
    country_of: CountryOf
    layout: Layout = field(default_factory=Layout)
    script: ScriptOf = no_script


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
    local = now.astimezone(site.timezone)
    other = customer_end(call, site.country_of)
    colleague = internal_caller(call, directory)
    about = summary(call, place, other)
    part = (
        _internal(call, colleague)
        if call.direction is Direction.INTERNAL
        else caller_part(
            other.presentation,
            about.number,
            knowledge.found,
            Reader(language, local, place.agent),
            site.layout,
            account=account_of(call),
            call_id=call.call_id,
        )
    )
    welcome = None if colleague else greeting(local, language, part.address)
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
        greeting=welcome,
        script=_script(call, about, part, language, welcome, site),
        history=list(part.history),
        tickets=list(part.tickets),
        orders=list(part.orders),
        notes=list(part.notes),
        # Nobody fills these yet; said for the reason of `stranger`.
        callbacks=[],
        actions=actions(
            call.call_id,
            call.direction,
            place.state,
            part.match,
            part.caller,
            new_number=other.number is not None and not part.has_number,
            identity=knowledge.found.identity,
        ),
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
        number = _as_it_came(call.did if call.direction is Direction.OUTBOUND else call.caller.number)
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


def _as_it_came(number: str | None) -> str | None:
    """Without signs that turn its order round or cannot be seen, and no longer than a number may be."""
    return " ".join(plain(number[:_READ]).split())[:MAX_RAW] or None if number else None


def internal_caller(call: Call, directory: Directory) -> Agent | None:
    """The colleague who calls, if it is an internal call."""
    if call.direction is not Direction.INTERNAL:
        return None
    return directory.find(call.pbx, call.caller.endpoint, call.caller.number)


def _internal(call: Call, colleague: Agent | None) -> CallerPart:
    number = call.caller.number
    if colleague is None:
        return CallerPart(MatchKind.NONE, stranger(_as_it_came(number)))
    return CallerPart(
        MatchKind.COLLEAGUE,
        CallerProfile(name=colleague.name, display_number=number or colleague.extension),
    )


def _script(
    call: Call, about: CallSummary, part: CallerPart, language: str, welcome: str | None, site: Site
) -> str | None:
    """What to say to who calls in. Whom an agent dials, the agent has a reason of their own for."""
    if call.direction is not Direction.INBOUND:
        return None
    category = part.caller.category.code if part.caller.category else None
    text = site.script(about.did, about.queue, category, language)
    return None if text is None else filled(text, part.address, welcome)


def _expires_at(call: Call, place: Place, now: datetime) -> datetime:
    match place.state:
        case CardState.RINGING:
            return (place.ringing_at or call.started_at) + RINGING_FOR
        case CardState.CLOSED:
            return now + CLOSED_FOR
    return (place.answered_at or call.started_at) + TALKING_FOR
