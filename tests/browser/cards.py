"""Cards as the card API sends them, for tests of the page: one full customer, and what differs."""

from datetime import UTC, datetime, timedelta
from typing import Any

from shared.contracts.base import iso_ms
from shared.contracts.card import Card

AGENT = {
    "login": "agent101",
    "name": "Ольга Смирнова",
    "extension": "101",
    "role": "agent",
    "language": "ru",
}


ACTIONS = ("identify", "person", "notes", "customer", "number")


def actions(call_id: str) -> list[dict[str, str]]:
    """As the API offers them."""
    return [{"name": name, "url": f"/api/v1/cards/{call_id}/{name}"} for name in ACTIONS]


def ago(**duration: float) -> str:
    return iso_ms(datetime.now(UTC) - timedelta(**duration))


def card(call_id: str = "main-1", rev: int = 10, state: str = "ringing", **changes: Any) -> dict[str, Any]:
    """A card on the wire: a known customer whose call rings since 3 s; `changes` replace whole fields."""
    call = {
        "pbx": "main",
        "direction": "inbound",
        "state": "ringing",
        "number": "+79031234567",
        "did": "+74951230000",
        "queue": "support",
        "digits": ["2"],
        "started_at": ago(seconds=24),
        "ringing_at": ago(seconds=3),
    }
    if state in ("answered", "held"):
        call |= {"state": "answered", "answered_at": ago(seconds=83), "ringing_at": ago(seconds=90)}
    call |= changes.pop("call", {})
    fields: dict[str, Any] = {
        "call_id": call_id,
        "rev": rev,
        "state": state,
        "agent": AGENT["login"],
        "call": call,
        "match": "one",
        "caller": {
            "customer_id": "1007",
            "source": "crm",
            "external_id": "1007",
            "kind": "person",
            "matched_by": "number",
            "name": "Анна Петрова",
            "display_number": "+7 903 123-45-67",
            "names": [{"name": "Анна Петрова", "source": "customers"}],
            "accounts": [
                {
                    "number": "40-118-7",
                    "status": "активен",
                    "product": "Домашний интернет 300",
                    "source": "customers",
                },
                {"number": "40-118-9", "status": "приостановлен", "product": "ТВ", "source": "customers"},
            ],
            "category": {"code": "vip", "label": "VIP", "colour": "#b8860b"},
            "manager": "Игорь Волков",
            "tags": ["переезд"],
            "origins": {"name": "crm", "category": "1c", "manager": "1c"},
        },
        "greeting": "Анна Сергеевна, здравствуйте! Компания «Связь», меня зовут Ольга.",
        "script": "Уточните, удалось ли подключить роутер после вчерашнего визита мастера.",
        "tickets": [
            {
                "number": "T-2041",
                "subject": "Нет интернета после грозы",
                "status": "в работе",
                "opened_at": ago(days=1),
                "url": "https://help.example/T-2041",
                "source": "customers",
            }
        ],
        "orders": [
            {
                "number": "5512",
                "title": "Роутер AX3000",
                "status": "доставлен",
                "amount": "4990.00 RUB",
                "ordered_at": ago(days=12),
                "source": "customers",
            }
        ],
        "history": [
            {
                "call_id": "main-0",
                "at": ago(days=1, hours=2),
                "direction": "inbound",
                "end_reason": "completed",
                "agent": "agent103",
                "queue": "support",
                "talk_seconds": 254,
            },
            {
                "call_id": "main-00",
                "at": ago(days=9),
                "direction": "inbound",
                "end_reason": "abandoned",
                "queue": "billing",
            },
        ],
        "actions": actions(call_id),
        "sources": [{"name": "customers", "status": "ok", "ms": 1.2}],
        "expires_at": iso_ms(datetime.now(UTC) + timedelta(minutes=2)),
        "timings": {"arrived": ago(seconds=24), "rang": ago(seconds=3)},
    }
    return Card.model_validate(fields | changes).to_dict()


def closed(
    call_id: str = "main-1", rev: int = 20, reason: str = "caller_gave_up", **changes: Any
) -> dict[str, Any]:
    call = {"state": "ended", "ended_at": ago(), "end_reason": "abandoned"} | changes.pop("call", {})
    return card(call_id, rev, "closed", close_reason=reason, call=call, **changes)


def several(call_id: str = "main-2", rev: int = 10, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "match": "several",
        "caller": {"display_number": "+7 903 555-11-22"},
        "call": {"number": "+79035551122"},
        "candidates": [
            {
                "customer_id": "7",
                "source": "1c",
                "external_id": "r-7",
                "name": "ООО «Ромашка»",
                "why": "контактный номер договора 77-2",
                "score": 0.4,
            },
            {
                "customer_id": None,
                "source": "crm",
                "external_id": "8",
                "name": "Пётр Ильин",
                "why": "звонил с этого номера вчера",
                "score": 0.9,
            },
        ],
        "greeting": None,
        "script": None,
        "history": [],
        "tickets": [],
        "orders": [],
    }
    return card(call_id, rev, **(fields | changes))


def unknown(call_id: str = "main-3", rev: int = 10, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "match": "none",
        "caller": {"display_number": "+7 812 300-20-10"},
        "call": {"number": "+78123002010"},
        "greeting": "Здравствуйте! Компания «Связь», меня зовут Ольга. Как я могу к вам обращаться?",
        "script": None,
        "history": [],
        "tickets": [],
        "orders": [],
    }
    return card(call_id, rev, **(fields | changes))


def withheld(call_id: str = "main-4", rev: int = 10, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "match": "withheld",
        "caller": {},
        "call": {"number": None, "presentation": "withheld"},
        "greeting": "Здравствуйте! Компания «Связь», меня зовут Ольга. Как я могу к вам обращаться?",
        "script": None,
        "history": [],
        "tickets": [],
        "orders": [],
    }
    return card(call_id, rev, **(fields | changes))
