"""Reading the audit log: all its SQL. Newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Uuid, bindparam, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.audit.models import audit_log


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What an entry must be; None: whatever it is. subject: a number in E.164 or another text, as it was written down;
    customer_id: about this customer or one of its numbers. after: (at, id) of the last entry of the page before."""

    subject: str | None = None
    customer_id: UUID | None = None
    actor: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: tuple[datetime, int] | None = None


_SHOWN = (
    audit_log.c.id,
    audit_log.c.at,
    audit_log.c.actor_kind,
    audit_log.c.actor,
    audit_log.c.action,
    audit_log.c.subject,
    audit_log.c.detail,
)

# Look-ups and cards are written down by number, changes by customer: "who looked at this customer" means both.
_OF_CUSTOMER = """
    audit_log.subject = any(array(
        select p.e164 from customer_phones p, customers g, customers c
        where c.id = :customer_id and p.customer_id = g.id and p.e164 is not null
        and (g.id = coalesce(c.merged_into, c.id) or g.merged_into = coalesce(c.merged_into, c.id))
        union all select cast(:customer_id as text)))
"""


class AuditQuery:
    """Raises one of `DATABASE_ERRORS` when PostgreSQL is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def find(self, wanted: AuditFilter, most: int) -> Sequence[Any]:
        """At most so many rows with the columns of `AuditItem`."""
        async with self._engine.connect() as connection:
            rows: Sequence[Any] = (await connection.execute(statement(wanted, most))).all()
            return rows


def statement(wanted: AuditFilter, most: int) -> Select[Any]:
    """The statement that finds them."""
    newest_first = (audit_log.c.at.desc(), audit_log.c.id.desc())
    return select(*_SHOWN).where(*_conditions(wanted)).order_by(*newest_first).limit(most)


def _conditions(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.subject is not None:
        found.append(audit_log.c.subject == wanted.subject)
    if wanted.customer_id is not None:
        customer = bindparam("customer_id", wanted.customer_id, type_=Uuid)
        found.append(text(_OF_CUSTOMER).bindparams(customer))  # type: ignore[arg-type]
    if wanted.actor is not None:
        found.append(audit_log.c.actor == wanted.actor)
    if wanted.action is not None:
        found.append(audit_log.c.action == wanted.action)
    if wanted.since is not None:
        found.append(audit_log.c.at >= wanted.since)
    if wanted.until is not None:
        found.append(audit_log.c.at < wanted.until)
    if wanted.after is not None:
        at, entry_id = wanted.after
        found.append(tuple_(audit_log.c.at, audit_log.c.id) < tuple_(literal(at), literal(entry_id)))
    return found
