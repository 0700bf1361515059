"""What every contract has in common: strict models, UTC timestamps in milliseconds."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, PlainSerializer


def to_utc(value: datetime) -> datetime:
    """Any datetime as UTC; one without a zone is taken as UTC, the only zone we put on a wire."""
    if value.tzinfo is UTC:  # ours, built many times a call
        return value
    if value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    try:
        return value.astimezone(UTC)
    except OverflowError:  # the last hours of year 9999 west of Greenwich, the first of year 1 east of it
        raise ValueError("is beyond the calendar in UTC") from None


# Each update and card of a call repeats most of its moments; writing them was half the cost of its JSON. This many are
# a second of a thousand calls.
@lru_cache(maxsize=8192)
def iso_ms(value: datetime) -> str:
    """`2026-11-21T22:42:09.490Z`: ISO 8601, UTC, milliseconds."""
    # Python's isoformat() takes five times as long for the same signs, to find out that UTC is +00:00.
    written = orjson.dumps(to_utc(value))
    return (written[1:24] if value.microsecond else written[1:20] + b".000").decode() + "Z"


Timestamp = Annotated[
    datetime, AfterValidator(to_utc), PlainSerializer(iso_ms, return_type=str, when_used="json")
]
"""A moment. UTC, ISO 8601 with milliseconds in JSON."""


class Contract(BaseModel):
    """Base of everything on a wire. Readers ignore fields they do not know, so writers may be newer."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True, serialize_by_alias=True)

    def to_json(self) -> bytes:
        """The wire form: JSON with the aliases of the contract."""
        return self.model_dump_json().encode()

    def to_dict(self) -> dict[str, Any]:
        """The wire form as plain JSON types."""
        return self.model_dump(mode="json")
