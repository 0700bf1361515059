"""Several customers may be calling: which of them is it, how likely, and why."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from card_api.agents.directory import Agent
from card_api.lookup.schemas import FoundCustomer
from card_api.lookup.wording import in_words
from shared.contracts.card import Candidate, MatchedBy

# Points. What somebody said in this call outranks all that can be guessed from a number: the guesses together make
# less than 20. Whoever spoke to an agent outranks what was typed in the IVR.
_AGENT = 100.0
_ACCOUNT = 50.0
# An open ticket makes a call today likelier than anything else we know; an order in work comes next.
_TICKET = 4.0
_ORDER = 2.0
# Whose phone it is. A number without a purpose is one that the customer is reached by.
_PURPOSE = {"mobile": 1.5, "contact": 1.0, "work": 0.75, "home": 0.75, "sms": 0.5, "fax": 0.25}
_NUMBER = 0.25
# Who called lately calls again: half of these points after two weeks, the time most questions take to be settled. More
# if it was this very agent, whom callers ask for.
_TALK = 2.0
_TALK_WITH_YOU = 1.0
_HALF_LIFE = timedelta(days=14)
_MANAGER = 1.5
# A category only decides between equals, a higher priority more than a low one.
_CATEGORY = 0.05
_HIGHEST_PRIORITY = 10

# Statuses are words of somebody else's system; an order with one of these is not worked on.
_FINISHED = {
    "delivered",
    "done",
    "completed",
    "closed",
    "paid",
    "cancelled",
    "canceled",
    "returned",
    "refunded",
    "доставлен",
    "выполнен",
    "выдан",
    "завершен",
    "закрыт",
    "оплачен",
    "отменен",
    "возврат",
}

_PLACES = {MatchedBy.NUMBER: 0, MatchedBy.ACCOUNT: 1, MatchedBy.AGENT: 2}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why somebody gets points. `name`: a word of `wording`; `what`: the number, label or moment it is about."""

    name: str
    points: float
    what: str | datetime | None = None


@dataclass(frozen=True, slots=True)
class Ranked:
    customer: FoundCustomer
    reasons: tuple[Reason, ...]

    @property
    def score(self) -> float:
        """The sum of the reasons' points."""
        return round(sum(reason.points for reason in self.reasons), 2)


def the_one(customers: Iterable[FoundCustomer]) -> FoundCustomer | None:
    """Who it is: whom an agent named, else whose account was given, else who alone has the number; of several who share
    the account, who alone has the number too. None: not known."""
    found = list(customers)
    if len(found) < 2:
        return found[0] if found else None
    best = max(_PLACES[customer.matched_by] for customer in found)
    named = [customer for customer in found if _PLACES[customer.matched_by] == best]
    if len(named) > 1:
        named = [customer for customer in named if customer.purpose is not None]
    return named[0] if len(named) == 1 else None


def rank(customers: Iterable[FoundCustomer], agent: Agent | None, now: datetime) -> list[Ranked]:
    """Likeliest first; equals by name and key, so that the order never jumps. `agent`: who looks at them."""
    ranked = [Ranked(customer, _reasons(customer, agent, now)) for customer in customers]
    return sorted(ranked, key=_order)


def candidate(ranked: Ranked, language: str, now: datetime) -> Candidate:
    """As the card shows it, with the reasons in the agent's language. `now` is the time where the company is."""
    customer = ranked.customer
    return Candidate(
        customer_id=customer.id,
        source=customer.source,
        external_id=customer.external_id,
        name=customer.name,
        why=", ".join(in_words(reason.name, reason.what, language, now) for reason in ranked.reasons),
        score=ranked.score,
    )


def _order(ranked: Ranked) -> tuple[float, str, str, str, str]:
    customer = ranked.customer
    return -ranked.score, customer.name, customer.source, customer.external_id, customer.id or ""


def _reasons(customer: FoundCustomer, agent: Agent | None, now: datetime) -> tuple[Reason, ...]:
    """The weightiest first, as people read them."""
    reasons = [*_said(customer), *_business(customer), *_number(customer), *_talk(customer, agent, now)]
    if agent is not None and _is(customer.manager, agent):
        reasons.append(Reason("manager", _MANAGER))
    if customer.category is not None and customer.category.priority > 0:
        priority = min(customer.category.priority, _HIGHEST_PRIORITY)
        reasons.append(Reason("category", round(_CATEGORY * priority, 2), customer.category.label))
    return tuple(sorted(reasons, key=lambda reason: -reason.points))


def _said(customer: FoundCustomer) -> Iterable[Reason]:
    if customer.matched_by is MatchedBy.AGENT:
        yield Reason("agent", _AGENT)
    elif customer.matched_by is MatchedBy.ACCOUNT:
        yield Reason("account", _ACCOUNT)


def _business(customer: FoundCustomer) -> Iterable[Reason]:
    if customer.tickets:
        yield Reason("ticket", _TICKET, customer.tickets[0].number)
    order = next((o.number for o in customer.orders if o.status and not _finished(o.status)), None)
    if order is not None:
        yield Reason("order", _ORDER, order)


def _number(customer: FoundCustomer) -> Iterable[Reason]:
    if customer.purpose in _PURPOSE:
        yield Reason(customer.purpose, _PURPOSE[customer.purpose])
    elif customer.purpose is not None or customer.matched_by is MatchedBy.NUMBER:
        yield Reason("number", _NUMBER)


def _talk(customer: FoundCustomer, agent: Agent | None, now: datetime) -> Iterable[Reason]:
    talk = customer.last_talk
    if talk is None:
        return
    with_you = agent is not None and _is(talk.agent, agent)
    halves = max(timedelta(), now - talk.at) / _HALF_LIFE
    points = round((_TALK + (_TALK_WITH_YOU if with_you else 0.0)) * 0.5**halves, 2)
    if points > 0:  # of half a year ago it is no reason any more
        yield Reason("talk_with_you" if with_you else "talk", points, talk.at)


def _is(name: str | None, agent: Agent) -> bool:
    """Does this say the agent, by login or by name?"""
    return name is not None and name.strip().casefold() in (agent.login.casefold(), agent.name.casefold())


def _finished(status: str) -> bool:
    return status.strip().lower().replace("ё", "е") in _FINISHED
