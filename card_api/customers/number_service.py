"""Two lists of numbers: nobody calls those of the one, those of the other are not put through."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Table
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.audit.repository import AuditEntry, write_audit
from card_api.audit.service import AuditService
from card_api.customers.actor import Actor
from card_api.customers.numbers import delete_number, put_number, read_number, read_numbers
from card_api.transaction import transaction
from shared.errors import NotFound, Unprocessable
from shared.phone import normalise

Row = dict[str, Any]


class NumberList:
    """One of the lists. Numbers come in any writing; without a country code they are of `country`. All methods raise
    the problems that REST answers with."""

    def __init__(
        self,
        engine: AsyncEngine,
        table: Table,
        audit: AuditService,
        country: str,
        now: Callable[[], datetime],
    ) -> None:
        self._engine = engine
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._table = table
        self._audit = audit
        self._country = country
        self._now = now

    async def list(self, actor: Actor, after: str | None, limit: int, reason: str | None = None) -> list[Row]:
        where: list[ColumnElement[bool]] = [] if reason is None else [self._table.c.reason == reason]
        async with transaction(self._reading) as connection:
            found = await read_numbers(connection, self._table, after, limit, where)
        self._audit.note(self._entry(actor, "listed", None))
        return [_shown(row) for row in found]

    async def get(self, actor: Actor, number: str) -> Row:
        e164 = e164_of(number, self._country)
        async with transaction(self._reading) as connection:
            found = await read_number(connection, self._table, e164)
        if found is None:
            raise self._unknown(e164)
        self._audit.note(self._entry(actor, "read", e164))
        return _shown(found)

    async def put(self, actor: Actor, number: str, values: Mapping[str, Any]) -> Row:
        e164 = e164_of(number, self._country)
        said = {**values, "by_kind": actor.kind, "by": actor.shown}
        async with transaction(self._engine) as connection:
            row = await put_number(connection, self._table, e164, said)
            await write_audit(connection, [self._entry(actor, "put", e164)])
        return _shown(row)

    async def delete(self, actor: Actor, number: str) -> None:
        e164 = e164_of(number, self._country)
        async with transaction(self._engine) as connection:
            if not await delete_number(connection, self._table, e164):
                raise self._unknown(e164)
            await write_audit(connection, [self._entry(actor, "deleted", e164)])

    def _unknown(self, e164: str) -> NotFound:
        return NotFound(f"The number {e164} is not on this list.")

    def _entry(self, actor: Actor, what: str, e164: str | None) -> AuditEntry:
        return AuditEntry(self._now(), actor.kind, actor.audit, f"{self._table.name}.{what}", e164)


def e164_of(number: str, country: str) -> str:
    """A number in any writing. Raises `Unprocessable`."""
    e164 = normalise(number, country)
    if e164 is None:
        raise Unprocessable(
            "The number is no phone number: write it with the country code, like +79001112233, or as it is "
            f"dialled in {country}."
        )
    return e164


def _shown(row: Row) -> Row:
    return {**row, "number": row["e164"]}
