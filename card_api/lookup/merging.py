"""Several records of one customer as one: the first one's own fields, gaps filled from the others."""

from collections.abc import Iterable
from typing import Any

from card_api.lookup.schemas import Found, FoundCustomer
from shared.contracts.card import Named

_FIELDS = ("greet_as", "category", "manager", "url")


def with_merged_records(found: Found) -> Found:
    """The same, with what merged records say filled into their survivors."""
    if not any(customer.also for customer in found.customers):
        return found
    customers = [completed(customer, customer.also) for customer in found.customers]
    return found.model_copy(update={"customers": customers})


def completed(first: FoundCustomer, others: Iterable[FoundCustomer]) -> FoundCustomer:
    """`first`, with each field that it does not have from the first of `others` that has it.

    `origins` says which source that was. Tags, preferences and attributes come together (one's own go before others'
    of the same name), other names join the names. What hangs on a customer (tickets, notes …) is not touched.
    """
    changed: dict[str, Any] = {}
    origins = dict(first.origins)
    names = list(first.names)
    tags = list(first.tags)
    known = {"preferences": dict(first.preferences), "attributes": dict(first.attributes)}
    for other in others:
        for field in _FIELDS:
            value = getattr(other, field)
            if value is not None and getattr(first, field) is None and field not in changed:
                changed[field] = value
                origins[field] = other.origins.get(field, other.source)
        for kind, mine in known.items():
            for name, value in getattr(other, kind).items():
                if name not in mine:
                    mine[name] = value
                    origins[f"{kind}.{name}"] = other.origins.get(f"{kind}.{name}", other.source)
        tags += [tag for tag in other.tags if tag not in tags]
        said = Named(name=other.name, source=other.source)
        if other.name != first.name and said not in names:
            names.append(said)
    return first.model_copy(update={**changed, **known, "origins": origins, "tags": tags, "names": names})
