"""What a source says about a customer, as rows of the tables. Pure."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from card_api.customers.schemas import CustomerBody, CustomerWrite, PhoneWrite
from shared.numbers import PhoneEntry, Purpose, numbers_in
from shared.phone import NumberKind

Row = dict[str, Any]
"""Column → value of plain JSON types."""

# The fields of a body that are columns of `customers`.
COLUMNS = (
    "kind",
    "name",
    "greet_as",
    "category",
    "manager",
    "country",
    "url",
    "tags",
    "attributes",
    "preferences",
)
CHILDREN = ("phones", "names", "people", "accounts", "orders", "tickets")
"""The fields of a body that are tables of their own."""

# Nobody's number: no row.
_NO_NUMBER = (NumberKind.MISSING, NumberKind.WITHHELD)


@dataclass(frozen=True, slots=True)
class CustomerRows:
    """One record. `columns`: of `customers`; `children`: the rows of each of CHILDREN, without owner and source, each
    key once. `said`: hex hash of all of it."""

    source: str
    external_id: str
    columns: Row
    children: dict[str, list[Row]]
    said: str


def rows_of(given: CustomerWrite, country: str) -> CustomerRows:
    """`country`: of numbers without a country code, if the customer has none."""
    columns = columns_of(given)
    children = {child: children_of(given, child, country) for child in CHILDREN}
    # 16 bytes: it tells a change from none, and nobody gains by making two that are alike.
    said = hashlib.blake2b(orjson.dumps([columns, children], option=orjson.OPT_SORT_KEYS), digest_size=16)
    return CustomerRows(given.source, given.external_id, columns, children, said.hexdigest())


def columns_of(given: CustomerBody) -> Row:
    """The record's own columns."""
    columns = {name: getattr(given, name) for name in COLUMNS}
    return {**columns, "tags": list(dict.fromkeys(given.tags))}


def children_of(given: CustomerBody, child: str, country: str) -> list[Row]:
    """The rows of one of CHILDREN. What comes twice is there once: the last for what has a key of its source."""
    match child:
        case "phones":
            return _phones(given.phones, given.country or country)
        case "names":
            return [{"name": name} for name in dict.fromkeys(given.names) if name != given.name]
        case "people":
            return list({p.name: {"name": p.name, "role": p.role} for p in given.people}.values())
        case "accounts" | "orders" | "tickets":
            rows = [row.model_dump(mode="json") for row in getattr(given, child)]
            return list({r["external_id"]: r for r in map(_keyed, rows)}.values())
    raise ValueError(f"no child rows are called {child!r}")


def _keyed(row: Row) -> Row:
    return {**row, "external_id": row["external_id"] or row["number"]}


def _phones(given: Iterable[PhoneWrite | str], country: str) -> list[Row]:
    rows: dict[tuple[str, str], Row] = {}
    for field in given:
        number, purpose = (field, None) if isinstance(field, str) else (field.number, field.purpose)
        for entry in numbers_in(number, country):
            if entry.kind not in _NO_NUMBER:
                rows.setdefault((entry.e164 or entry.typed, entry.extension or ""), _phone(entry, purpose))
    return list(rows.values())


def _phone(entry: PhoneEntry, purpose: Purpose | None) -> Row:
    return {
        "e164": entry.e164,
        "as_typed": entry.typed,
        "purpose": (purpose or entry.purpose).value,
        "kind": entry.kind.value,
        "extension": entry.extension,
        "remark": entry.remark or None,
    }
