"""What is sent in our own format: https://www.standardwebhooks.com. Pure."""

from datetime import datetime
from typing import Any

import orjson

from card_api.events.outbox import Event
from shared.contracts.base import iso_ms

FORMAT = "callcard"
PING = "ping"


def envelope(event: Event) -> dict[str, Any]:
    """type: what happened; timestamp: when; data: the call or the customer as REST shows it."""
    return {"type": event.type, "timestamp": iso_ms(event.at), "data": event.data}


def ping(hook_name: str, now: datetime) -> dict[str, Any]:
    """What a trial sends."""
    return {"type": PING, "timestamp": iso_ms(now), "data": {"webhook": hook_name}}


def encoded(payload: dict[str, Any]) -> bytes:
    """The body."""
    return orjson.dumps(payload)
