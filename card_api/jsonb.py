"""Rows that travel to PostgreSQL as one JSON parameter."""

from typing import Any

import orjson


def jsonb(value: Any) -> str:
    """JSON that PostgreSQL's jsonb takes: it has no NUL in text, but a caller's name may. What JSON has no type for
    (asyncpg's UUIDs, decimals) becomes text."""
    encoded = orjson.dumps(value, default=str)
    if b"\\u0000" in encoded:
        encoded = orjson.dumps(_without_nul(orjson.loads(encoded)))
    return encoded.decode()


def _without_nul(value: Any) -> Any:
    match value:
        case str():
            return value.replace("\0", "")
        case list():
            return [_without_nul(item) for item in value]
        case dict():
            return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return value
