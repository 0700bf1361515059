"""All SQL about calls."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
from sqlalchemy import Text, bindparam, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import any_, text

from card_api.calls.happened import CALL_EVENTS, Standing, happened
from card_api.calls.models import calls
from card_api.calls.row import CallRow
from card_api.events.outbox import Event, NobodyListens, Outbox
from card_api.jsonb import jsonb
from shared.contracts.call import Call, CallState

# Set anew by an update with a higher version; `call_id` is the key.
_COLUMNS = {
    "pbx": "text",
    "version": "bigint",
    "direction": "text",
    "state": "text",
    "caller_number": "text",
    "caller_name": "text",
    "did": "text",
    "customer_number": "text",
    "queue": "text",
    "agents": "text[]",
    "started_at": "timestamptz",
    "answered_at": "timestamptz",
    "ended_at": "timestamptz",
    "end_reason": "text",
    "talk_seconds": "integer",
    "missed": "boolean",
}

_ROWS = f"""
    jsonb_to_recordset(cast(:rows as jsonb)) as r(
        call_id text, {", ".join(f"{c} {t}" for c, t in _COLUMNS.items())}, update jsonb)
"""
# The rows travel as one JSON parameter: one statement whatever their number, prepared once. The document is cut out of
# the update as it came over the wire, so nothing a newer listener says is lost on the way.
_PUT = f"""
    insert into calls (call_id, {", ".join(_COLUMNS)}, document)
    select r.call_id, {", ".join("r." + c for c in _COLUMNS)}, r.update -> 'call' from {_ROWS}
    on conflict (call_id) do update set
        {", ".join(f"{c} = excluded.{c}" for c in _COLUMNS)}, document = excluded.document, stored_at = now()
    where calls.version < excluded.version
    returning call_id
"""  # noqa: S608 - only the column names above are put in; the values are bound
_STORE = text(_PUT).bindparams(bindparam("rows", type_=Text))
# The same, telling how each of the written calls stood before. Its snapshot may be older than what it overwrites, if
# another process writes the same call just then: events are then found twice, never missed, and have one id.
_STORE_AND_TELL = text(
    f"""
    with put as ({_PUT}),
    old as (select calls.call_id, calls.state, calls.answered_at, calls.missed
            from calls join {_ROWS} using (call_id))
    select put.call_id, old.call_id is not null as known, old.state, old.answered_at, old.missed
    from put left join old using (call_id)
    """  # noqa: S608
).bindparams(bindparam("rows", type_=Text))


@dataclass(frozen=True, slots=True)
class StoredCall:
    call: Call
    version: int


def _now() -> datetime:
    return datetime.now(UTC)


class CallRepository:
    """Every method raises one of `DATABASE_ERRORS` when PostgreSQL is away."""

    def __init__(
        self, engine: AsyncEngine, outbox: Outbox | None = None, now: Callable[[], datetime] = _now
    ) -> None:
        self._engine = engine
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._outbox = outbox or NobodyListens()
        self._now = now

    async def store(self, rows: Sequence[CallRow]) -> set[str]:
        """Write those rows that are newer than what is there, all or nothing; returns their ids. What became true by
        them (started, answered, ended, missed) goes to the outbox, in the same transaction.

        `rows`: at most one a call (PostgreSQL refuses to touch a row twice in one statement).
        """
        # In one order everywhere, so that two consumers never wait for each other's rows.
        ordered = sorted(rows, key=lambda row: row.call_id)
        parameter = jsonb(
            [{"call_id": r.call_id, **r.columns, "update": orjson.Fragment(r.raw)} for r in ordered]
        )
        if await self._outbox.wanted(*CALL_EVENTS):
            return await self._store_and_tell(ordered, parameter)
        async with self._reading.connect() as connection:
            result = await connection.execute(_STORE, {"rows": parameter})
            return set(result.scalars())

    async def _store_and_tell(self, ordered: Sequence[CallRow], parameter: str) -> set[str]:
        """Write, and say in the same transaction what became true by it."""
        async with self._engine.begin() as connection:
            written = {
                row.call_id: row for row in await connection.execute(_STORE_AND_TELL, {"rows": parameter})
            }
            events: list[Event] = []
            for row in ordered:
                if (w := written.get(row.call_id)) is not None:
                    before = Standing(w.state, w.answered_at, w.missed) if w.known else None
                    events += happened(before, row, self._now())
            await self._outbox.add(connection, events)
        return set(written)

    async def versions(self, call_ids: Collection[str]) -> dict[str, int]:
        """The stored version of each of these calls that is stored."""
        wanted = bindparam("ids", list(call_ids), type_=ARRAY(Text))
        statement = select(calls.c.call_id, calls.c.version).where(calls.c.call_id == any_(wanted))
        async with self._reading.connect() as connection:
            rows = await connection.execute(statement)
            return {row.call_id: row.version for row in rows}

    async def ended_among(self, call_ids: Collection[str]) -> set[str]:
        """Which of these calls are over, as far as is stored."""
        wanted = bindparam("ids", list(call_ids), type_=ARRAY(Text))
        statement = select(calls.c.call_id).where(
            calls.c.call_id == any_(wanted), calls.c.state == CallState.ENDED.value
        )
        async with self._reading.connect() as connection:
            return set((await connection.execute(statement)).scalars())

    async def open_calls(self, pbx: str | None = None) -> list[StoredCall]:
        """Every call that is not over, of one PBX or of all."""
        statement = (
            select(calls.c.document, calls.c.version)
            .where(text("state <> 'ended'"))  # literal, so that the partial index is used
            .order_by(calls.c.started_at)
        )
        if pbx is not None:
            statement = statement.where(calls.c.pbx == pbx)
        async with self._reading.connect() as connection:
            rows = (await connection.execute(statement)).all()
        return [StoredCall(Call.model_validate(document), version) for document, version in rows]

    async def get(self, call_id: str) -> StoredCall | None:
        statement = select(calls.c.document, calls.c.version).where(calls.c.call_id == call_id)
        async with self._reading.connect() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return None if row is None else StoredCall(Call.model_validate(row.document), row.version)
