"""Pages by key: a cursor names the row after which the next page begins, so rows that come or go meanwhile are neither
shown twice nor skipped, and the last page costs what the first does.

For every listing of the API. A repository orders by columns that are unique together, asks for `limit + 1` rows after
`read_cursor(given, datetime, UUID)`, and makes the answer with `page(rows, limit, key)`:

    select … where (updated_at, id) > (:at, :id) order by updated_at, id limit :limit + 1
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field

from shared.errors import Unprocessable

Row = TypeVar("Row")
Item = TypeVar("Item")

# Ours are below 200; anything longer was made by somebody else.
_LONGEST = 500

After = Annotated[
    str | None,
    Query(
        alias="cursor",
        max_length=_LONGEST,
        description="`next` of the page before; leave out for the first page",
    ),
]
Size = Annotated[int, Query(alias="limit", ge=1, le=500, description="rows a page")]


class Page(BaseModel, Generic[Item]):
    """A part of a listing."""

    items: list[Item]
    next: str | None = Field(None, description="`cursor` of the next page; null: this was the last")


def cursor(*key: datetime | UUID | int | str) -> str:
    """The cursor that names this row."""
    return urlsafe_b64encode(json.dumps([_plain(part) for part in key]).encode()).decode().rstrip("=")


def read_cursor(given: str, *kinds: type[datetime] | type[UUID] | type[int] | type[str]) -> list[Any]:
    """The key in a cursor, as values of these kinds. Raises `Unprocessable` if `cursor()` has not made it."""
    try:
        key = json.loads(urlsafe_b64decode(given + "=" * (-len(given) % 4)))
        if not isinstance(key, list):
            raise ValueError("no list")
        return [_value(part, kind) for part, kind in zip(key, kinds, strict=True)]
    except (ValueError, OverflowError):
        raise Unprocessable(
            "The cursor is none of ours: send `next` of the page before as it came, with the same filters."
        ) from None


def page(rows: Sequence[Row], limit: int, key: Callable[[Row], str]) -> tuple[Sequence[Row], str | None]:
    """(the rows of this page, the cursor of the next one). rows: `limit + 1` of them, if there are as many."""
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], key(rows[limit - 1])


def _plain(part: datetime | UUID | int | str) -> int | str:
    if isinstance(part, datetime):
        return part.isoformat()
    return part if isinstance(part, int | str) else str(part)


def _value(part: Any, kind: type[Any]) -> Any:
    if kind is int:
        # PostgreSQL's bigint; JSON has no limit.
        if not isinstance(part, int) or isinstance(part, bool) or abs(part) >= 2**63:
            raise ValueError("no number")
        return part
    if not isinstance(part, str) or "\0" in part:
        raise ValueError("no text")
    part.encode()  # half a character is none for PostgreSQL either
    if kind is datetime:
        at = datetime.fromisoformat(part)
        if at.tzinfo is None:
            raise ValueError("no zone")
        return at.astimezone(UTC)
    return part if kind is str else kind(part)
