"""All SQL about the audit log."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from card_api.audit.models import audit_log


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to whom. `subject`: the number or id it was about."""

    at: datetime
    actor_kind: Literal["agent", "api_key", "system"]
    actor: str
    action: str
    subject: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)


class AuditRepository:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        """All or none. Raises one of `DATABASE_ERRORS` when PostgreSQL is away."""
        async with self._engine.begin() as connection:
            await write_audit(connection, entries)


async def write_audit(connection: AsyncConnection, entries: Sequence[AuditEntry]) -> None:
    """In the transaction of `connection`: what is done and that it was done, both or neither. Without NUL, which a
    caller id may hold and PostgreSQL's text does not."""
    values = [
        {
            "at": e.at,
            "actor_kind": e.actor_kind,
            "actor": e.actor,
            "action": e.action,
            "subject": None if e.subject is None else e.subject.replace("\0", ""),
            "detail": {k: v.replace("\0", "") if isinstance(v, str) else v for k, v in e.detail.items()},
        }
        for e in entries
    ]
    await connection.execute(insert(audit_log), values)
