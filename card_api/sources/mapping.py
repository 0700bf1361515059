"""Which field of a customer is where in another system's answer: JSONPath, compiled once, and what it reads.

Nothing of an answer is believed by its looks: texts must be texts, links links, lists no longer than a card can show.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import jsonpath
from pydantic import ValidationError

from card_api.lookup.schemas import FoundCustomer, Question
from card_api.sources.source import AnswerRefused
from card_api.sources.values import Customer, moment, text_of, texts_of
from shared.contracts.card import MatchedBy
from shared.numbers import numbers_in

# A number at more customers than this is a switchboard's, or the system answers with its whole table.
_CUSTOMERS = 20
# Of tickets, orders, contracts, people, names, tags of a customer; the first ones are taken.
_ROWS = 20

_TEXTS = ("name", "external_id", "kind", "greet_as", "category", "manager", "url")
_LISTS = ("number", "tags", "names")
_FREE = ("attributes", "preferences")
# Lists of things: their fields, and those that each must have.
_THINGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "people": (("name", "role"), ("name",)),
    "accounts": (("number", "status", "product"), ("number",)),
    "tickets": (("number", "subject", "status", "opened_at", "url"), ("number", "subject")),
    "orders": (("number", "title", "status", "amount", "ordered_at", "url"), ("number", "title")),
}
# Parts of these may stand in several fields: surname and first name, amount and currency.
_IN_PARTS = frozenset({"name", "greet_as", "manager", "title", "subject", "amount", "role", "product"})
_MOMENTS = frozenset({"opened_at", "ordered_at"})

Path = jsonpath.JSONPath | jsonpath.CompoundJSONPath


class MapError(ValueError):
    """What is wrong with a mapping, as the rest of a sentence that begins with the setting: MAP or ITEMS."""

    def __init__(self, text: str, setting: str = "MAP") -> None:
        super().__init__(text)
        self.setting = setting


@dataclass(frozen=True, slots=True)
class Things:
    """A list of things within a customer: where it is, and where their fields are within each."""

    items: Path
    fields: dict[str, Path]


@dataclass(frozen=True, slots=True)
class CustomerMap:
    """Compiled by `compile_map`; `read` is a pure function of an answer."""

    items: Path | None
    fields: dict[str, Path]
    free: dict[tuple[str, str], Path]
    things: dict[str, Things]

    def read(
        self, document: Any, source: str, question: Question, country: str, zone: ZoneInfo
    ) -> list[FoundCustomer]:
        """The customers in an answer, JSON as Python has it. Raises `AnswerRefused` with a sentence that names fields
        and no values.

        One without a name is left out: a card has nothing to show. So is one whose numbers are all others than the one
        asked about (a system that searches by the end of a number); if nobody else is left the answer is refused.
        """
        found, others = [], 0
        for place, item in enumerate(self._items(document), start=1):
            if place > _CUSTOMERS:
                raise AnswerRefused(f"the answer has more than {_CUSTOMERS} customers for one caller")
            if not isinstance(item, dict):
                raise AnswerRefused(
                    f"customer {place} is no JSON object: say with ITEMS where the customers are"
                )
            try:
                values = self._values(item, zone)
                if not values.get("name"):
                    continue
                customer = Customer.model_validate(values)
            except ValidationError as error:
                raise AnswerRefused(f"customer {place}: {_sentence(error)}") from None
            except ValueError as error:
                raise AnswerRefused(f"customer {place}: {error}") from None
            how = _matched_by(customer, question, country)
            if how is None:
                others += 1
            else:
                found.append(customer.found(source, how))
        if others and not found:
            raise AnswerRefused("the answer is about customers with other numbers than the caller's")
        return found

    def _items(self, document: Any) -> Iterable[Any]:
        if self.items is not None:
            return _nodes(self.items, document, _CUSTOMERS + 1)
        if document is None:
            return ()
        return document if isinstance(document, list) else (document,)

    def _values(self, item: Any, zone: ZoneInfo) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, path in self.fields.items():
            nodes = _nodes(path, item)
            values[name] = texts_of(name, nodes) if name in _LISTS else text_of(name, nodes, _joined(name))
        for (group, name), path in self.free.items():
            said = text_of(f"{group}.{name}", _nodes(path, item), ", ")
            if said:
                values.setdefault(group, {})[name] = said
        for name, things in self.things.items():
            rows = (_thing(name, things, one, zone) for one in _nodes(things.items, item))
            values[name] = [row for row in rows if row]
        return {name: value for name, value in values.items() if value is not None}


def compile_map(fields: Mapping[str, str], items: str = "") -> CustomerMap:
    """From the settings. Raises `MapError`."""
    texts: dict[str, Path] = {}
    free: dict[tuple[str, str], Path] = {}
    lists: dict[str, Path] = {}
    inner: dict[str, dict[str, Path]] = {}
    for field, text in fields.items():
        path = compile_path(field, text)
        group, dot, name = field.partition(".")
        thing = group.removesuffix("[]")
        if field in _TEXTS or field in _LISTS:
            texts[field] = path
        elif group in _FREE and name:
            free[group, name] = path
        elif thing in _THINGS and (thing != group or not dot) and (not dot or name in _THINGS[thing][0]):
            if dot:
                inner.setdefault(thing, {})[name] = path
            else:
                lists[thing] = path
        else:
            raise MapError(f"{field!r} is no field of a customer; there are {_all_fields()}")
    for name in ("name", "external_id"):
        if name not in texts:
            raise MapError(f"it does not say where the {name} is: add {name}=$.…")
    for thing in {*lists, *inner}:
        if thing not in lists:
            raise MapError(f"it does not say where the {thing} are: add {thing}[]=$.…[*]")
        for name in _THINGS[thing][1]:
            if name not in inner.get(thing, {}):
                raise MapError(
                    f"it does not say where the {name} of one of the {thing} is: add {thing}[].{name}=$.…"
                )
    things = {thing: Things(path, inner[thing]) for thing, path in lists.items()}
    return CustomerMap(compile_path("the path", items, "ITEMS") if items else None, texts, free, things)


def compile_path(field: str, text: str, setting: str = "MAP") -> Path:
    """A JSONPath of RFC 9535. Raises `MapError`."""
    text = text.strip()
    try:
        return jsonpath.JSONPathEnvironment(strict=True).compile(text)
    except (jsonpath.JSONPathError, RecursionError) as error:
        why = (str(error).splitlines() or [""])[0]
        raise MapError(
            f"{field} is no JSONPath: {text[:100]} ({why}); write it like $.client.name", setting
        ) from None


def _thing(group: str, things: Things, item: Any, zone: ZoneInfo) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, path in things.fields.items():
        field = f"{group}[].{name}"
        said = text_of(field, _nodes(path, item), _joined(name))
        if said:
            row[name] = moment(field, said, zone) if name in _MOMENTS else said
    return row


def _nodes(path: Path, item: Any, most: int = _ROWS) -> list[Any]:
    return [match.obj for match in islice(path.finditer(item), most)]


def _joined(name: str) -> str | None:
    return " " if name in _IN_PARTS else None


def _matched_by(customer: Customer, question: Question, country: str) -> MatchedBy | None:
    """How the customer fits the question; None if not at all."""
    account = (question.account or "").strip().casefold()
    if account and any(a.number.casefold() == account for a in customer.accounts):
        return MatchedBy.ACCOUNT
    numbers = {entry.e164 for text in customer.number for entry in numbers_in(text, country) if entry.e164}
    if question.number is None:
        return MatchedBy.ACCOUNT
    return None if numbers and question.number not in numbers else MatchedBy.NUMBER


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    field = ".".join(f"{part}" for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{field}: {message[0].lower()}{message[1:]}"


def _all_fields() -> str:
    things = [f"{name}[], {name}[].{' .'.join(fields)}" for name, (fields, _) in _THINGS.items()]
    return ", ".join((*_TEXTS, *_LISTS, *(f"{group}.ANY" for group in _FREE), *things))
