"""What a live channel says, as lines for a terminal. Pure.

Names and numbers are masked if nothing else is wanted, and so is every text of which it is not known that it is none:
a field that a card gets tomorrow is masked until it is named here.
"""

from datetime import datetime, tzinfo
from typing import Any

import orjson

from shared.contracts.base import iso_ms
from shared.observability import mask_number

# Texts that say nothing about a person: states, ids and moments.
_OPEN = frozenset(
    {
        *("type", "call_id", "state", "close_reason", "end_reason", "match", "status", "matched_by", "kind"),
        *("channel", "agent", "user", "client", "customer_id", "source", "pbx", "queue", "line", "did"),
        *("direction", "presentation", "method"),
        *("started_at", "ringing_at", "answered_at", "ended_at", "expires_at", "opened_at", "ordered_at"),
        *("at", "due_at", "until", "since", "arrived", "looked_up", "rang", "pushed", "shown"),
    }
)
# More of a publication that is no card does not fit a line.
_REST_CHARS = 160


def mask_text(text: str) -> str:
    """`+7903…67` of a number, the first letters of anything else."""
    if text.lstrip("+").isdigit():
        return mask_number(text) or ""
    return " ".join(word[0] + "…" for word in text.split())


def masked(value: Any, field: str = "") -> Any:
    """The same document without what is personal."""
    if isinstance(value, dict):
        return {name: masked(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [masked(inner, field) for inner in value]
    return mask_text(value) if isinstance(value, str) and field not in _OPEN else value


def json_line(push: dict[str, Any], at: datetime, personal: bool) -> str:
    """The push as it goes to the tabs, with its moment: `{"at", "channel", "pub": {"data", "offset"}}`."""
    return orjson.dumps({"at": iso_ms(at), **(push if personal else masked(push))}).decode()


def line(push: dict[str, Any], at: datetime, zone: tzinfo, personal: bool) -> str:
    """Time, channel, offset, and what it is; `at` in UTC is shown in `zone`."""
    moment = f"{at.astimezone(zone):%H:%M:%S}.{at.microsecond // 1000:03d}"
    head = f"{moment}  {push['channel']}"
    for what, words in (("join", "a tab came"), ("leave", "a tab left")):
        if what in push:
            info = push[what]["info"]
            return f"{head}  {words}: {info['user']} ({info['client']})"
    data = push["pub"]["data"] if personal else masked(push["pub"]["data"])
    return f"{head}  #{push['pub']['offset']}  {_what(data)}"


def _what(data: Any) -> str:
    match data:
        case {"type": "card", "card": {"call_id": call_id, "rev": rev, "state": state}}:
            card = data["card"]
            return "  ".join((_state(state, card), _caller(card), f"{call_id} rev {rev}"))
        case {"type": str(kind), **rest}:
            return f"{kind}  {_short(rest)}"
    return _short(data)


def _state(state: str, card: dict[str, Any]) -> str:
    reason = card.get("close_reason")
    return f"card {state} ({reason})" if reason else f"card {state}"


def _caller(card: dict[str, Any]) -> str:
    call = card.get("call", {})
    nobody = "no number" if call.get("presentation", "allowed") == "allowed" else "number withheld"
    number = call.get("number") or nobody
    name = card.get("caller", {}).get("name")
    return f"{number} {name}" if name else number


def _short(data: Any) -> str:
    text = orjson.dumps(data).decode()
    return text if len(text) <= _REST_CHARS else text[: _REST_CHARS - 1] + "…"
