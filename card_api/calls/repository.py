"""All SQL about calls."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Text, bindparam, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import any_, text

from card_api.calls.models import calls
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

# The rows travel as one JSON parameter: one statement whatever their number, prepared once. The document is cut out of
# the update as it came over the wire, so nothing a newer listener says is lost on the way.
_STORE = text(
    f"""
    insert into calls (call_id, {", ".join(_COLUMNS)}, document)
    select r.call_id, {", ".join("r." + c for c in _COLUMNS)}, r.update -> 'call'
    from jsonb_to_recordset(cast(:rows as jsonb)) as r(
        call_id text, {", ".join(f"{c} {t}" for c, t in _COLUMNS.items())}, update jsonb)
    on conflict (call_id) do update set
        {", ".join(f"{c} = excluded.{c}" for c in _COLUMNS)}, document = excluded.document, stored_at = now()
    where calls.version < excluded.version
    returning call_id
    """  # noqa: S608 - only the column names above are put in; the values are bound
).bindparams(bindparam("rows", type_=Text))


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call as it is stored: the columns that are searched, and the update as it came."""

    call_id: str
    columns: dict[str, Any]
    raw: bytes


@dataclass(frozen=True, slots=True)
class StoredCall:
    call: Call
    version: int


class CallRepository:
    """Every method raises one of `DATABASE_ERRORS` when PostgreSQL is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def store(self, rows: Sequence[CallRow]) -> set[str]:
        """Write those rows that are newer than what is there, all or nothing; returns their ids.

        `rows`: at most one a call (PostgreSQL refuses to touch a row twice in one statement).
        """
        # In one order everywhere, so that two consumers never wait for each other's rows.
        ordered = sorted(rows, key=lambda row: row.call_id)
        parameter = _json(
            [{"call_id": r.call_id, **r.columns, "update": orjson.Fragment(r.raw)} for r in ordered]
        )
        async with self._reading.connect() as connection:
            result = await connection.execute(_STORE, {"rows": parameter})
            return set(result.scalars())

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


def _json(rows: list[dict[str, Any]]) -> str:
    """JSON that PostgreSQL's jsonb takes: it has no NUL in text, but a caller's name may."""
    encoded = orjson.dumps(rows)
    if b"\\u0000" in encoded:
        encoded = orjson.dumps(_without_nul(orjson.loads(encoded)))
    return encoded.decode()


def _without_nul(value: Any) -> Any:
    match value:
        case str():
            return value.replace("\0", "")
        case list():
            return [_without_nul(item) for item in value]
        case dict():
            return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return value
