"""What another system says of a customer, taken for no more than it is."""

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator

from card_api.customers.schemas import Url
from card_api.lookup.schemas import FoundCustomer, RankedCategory
from shared.contracts.card import Account, MatchedBy, Named, Order, Person, Ticket
from shared.numbers import MAX_FIELD

# What CRMs call the two kinds.
_KINDS = {
    "person": "person",
    "individual": "person",
    "contact": "person",
    "человек": "person",
    "физлицо": "person",
    "физическое лицо": "person",
    "company": "company",
    "organization": "company",
    "organisation": "company",
    "legal": "company",
    "компания": "company",
    "организация": "company",
    "юрлицо": "company",
    "юридическое лицо": "company",
}
# What the REST API takes too.
_LONGEST_KEY = 200
# 21.11.2026, as 1C and most Russian CRMs write it, with a time or without.
_RUSSIAN_DATE = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?:[ T](\d{1,2}):(\d{2})(?::(\d{2}))?)?")
# Numbers from here on are milliseconds since 1970: as seconds they would be beyond the year 5000.
_MILLISECONDS = 1e11


def _kind(value: Any) -> Any:
    known = _KINDS.get(value.strip().casefold()) if isinstance(value, str) else None
    if known is None:
        raise ValueError("is neither person nor company")
    return known


def _key(value: str) -> str:
    # A key that was cut would be another key.
    if len(value) > _LONGEST_KEY or "\0" in value:
        raise ValueError(f"is longer than {_LONGEST_KEY} characters, or has a NUL")
    return value


def _cut(longest: int) -> BeforeValidator:
    # A long text is no lie: a card shows its beginning.
    return BeforeValidator(
        lambda value: value.replace("\0", "")[:longest] if isinstance(value, str) else value
    )


Name = Annotated[str, _cut(300)]
Word = Annotated[str, _cut(100)]
Line = Annotated[str, _cut(1000)]
Key = Annotated[str, AfterValidator(_key)]


class PersonRow(BaseModel):
    name: Name
    role: Word | None = None


class AccountRow(BaseModel):
    number: Key
    status: Word | None = None
    product: Name | None = None


class TicketRow(BaseModel):
    number: Key
    subject: Line
    status: Word = "open"
    opened_at: datetime | None = None
    url: Url | None = None


class OrderRow(BaseModel):
    number: Key
    title: Line
    status: Word | None = None
    amount: Word | None = None
    ordered_at: datetime | None = None
    url: Url | None = None


class Customer(BaseModel):
    """One customer of an answer, checked."""

    name: Name
    external_id: Key
    kind: Annotated[str, BeforeValidator(_kind)] = "person"
    greet_as: Name | None = None
    category: Word | None = None
    manager: Name | None = None
    url: Url | None = None
    number: list[Annotated[str, _cut(MAX_FIELD)]] = []
    tags: list[Word] = []
    names: list[Name] = []
    attributes: dict[str, Line] = {}
    preferences: dict[str, Line] = {}
    people: list[PersonRow] = []
    accounts: list[AccountRow] = []
    tickets: list[TicketRow] = []
    orders: list[OrderRow] = []

    def found(self, source: str, how: MatchedBy) -> FoundCustomer:
        """As the look-up has customers, each part with its source."""
        return FoundCustomer(
            source=source,
            external_id=self.external_id,
            matched_by=how,
            kind=self.kind,
            name=self.name,
            greet_as=self.greet_as,
            category=RankedCategory(code=self.category, label=self.category) if self.category else None,
            manager=self.manager,
            url=self.url,
            tags=self.tags,
            attributes=dict(self.attributes),
            preferences=self.preferences,
            names=[Named(name=name, source=source) for name in self.names],
            people=[Person(source=source, **row.model_dump()) for row in self.people],
            accounts=[Account(source=source, **row.model_dump()) for row in self.accounts],
            tickets=[Ticket(source=source, **row.model_dump()) for row in self.tickets],
            orders=[Order(source=source, **row.model_dump()) for row in self.orders],
        )


def text_of(field: str, nodes: Sequence[Any], joined_by: str | None = None) -> str | None:
    """The text that a path found. `joined_by`: what may stand in parts is put together with this; of everything else
    there can be only one. Raises ValueError for what is no text or number."""
    texts = texts_of(field, nodes)
    if len(texts) > 1 and joined_by is None:
        raise ValueError(f"{field}: the path finds {len(texts)} values where one belongs")
    return (joined_by or "").join(texts) or None


def texts_of(field: str, nodes: Sequence[Any]) -> list[str]:
    """All texts a path found, without the empty ones."""
    texts = []
    for node in nodes:
        if isinstance(node, bool) or not isinstance(node, str | int | float | None):
            raise ValueError(f"{field}: {_called(node)} where a text belongs")
        said = _number(node) if isinstance(node, int | float) else (node or "").strip()
        if said:
            texts.append(said)
    return texts


def moment(field: str, text: str, zone: ZoneInfo) -> datetime:
    """ISO 8601, 21.11.2026 10:30, or seconds (milliseconds) since 1970. Without a zone it is `zone`'s time. Raises
    ValueError."""
    try:
        if re.fullmatch(r"\d{9,14}(\.\d+)?", text):
            seconds = float(text)
            return datetime.fromtimestamp(seconds / 1000 if seconds >= _MILLISECONDS else seconds, UTC)
        russian = _RUSSIAN_DATE.fullmatch(text)
        if russian:
            day, month, year, hour, minute, second = (int(part or 0) for part in russian.groups())
            read = datetime(year, month, day, hour, minute, second)
        else:
            read = datetime.fromisoformat(text)
        return (read if read.tzinfo else read.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise ValueError(
            f"{field}: no date that can be read, write it like 2026-11-21T10:30:00+03:00"
        ) from None


def _number(value: float) -> str:
    # An id that a system writes as 17.0 is 17.
    whole = isinstance(value, float) and math.isfinite(value) and value.is_integer()
    return str(int(value)) if whole else str(value)


def _called(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    return "a list" if isinstance(value, list) else "an object"
