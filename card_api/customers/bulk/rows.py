"""A batch of rows as they stand → rows of the tables, or what is wrong with each. Pure.

This is where the time goes (a tenth of a millisecond a number), so it is made to run in another process.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from card_api.customers.bulk.columns import CellError, cells
from card_api.customers.bulk.text import MAX_ROW, RawRow
from card_api.customers.rows import CustomerRows, rows_of
from card_api.customers.schemas import CustomerWrite

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
    """A row that can be stored (`rows`) or what is wrong with it (`errors`). `later`: the line that says the same
    customer again in this batch; it counts, this one does not."""

    line: int
    source: str | None = None
    external_id: str | None = None
    rows: CustomerRows | None = None
    errors: tuple[str, ...] = ()
    later: int | None = None


def check_rows(rows: Sequence[RawRow], how: How) -> list[Checked]:
    """One answer a row, in their order. Of two rows with the same key the last counts."""
    said: list[CustomerWrite | Checked] = [_read(row, how) for row in rows]
    last: dict[tuple[str, str], int] = {}
    for index, customer in enumerate(said):
        if isinstance(customer, CustomerWrite):
            last[customer.source, customer.external_id] = index
    answers: list[Checked] = []
    for index, customer in enumerate(said):
        line = rows[index].line
        if isinstance(customer, Checked):
            answers.append(customer)
            continue
        key = (customer.source, customer.external_id)
        if last[key] != index:
            answers.append(Checked(line, *key, later=rows[last[key]].line))
            continue
        answers.append(_answer(line, customer, how))
    return answers


def _answer(line: int, customer: CustomerWrite, how: How) -> Checked:
    key = (customer.source, customer.external_id)
    # PostgreSQL's text has no NUL.
    if customer.attributes and _has_nul(customer.attributes):
        return Checked(line, *key, errors=("attributes: a text in it has a NUL character",))
    try:
        return Checked(line, *key, rows=rows_of(customer, how.country))
    except (OverflowError, ValueError) as error:
        return Checked(line, *key, errors=(f"cannot be read: {error}",))


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
        return Checked(row.line, source, external_id, errors=sentences(error, given))


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
    # The module's own limit is half of ours, and it has one for all who use it.
    csv.field_size_limit(MAX_ROW)
    # By hand: splitlines() also cuts at what is no line end in a file (U+2028, form feed).
    lines = (line + "\n" for line in record.split("\n"))
    return next(csv.reader(lines, delimiter=delimiter), [])


def sentences(error: ValidationError, given: dict[str, Any]) -> tuple[str, ...]:
    """`phones.0.number: what is wrong`, without the values: those are names and numbers."""
    found: dict[str, None] = {}
    for one in error.errors(include_url=False, include_context=False):
        loc = list(one["loc"])
        if loc[0] == "phones" and len(loc) > 2:
            # A phone is a text or an object; what is wrong with it as the other kind is no help.
            if (loc[2] == "PhoneWrite") != isinstance(given["phones"][int(loc[1])], dict):
                continue
            loc = loc[:2] + loc[3:]
        message = one["msg"].removeprefix("Value error, ")
        found[f"{'.'.join(str(part) for part in loc)}: {message[:1].lower()}{message[1:]}"] = None
    return tuple(found)[:_ERRORS] or ("is no customer",)


def _short(value: Any) -> str | None:
    return value[:200] if isinstance(value, str) else None


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_nul(x) for pair in value.items() for x in pair)
    return isinstance(value, list) and any(_has_nul(x) for x in value)
