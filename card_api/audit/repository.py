"""All SQL about the audit log."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Text, bindparam
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.jsonb import jsonb

# Entries travel as one JSON parameter: one statement whatever their number. A row of parameters each costs what a
# look-up costs, and every look-up is audited.
_ADD = text(
    """
    insert into audit_log (at, actor_kind, actor, action, subject, detail)
    select r.at, r.actor_kind, r.actor, r.action, r.subject, r.detail
    from jsonb_to_recordset(cast(:entries as jsonb)) as r(
        at timestamptz, actor_kind text, actor text, action text, subject text, detail jsonb)
    """
).bindparams(bindparam("entries", type_=Text))


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
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        """All or none. Raises one of `DATABASE_ERRORS` when PostgreSQL is away, or refuses one of them."""
        async with self._engine.connect() as connection:
            await write_audit(connection, entries)


async def write_audit(connection: AsyncConnection, entries: Sequence[AuditEntry]) -> None:
    """In the transaction of `connection`: what is done and that it was done, both or neither. Without NUL, which a
    caller id may hold and PostgreSQL's text does not. Raises TypeError for a half character, which JSON cannot say."""
    await connection.execute(_ADD, {"entries": jsonb(entries)})
