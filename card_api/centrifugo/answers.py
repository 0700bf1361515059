"""What Centrifugo is answered, as JSON. Codes are those of the client protocol. Pure."""

from typing import Any

import orjson

from shared.push_control import Farewell

INVALID_TOKEN = Farewell(3500, "invalid token")


def result(fields: dict[str, Any]) -> bytes:
    return orjson.dumps({"result": fields})


def connected(fields: dict[str, Any], desk: bytes) -> bytes:
    """A connect result; `desk` is its `data`, JSON already."""
    return b'{"result":%s,"data":%s}}' % (orjson.dumps(fields)[:-1], desk)


def farewell(why: Farewell) -> bytes:
    """Close the connection."""
    return orjson.dumps({"disconnect": {"code": why.code, "reason": why.reason}})


def _error(code: int, message: str, *, temporary: bool = False) -> bytes:
    return orjson.dumps({"error": {"code": code, "message": message, "temporary": temporary}})


INTERNAL = _error(100, "internal server error", temporary=True)
UNAUTHORIZED = _error(101, "unauthorized")
UNKNOWN_CHANNEL = _error(102, "unknown channel")
PERMISSION_DENIED = _error(103, "permission denied")
METHOD_NOT_FOUND = _error(104, "method not found")
BAD_REQUEST = _error(107, "bad request")
