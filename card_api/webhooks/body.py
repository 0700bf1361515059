"""What is sent in our own format: https://www.standardwebhooks.com. Pure."""

from typing import Any

import orjson

from card_api.events.outbox import Event

FORMAT = "callcard"
PING = "ping"


def envelope(event: Event) -> dict[str, Any]:
    """type: what happened; timestamp: when; data: the call or the customer as REST shows it."""
    return {"type": event.type, "timestamp": event.at, "data": event.data}


def encoded(payload: dict[str, Any]) -> bytes:
    """The body."""
    return orjson.dumps(payload)
