"""CSV: which column is which field, and what stands in a cell.

One rule for all cells: empty is not given; a list is JSON text (`["a", "b"]`) or values parted by `;`; orders and
tickets are JSON text. A phone cell holds whatever people write into one, several numbers too. Columns of the same
field come together: lists are joined, words have a blank between them (surname, name). `attributes.floor` is the
field `floor` of the attributes.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import orjson

from card_api.customers.schemas import CustomerWrite

_LISTS = ("phones", "names", "people", "accounts", "orders", "tickets", "tags")
_OBJECTS = ("attributes", "preferences")
# What people call a column of which there is one.
_ALIASES = {
    "phone": "phones",
    "tag": "tags",
    "person": "people",
    "account": "accounts",
    "contract": "accounts",
}
# A value of these, as it stands in a cell, is this field of the object.
_SHORT = {"people": "name", "accounts": "number"}
_PARTED = re.compile(r"[;\n]")
FIELDS = tuple(CustomerWrite.model_fields)
NEEDED = ("external_id", "name")
"""Nobody is loaded without these; the source may be said once for all rows."""


class ColumnError(ValueError):
    """Why these columns cannot be loaded: a sentence for a person."""


class CellError(ValueError):
    """What is wrong with a row's cells: `field: what`."""


def field_named(name: str) -> str | None:
    """The field that a column's name or the left side of a mapping means; None if there is no such field."""
    name = name.strip().lstrip("\ufeff")
    head, dot, rest = name.partition(".")
    head = head.strip().lower()
    head = _ALIASES.get(head, head)
    if dot:
        return f"{head}.{rest.strip()}" if head in _OBJECTS and rest.strip() else None
    return head if head in FIELDS else None


def columns_by_name(header: Sequence[str], *, source_given: bool) -> tuple[str | None, ...]:
    """The field of each column; every column must be one. Raises `ColumnError`."""
    fields = tuple(field_named(name) for name in header)
    unknown = [name for name, field in zip(header, fields, strict=True) if field is None]
    if unknown:
        near = get_close_matches(unknown[0].strip().lower(), FIELDS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ColumnError(
            f"There is no field {unknown[0].strip()!r}.{hint} The columns may be: {', '.join(FIELDS)}, phone, "
            "attributes.… and preferences.…"
        )
    _complete(fields, header, source_given)
    return fields


def columns_by_map(
    header: Sequence[str], wanted: Mapping[str, Sequence[str]], *, source_given: bool
) -> tuple[str | None, ...]:
    """The field of each column by a mapping field → columns; columns named like a field that is not mapped are that
    field, all others are left out (None). Raises `ColumnError`."""
    at = {_plain(name): index for index, name in reversed(list(enumerate(header)))}
    fields: list[str | None] = [None] * len(header)
    mapped = set()
    for name, columns in wanted.items():
        field = field_named(name)
        if field is None:
            raise ColumnError(f"There is no field {name!r} to map to: there are {', '.join(FIELDS)}.")
        mapped.add(field)
        for column in columns:
            index = at.get(_plain(column))
            if index is None:
                raise ColumnError(f"There is no column {column!r}. The file has: {_listed(header)}.")
            fields[index] = field
    for index, name in enumerate(header):
        own = field_named(name)
        if fields[index] is None and own is not None and own not in mapped:
            fields[index] = own
    _complete(fields, header, source_given)
    return tuple(fields)


def cells(columns: Sequence[str | None], values: Sequence[str]) -> dict[str, Any]:
    """A record as the fields of a customer. Raises `CellError`."""
    if len(values) > len(columns):
        raise CellError(
            f"has {len(values)} values for {len(columns)} columns: a value that holds the delimiter needs quotes"
        )
    given: dict[str, Any] = {}
    for field, value in zip(columns, values, strict=False):
        text = value.strip()
        if field is None or not text:
            continue
        head, dot, name = field.partition(".")
        if dot:
            given.setdefault(head, {})[name] = text
        elif field in _OBJECTS:
            given.setdefault(head, {}).update(_json(field, text, dict))
        elif field in _LISTS:
            given.setdefault(field, []).extend(_items(field, text))
        else:
            given[field] = f"{given[field]} {text}" if field in given else text
    return given


def cell(field: str, value: Any) -> str:
    """What stands in a cell so that `cells` reads this value: the other way round."""
    if value is None or value in ([], {}):
        return ""
    if isinstance(value, str):
        return value
    parts = [_short(field, item) for item in value] if field in _LISTS else [None]
    if any(part is None for part in parts):
        return orjson.dumps(value).decode()
    return "; ".join(part for part in parts if part is not None)


def _short(field: str, item: Any) -> str | None:
    """The item as a word between semicolons; None if that would not say all of it."""
    if field == "phones":
        return None
    if isinstance(item, dict):
        name = _SHORT.get(field, "")
        word = item.get(name)
        others = {key: value for key, value in item.items() if key != name and value is not None}
        if field == "accounts" and others.get("external_id") == word:
            others.pop("external_id", None)
        if others:
            return None
        item = word
    fits = isinstance(item, str) and item == item.strip() and not _PARTED.search(item) and item[:1] != "["
    return item if fits else None


def _items(field: str, text: str) -> Iterable[Any]:
    if text.startswith("[") or field in ("orders", "tickets"):
        return list(_json(field, text, list))
    if field == "phones":
        return [text]  # one field may hold several: shared.numbers parts them
    parts = [part.strip() for part in _PARTED.split(text) if part.strip()]
    short = _SHORT.get(field)
    return [{short: part} for part in parts] if short else parts


def _json(field: str, text: str, kind: type) -> Any:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise CellError(f"{field}: is not JSON ({error.msg} at character {error.pos + 1})") from None
    if not isinstance(value, kind):
        raise CellError(
            f"{field}: must be JSON text, a {'list' if kind is list else 'set of names and values'}"
        )
    return value


def _complete(fields: Sequence[str | None], header: Sequence[str], source_given: bool) -> None:
    needed = NEEDED if source_given else ("source", *NEEDED)
    missing = [name for name in needed if name not in fields]
    if missing:
        raise ColumnError(f"No column is {' or '.join(missing)}. The file has: {_listed(header)}.")


def _plain(name: str) -> str:
    return name.strip().lstrip("\ufeff").casefold()


def _listed(header: Sequence[str]) -> str:
    return ", ".join(name.strip().lstrip("\ufeff") or "(no name)" for name in header)
