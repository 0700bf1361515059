"""Customers as CRM teams write and read them."""

from datetime import datetime
from decimal import Decimal
from math import isfinite
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from shared.contracts.base import Contract, Timestamp, to_utc
from shared.numbers import MAX_FIELD, Purpose
from shared.phone import NumberKind

# A customer is a card, not a data warehouse: beyond these it is a mistake of the export.
MANY = 200
_ATTRIBUTES_BYTES = 16_384


def no_nul(value: Any) -> Any:
    # PostgreSQL's text has no NUL; nobody's name has one either.
    match value:
        case str():
            return value.replace("\0", "")
        case list():
            return [no_nul(item) for item in value]
        case dict():
            return {no_nul(key): no_nul(item) for key, item in value.items()}
    return value


def _finite(value: Any) -> bool:
    """Python reads NaN and 1e999, which are no JSON, and orjson then writes null."""
    match value:
        case float():
            return isfinite(value)
        case list():
            return all(map(_finite, value))
        case dict():
            return all(map(_finite, value.values()))
    return True


def _web_address(value: str) -> str:
    # Shown as a link on agents' screens: javascript: has no business there.
    if not value.lower().startswith(("https://", "http://")):
        raise ValueError("must begin with https:// or http://")
    return value


def _small(value: dict[str, Any]) -> dict[str, Any]:
    try:
        size = len(orjson.dumps(value))
    except TypeError as error:  # half a character, an integer beyond 64 bits, nested too deeply
        raise ValueError(f"cannot be kept as JSON: {error}") from None
    if size > _ATTRIBUTES_BYTES:
        raise ValueError(
            f"is larger than {_ATTRIBUTES_BYTES} bytes of JSON: keep documents in the CRM and link them"
        )
    if not _finite(value):
        raise ValueError(
            "holds NaN or a number beyond what JSON programs keep: leave it out, or send it as a text"
        )
    if no_nul(value) != value:
        raise ValueError("holds a NUL character, which PostgreSQL does not keep: take it out")
    return value


def _of_our_time(value: datetime) -> datetime:
    # An order of the year 1 is a date that somebody's export did not have; in some zones it is no date at all.
    if not 1900 <= value.year <= 2199:
        raise ValueError("must be between 1900 and 2199: leave out a date that is not known")
    return to_utc(value)


def _text(longest: int) -> StringConstraints:
    return StringConstraints(strip_whitespace=True, min_length=1, max_length=longest)


# Last in each: constraints that come after it would look at the text before its blanks are stripped.
_Clean = BeforeValidator(no_nul)
Name = Annotated[str, _text(300), _Clean]
Word = Annotated[str, _text(100), _Clean]
Key = Annotated[str, _text(200), _Clean]
Line = Annotated[str, _text(1000), _Clean]
Url = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_web_address), _Clean]
SourceName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
"""Name of a system that knows customers: `crm`, `billing`."""
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
Moment = Annotated[datetime, AfterValidator(_of_our_time)]
Json = Annotated[dict[str, Any], AfterValidator(_small)]


class Given(BaseModel):
    """What others send: a field nobody knows is an error, so that a typing mistake is found at once."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PhoneWrite(Given):
    number: Annotated[str, StringConstraints(min_length=1, max_length=MAX_FIELD), _Clean] = Field(
        description="as people write it: 8 (900) 111-22-33, +44 20 7946 0123 ext. 5; two in one field are two",
        examples=["8 (900) 111-22-33"],
    )
    purpose: Purpose | None = Field(None, description="if not given: what the words around the number say")


PhoneGiven = PhoneWrite | Annotated[str, StringConstraints(min_length=1, max_length=MAX_FIELD), _Clean]


class PersonWrite(Given):
    name: Name
    role: Word | None = None


class AccountWrite(Given):
    """A contract. `external_id` is the source's key; the number, if the source has no other."""

    number: Key
    external_id: Key | None = None
    status: Word | None = None
    product: Name | None = None


class OrderWrite(Given):
    number: Key
    external_id: Key | None = None
    title: Line
    status: Word | None = None
    amount: Decimal | None = Field(None, max_digits=14, decimal_places=2)
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] | None = None
    ordered_at: Moment | None = None
    url: Url | None = None


class TicketWrite(Given):
    number: Key
    external_id: Key | None = None
    subject: Line
    status: Word
    opened_at: Moment | None = None
    closed_at: Moment | None = Field(None, description="a ticket without it is open and shows on the card")
    url: Url | None = None


class CustomerBody(Given):
    """A customer whole, as one source knows them. What is not given is empty: a PUT replaces what this source said
    before, and nothing that others said."""

    kind: Literal["person", "company"] = "person"
    name: Name
    greet_as: Name | None = Field(None, description="how they want to be called, if the name does not tell")
    category: Word | None = Field(
        None, description="code of a category; one that is new is made, with its code as label"
    )
    manager: Name | None = Field(None, description="personal manager: an agent's login, or a name")
    country: Country | None = Field(
        None, description="of numbers without a country code; default: the site's"
    )
    url: Url | None = Field(None, description="their page in the source")
    tags: list[Word] = Field([], max_length=MANY)
    attributes: Json = Field({}, description="free; the card shows those its layout names")
    preferences: dict[Word, Line] = Field({}, max_length=MANY, description='e.g. {"call after": "18:00"}')
    phones: list[PhoneGiven] = Field([], max_length=MANY)
    names: list[Name] = Field([], max_length=MANY, description="other names they go by")
    people: list[PersonWrite] = Field([], max_length=MANY, description="who may be speaking when they call")
    accounts: list[AccountWrite] = Field([], max_length=MANY)
    orders: list[OrderWrite] = Field([], max_length=MANY)
    tickets: list[TicketWrite] = Field([], max_length=MANY)


class CustomerWrite(CustomerBody):
    """`source` and `external_id` together are the key: the same pair again is the same customer."""

    source: SourceName
    external_id: Key


class Phone(Contract):
    """`e164` is what a caller is found by; none for what is no phone number of the world (an extension)."""

    e164: str | None = None
    as_typed: str
    kind: NumberKind = NumberKind.PHONE
    purpose: Purpose = Purpose.CONTACT
    extension: str | None = None
    remark: str | None = None
    source: str


class OtherName(Contract):
    name: str
    source: str
    said_at: Timestamp | None = None


class PersonOf(Contract):
    name: str
    role: str | None = None
    source: str


class AccountOf(Contract):
    external_id: str
    number: str
    status: str | None = None
    product: str | None = None
    source: str


class OrderOf(Contract):
    external_id: str
    number: str
    title: str
    status: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    ordered_at: Timestamp | None = None
    url: str | None = None
    source: str


class TicketOf(Contract):
    external_id: str
    number: str
    subject: str
    status: str
    opened_at: Timestamp | None = None
    closed_at: Timestamp | None = None
    url: str | None = None
    source: str


class Customer(Contract):
    """A customer as it is kept. `revision` is the ETag: say it in If-Match when you change something."""

    id: str
    source: str
    external_id: str
    merged_into: str | None = Field(None, description="the record that stands for this one")
    merged: list[str] = Field([], description="the records this one stands for")
    revision: int
    kind: Literal["person", "company"]
    name: str
    greet_as: str | None = None
    category: str | None = None
    manager: str | None = None
    country: str | None = None
    url: str | None = None
    tags: list[str] = []
    attributes: dict[str, Any] = {}
    preferences: dict[str, str] = {}
    phones: list[Phone] = []
    names: list[OtherName] = []
    people: list[PersonOf] = []
    accounts: list[AccountOf] = []
    orders: list[OrderOf] = []
    tickets: list[TicketOf] = []
    created_at: Timestamp
    updated_at: Timestamp
