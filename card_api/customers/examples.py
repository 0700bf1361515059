"""Bodies as the OpenAPI document shows them."""

from typing import Any

from fastapi import Body

_PERSON: dict[str, Any] = {
    "name": "Иванов Пётр Сергеевич",
    "category": "vip",
    "manager": "101",
    "phones": ["8 (900) 111-22-33", {"number": "+7 495 123-00-01 доб. 12", "purpose": "work"}],
    "accounts": [{"number": "Д-100201", "status": "active", "product": "Internet 500"}],
    "tickets": [{"number": "T-4001", "subject": "No connection since morning", "status": "open"}],
    "orders": [
        {
            "number": "70001",
            "title": "Router AX3000",
            "status": "in delivery",
            "amount": "4500.00",
            "currency": "RUB",
            "ordered_at": "2026-11-20T09:00:00Z",
        }
    ],
    "url": "https://crm.example/customers/C-1",
    "tags": ["new tariff"],
    "preferences": {"call after": "18:00"},
}
_COMPANY: dict[str, Any] = {
    "kind": "company",
    "name": "Blue Harbour Ltd",
    "country": "GB",
    "phones": ["020 7946 0007"],
    "people": [{"name": "Kate Morris", "role": "office manager"}],
}

CREATE = Body(
    openapi_examples={
        "a person": {"value": {"source": "crm", "external_id": "C-1", **_PERSON}},
        "a company": {"value": {"source": "crm", "external_id": "C-2", **_COMPANY}},
    }
)
PUT = Body(openapi_examples={"a person": {"value": _PERSON}, "a company": {"value": _COMPANY}})
PATCH = Body(
    openapi_examples={
        "another manager, no category": {"value": {"manager": "102", "category": None}},
        "one attribute of several": {"value": {"attributes": {"tariff": "Internet 1000"}}},
    }
)
MERGE = Body(
    openapi_examples={"one duplicate": {"value": {"duplicates": ["0b7e5a0e-3d2c-4f6e-9d65-0b2f0e6c7a11"]}}}
)
NOTE = Body(
    openapi_examples={
        "about a call": {"value": {"text": "Asked to be called after six", "call_id": "main-1.1"}}
    }
)
CATEGORY = Body(openapi_examples={"VIP": {"value": {"label": "VIP", "colour": "#b8860b", "priority": 10}}})
DO_NOT_CALL = Body(openapi_examples={"asked": {"value": {"reason": "asked", "comment": "Has moved away"}}})
BLACK_LIST = Body(
    openapi_examples={"for a while": {"value": {"reason": "Threats", "until": "2027-01-01T00:00:00Z"}}}
)
