"""Several customers behind one number: which of them is it, most likely, and why."""

from dataclasses import dataclass

from card_api.lookup.schemas import FoundCustomer
from shared.contracts.card import Candidate

# Points: an open ticket makes a call today likelier than anything else we know; an order in work comes next. The
# purpose of the number says whose phone it is; a category only decides between equals.
_OPEN_TICKET = 4.0
_ORDER = 2.0
_PURPOSE = {"mobile": 1.5, "contact": 1.0, "sms": 0.5}
_CATEGORY = 0.25
_FINISHED = {
    "delivered",
    "done",
    "closed",
    "cancelled",
    "доставлен",
    "выполнен",
    "закрыт",
    "отменён",
    "отменен",
}

_WORDS = {
    "ru": {
        "ticket": "открытая заявка {}",
        "order": "заказ {} в работе",
        "purpose": {
            "mobile": "личный номер",
            "contact": "контактный номер",
            "sms": "номер для SMS",
            "fax": "факс",
        },
        "number": "номер указан у клиента",
        "category": "категория «{}»",
    },
    "en": {
        "ticket": "open ticket {}",
        "order": "order {} in progress",
        "purpose": {
            "mobile": "own number",
            "contact": "contact number",
            "sms": "number for SMS",
            "fax": "fax",
        },
        "number": "the customer has this number",
        "category": "category {}",
    },
}


@dataclass(frozen=True, slots=True)
class Ranked:
    customer: FoundCustomer
    score: float


def rank(customers: list[FoundCustomer]) -> list[Ranked]:
    """Likeliest first; equals by name, so that the order never jumps."""
    ranked = [Ranked(customer, _score(customer)) for customer in customers]
    return sorted(
        ranked, key=lambda r: (-r.score, r.customer.name, r.customer.source, r.customer.external_id)
    )


def candidate(ranked: Ranked, language: str) -> Candidate:
    """As the card shows it, with the reasons in the agent's language."""
    return Candidate(
        customer_id=ranked.customer.id,
        source=ranked.customer.source,
        external_id=ranked.customer.external_id,
        name=ranked.customer.name,
        why=", ".join(_reasons(ranked.customer, language)),
        score=round(ranked.score, 2),
    )


def _score(customer: FoundCustomer) -> float:
    score = _PURPOSE.get(customer.purpose or "", 0.0)
    score += _OPEN_TICKET if customer.tickets else 0.0
    score += _ORDER if _open_order(customer) else 0.0
    score += _CATEGORY if customer.category and customer.category.priority > 0 else 0.0
    return score


def _open_order(customer: FoundCustomer) -> str | None:
    """Number of an order that is not finished."""
    return next(
        (o.number for o in customer.orders if o.status and o.status.strip().lower() not in _FINISHED), None
    )


def _reasons(customer: FoundCustomer, language: str) -> list[str]:
    words = _WORDS.get(language, _WORDS["en"])
    purposes = words["purpose"]
    assert isinstance(purposes, dict)
    reasons = []
    if customer.tickets:
        reasons.append(str(words["ticket"]).format(customer.tickets[0].number))
    order = _open_order(customer)
    if order:
        reasons.append(str(words["order"]).format(order))
    reasons.append(purposes.get(customer.purpose or "", str(words["number"])))
    if customer.category and customer.category.priority > 0:
        reasons.append(str(words["category"]).format(customer.category.label))
    return reasons
