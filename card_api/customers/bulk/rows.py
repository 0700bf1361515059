"""A batch of rows as they stand → documents for the tables, or what is wrong with each. Pure.

This is where the time goes (a tenth of a millisecond a number), so it is made to run in another process.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from pydantic import ValidationError

from card_api.customers.bulk.columns import CellError, cells
from card_api.customers.bulk.text import MAX_ROW, RawRow
from card_api.customers.schemas import CustomerWrite
from shared.contracts.base import to_utc
from shared.numbers import numbers_in

# More than a person reads; a row with fifty errors has one.
_ERRORS = 10


@dataclass(frozen=True, slots=True)
class How:
    """How rows are read. `columns`: the fields of a CSV record's values; None: the rows are JSON. `source`: of rows
    that name none. `country`: of numbers without a country code, where the customer has none."""

    country: str
    source: str | None = None
    columns: tuple[str | None, ...] | None = None
    delimiter: str = ","
    encoding: str = "utf-8"


@dataclass(frozen=True, slots=True)
class Checked:
    """A row that can be stored (`document`, JSON) or what is wrong with it (`errors`). `later`: the line that says the
    same customer again in this batch; it counts, this one does not."""

    line: int
    source: str | None = None
    external_id: str | None = None
    document: str | None = None
    errors: tuple[str, ...] = ()
    later: int | None = None


def check_rows(rows: Sequence[RawRow], how: How) -> list[Checked]:
    """One answer a row, in their order. Of two rows with the same key the last counts; a contract, order or ticket that
    two rows claim belongs to the last of them."""
    said: list[CustomerWrite | Checked] = [_read(row, how) for row in rows]
    last: dict[tuple[str, str], int] = {}
    for index, customer in enumerate(said):
        if isinstance(customer, CustomerWrite):
            last[customer.source, customer.external_id] = index
    claimed: set[tuple[str, str, str]] = set()
    answers: list[Checked] = []
    for index in range(len(said) - 1, -1, -1):
        customer, line = said[index], rows[index].line
        if isinstance(customer, Checked):
            answers.append(customer)
            continue
        key = (customer.source, customer.external_id)
        if last[key] != index:
            answers.append(Checked(line, *key, later=rows[last[key]].line))
            continue
        answers.append(_answer(line, customer, how, claimed))
    return answers[::-1]


def _answer(line: int, customer: CustomerWrite, how: How, claimed: set[tuple[str, str, str]]) -> Checked:
    key = (customer.source, customer.external_id)
    try:
        content = document(customer, how.country)
    except (OverflowError, ValueError):
        return Checked(line, *key, errors=("a moment in it is before the year 1 or after 9999",))
    for part in ("accounts", "orders", "tickets"):
        kept = [item for item in content[part] if (part, customer.source, item["external_id"]) not in claimed]
        claimed |= {(part, customer.source, item["external_id"]) for item in kept}
        content[part] = kept
    text = orjson.dumps(content)
    # PostgreSQL's text has no NUL. Whether it stands in a text or is the words \u0000 is worth a second look only here.
    if b"\\u0000" in text and _has_nul(content):
        return Checked(line, *key, errors=("attributes: a text in it has a NUL character",))
    return Checked(line, *key, document=text.decode())


def document(customer: CustomerWrite, country: str) -> dict[str, Any]:
    """The customer as rows of our tables in plain JSON types, each thing once. Raises OverflowError for a moment that
    is none in UTC."""
    return {
        "kind": customer.kind,
        "name": customer.name,
        "greet_as": customer.greet_as,
        "category": customer.category,
        "manager": customer.manager,
        "country": customer.country,
        "url": customer.url,
        "tags": list(dict.fromkeys(customer.tags)),
        "attributes": customer.attributes,
        "preferences": customer.preferences,
        "phones": _phones(customer, customer.country or country),
        "names": list(dict.fromkeys(customer.names)),
        "people": list({p.name: {"name": p.name, "role": p.role} for p in reversed(customer.people)}.values())[::-1],
        "accounts": _keyed(
            {
                "external_id": a.external_id or a.number,
                "number": a.number,
                "status": a.status,
                "product": a.product,
            }
            for a in customer.accounts
        ),
        "orders": _keyed(
            {
                "external_id": o.external_id or o.number,
                "number": o.number,
                "title": o.title,
                "status": o.status,
                "amount": None if o.amount is None else str(o.amount),
                "currency": o.currency,
                "ordered_at": _moment(o.ordered_at),
                "url": o.url,
            }
            for o in customer.orders
        ),
        "tickets": _keyed(
            {
                "external_id": t.external_id or t.number,
                "number": t.number,
                "subject": t.subject,
                "status": t.status,
                "opened_at": _moment(t.opened_at),
                "closed_at": _moment(t.closed_at),
                "url": t.url,
            }
            for t in customer.tickets
        ),
    }


def _phones(customer: CustomerWrite, country: str) -> list[dict[str, Any]]:
    once: dict[tuple[str, str], dict[str, Any]] = {}
    for given in customer.phones:
        field, purpose = (given, None) if isinstance(given, str) else (given.number, given.purpose)
        for entry in numbers_in(field, country):
            once.setdefault(
                (entry.e164 or entry.typed, entry.extension or ""),
                {
                    "e164": entry.e164,
                    "as_typed": entry.typed,
                    "purpose": purpose or entry.purpose,
                    "kind": entry.kind,
                    "extension": entry.extension,
                    "remark": entry.remark or None,
                },
            )
    return list(once.values())


def _keyed(items: Any) -> list[dict[str, Any]]:
    return list({item["external_id"]: item for item in items}.values())


def _moment(value: datetime | None) -> str | None:
    return None if value is None else to_utc(value).isoformat()


def _read(row: RawRow, how: How) -> CustomerWrite | Checked:
    if row.error is not None:
        return Checked(row.line, errors=(row.error,))
    try:
        given = _json(row.data) if how.columns is None else _record(row.data, how, how.columns)
    except (CellError, csv.Error) as error:
        return Checked(row.line, errors=(str(error),))
    except UnicodeDecodeError as error:
        return Checked(row.line, errors=(f"is not {how.encoding} text (byte {error.start + 1} of the row)",))
    if how.source is not None:
        given.setdefault("source", how.source)
    try:
        return CustomerWrite.model_validate(given)
    except ValidationError as error:
        # Who it was, if that much is clear: a report without it helps nobody to find the row in the CRM.
        source, external_id = (_short(given.get(name)) for name in ("source", "external_id"))
        return Checked(row.line, source, external_id, errors=sentences(error))


def _json(data: bytes) -> dict[str, Any]:
    data.decode()  # orjson says of broken UTF-8 only that it is no JSON
    try:
        given = orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise CellError(f"is not JSON ({error.msg} at character {error.pos + 1})") from None
    if not isinstance(given, dict):
        raise CellError('must be a JSON object like {"source": "crm", "external_id": "1", "name": "…"}')
    return given


def _record(data: bytes, how: How, columns: tuple[str | None, ...]) -> dict[str, Any]:
    return cells(columns, csv_values(data.decode(how.encoding), how.delimiter))


def csv_values(record: str, delimiter: str) -> list[str]:
    """The values of one CSV record, which may hold line ends. Raises csv.Error."""
    csv.field_size_limit(MAX_ROW)
    return next(csv.reader(record.splitlines(keepends=True), delimiter=delimiter), [])


def sentences(error: ValidationError) -> tuple[str, ...]:
    """`phones.0.number: what is wrong`, without the values: those are names and numbers."""
    found: dict[str, None] = {}
    for one in error.errors(include_url=False, include_context=False):
        loc = list(one["loc"])
        if loc[0] == "phones" and len(loc) > 2:
            # A phone is a text or an object; what is wrong with it as the other kind is no help.
            as_object = loc[2] == "PhoneWrite"
            if as_object != isinstance(_at(one, error), dict):
                continue
            loc = loc[:2] + loc[3:]
        message = one["msg"].removeprefix("Value error, ")
        found[f"{'.'.join(str(part) for part in loc)}: {message[:1].lower()}{message[1:]}"] = None
    return tuple(found)[:_ERRORS] or ("is no customer",)


def _at(one: Any, error: ValidationError) -> Any:
    return one["input"] if one["type"] != "missing" else {}


def _short(value: Any) -> str | None:
    return value[:200] if isinstance(value, str) else None


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_nul(x) for pair in value.items() for x in pair)
    return isinstance(value, list) and any(_has_nul(x) for x in value)
