"""What several sources say of a caller as one picture: a pure function, whoever answered first."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from card_api.lookup.merging import completed
from card_api.lookup.schemas import Found, FoundCustomer
from shared.contracts.card import MatchedBy, Named

# Our own tables hold what sources told at some time, and what agents wrote. What a system says now goes before (sources
# have 100 by default), unless its PRIORITY says otherwise.
OWN_PRIORITY = 50
# As many as a card has room for, of tickets, orders, contracts, people.
_ROWS = 20
_HOW = (MatchedBy.NUMBER, MatchedBy.ACCOUNT, MatchedBy.AGENT)

Key = tuple[str, str]
"""(source, external_id): a customer's name in the system that knows them."""

Row = TypeVar("Row")


class Told(NamedTuple):
    """What one source said."""

    source: str
    priority: int
    customers: Sequence[FoundCustomer]


class Ours(NamedTuple):
    """Which customer of ours a key names: the record itself, or the one it was merged into."""

    id: str
    source: str
    external_id: str


class _Said(NamedTuple):
    """A customer as one source says them. Sorted: the one to be believed first is first."""

    rank: tuple[int, str, int]
    customer: FoundCustomer


def merged(own: Found, told: Iterable[Told], ours: Mapping[Key, Ours]) -> Found:
    """`own`: what our tables found. `ours`: keys of others' customers that our tables have, also under other numbers.

    The same key is the same customer. Of fields that differ, the source with the higher priority is shown (by name if
    they are equal), and `origins` says which; lists come together without doubles. Notes, calls and what was said in
    this call are ours alone.
    """
    told = [one for one in told if one.customers]
    if not told:
        return own
    groups: dict[Key, list[_Said]] = {}
    survivors = {(m.source, m.external_id): _key(c) for c in own.customers for m in (c, *c.also)}
    for place, customer in enumerate(own.customers):
        groups[_key(customer)] = [_Said((-OWN_PRIORITY, "", place), customer)]
    for one in sorted(told, key=lambda t: (-t.priority, t.source)):
        for place, customer in enumerate(one.customers):
            key = _key(customer)
            known = ours.get(key)
            key = survivors.get(key) or ((known.source, known.external_id) if known else key)
            said = _Said((-one.priority, one.source, place), customer)
            groups.setdefault(key, []).append(said)
    customers = [_one(key, sorted(group, key=lambda s: s.rank), ours) for key, group in groups.items()]
    return own.model_copy(update={"customers": customers})


def _key(customer: FoundCustomer) -> Key:
    return customer.source, customer.external_id


def _one(key: Key, group: Sequence[_Said], ours: Mapping[Key, Ours]) -> FoundCustomer:
    first, *others = (said.customer for said in group)
    mine = next((said.customer for said in group if said.customer.id is not None), None)
    known = next((ours[_key(said.customer)] for said in group if _key(said.customer) in ours), None)
    if not others and known is None:
        return first
    whole = completed(first, others)
    said_by = [said.customer for said in group]
    by_number = any(c.matched_by is MatchedBy.NUMBER for c in said_by)
    return whole.model_copy(
        update={
            "id": mine.id if mine else known.id if known else None,
            "source": key[0],
            "external_id": key[1],
            "origins": _origins(whole, first.source, key[0]),
            "matched_by": max((c.matched_by for c in said_by), key=_HOW.index),
            # What the number is for, our tables say of each number; others only have a default.
            "purpose": mine.purpose if mine else first.purpose if by_number else None,
            "category": _category(whole, said_by),
            "last_talk": mine.last_talk if mine else None,
            "notes": mine.notes if mine else [],
            "also": mine.also if mine else [],
            "names": _names(whole.name, said_by),
            "people": _union((c.people for c in said_by), lambda p: _written(p.name)),
            "accounts": _union((c.accounts for c in said_by), lambda a: a.number.casefold()),
            "tickets": _newest(
                _union((c.tickets for c in said_by), lambda t: (t.source, t.number)), "opened_at"
            ),
            "orders": _newest(
                _union((c.orders for c in said_by), lambda o: (o.source, o.number)), "ordered_at"
            ),
        }
    )


def _origins(whole: FoundCustomer, first: str, shown: str) -> dict[str, str]:
    """field → source, where that is another than the one the customer is shown under."""
    said: dict[str, str] = {
        field: first
        for field in ("name", "kind", "greet_as", "category", "manager", "url")
        if getattr(whole, field) is not None
    }
    for group in ("attributes", "preferences"):
        said |= {f"{group}.{name}": first for name in getattr(whole, group)}
    said |= whole.origins
    return {field: source for field, source in said.items() if source != shown}


def _category(whole: FoundCustomer, said_by: Iterable[FoundCustomer]) -> Any:
    """The category with the label and colour that our tables have for it: another system knows its code alone."""
    category = whole.category
    if category is None:
        return None
    return next(
        (c.category for c in said_by if c.id is not None and c.category and c.category.code == category.code),
        category,
    )


def _names(shown: str, said_by: Iterable[FoundCustomer]) -> list[Named]:
    """What they are called besides, the same name in another writing once."""
    said = (n for c in said_by for n in (Named(name=c.name, source=c.source), *c.names))
    return [
        n for n in _without_doubles(said, lambda n: _written(n.name)) if _written(n.name) != _written(shown)
    ]


def _written(name: str) -> str:
    return " ".join(name.split()).casefold()


def _union(lists: Iterable[Iterable[Row]], key: Callable[[Row], Hashable]) -> list[Row]:
    return _without_doubles((row for rows in lists for row in rows), key)[:_ROWS]


def _without_doubles(rows: Iterable[Row], key: Callable[[Row], Hashable]) -> list[Row]:
    seen: dict[Hashable, Row] = {}
    for row in rows:
        seen.setdefault(key(row), row)
    return list(seen.values())


def _newest(rows: list[Row], field: str) -> list[Row]:
    """Newest first, those without a moment last; equals as they were."""
    dated = [row for row in rows if getattr(row, field) is not None]
    return [
        *sorted(dated, key=lambda row: getattr(row, field), reverse=True),
        *(row for row in rows if getattr(row, field) is None),
    ]
