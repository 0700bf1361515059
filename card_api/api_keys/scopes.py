"""What a key may be allowed to do: the one list that routes, the command line and the OpenAPI document show."""

from collections.abc import Collection
from typing import Literal

ADMIN = "admin"

Scope = Literal[
    "lookup",
    "floor",
    "customers:read",
    "customers:write",
    "calls:read",
    "calls:write",
    "webhooks",
    "admin",
]

SCOPES: dict[Scope, str] = {
    "lookup": "ask who is behind a number",
    "floor": "see telephone systems, queues and phones",
    "customers:read": "read, list and export customers",
    "customers:write": "add, change, merge and import customers",
    "calls:read": "list calls and read a whole one",
    "calls:write": "tell of calls of another telephone system",
    "webhooks": "set up web hooks, see and repeat their deliveries",
    "admin": "everything, also API keys, the audit log and erasing a person",
}
"""Each scope and what it allows, as "may …". `admin` includes all others."""


def allows(scopes: Collection[str], wanted: Scope) -> bool:
    """May a key with these scopes do what `wanted` is for?"""
    return wanted in scopes or ADMIN in scopes


def described() -> str:
    """The list for people: `lookup` ask who …; a line each, Markdown."""
    return "\n".join(f"- `{name}`: {what}" for name, what in SCOPES.items())
