"""All that is kept about a person as one JSON document, made piece by piece: calls may be many."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Text, Uuid, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import TextClause, text

from card_api.audit.repository import AuditEntry, write_audit
from card_api.customers.actor import Actor
from card_api.customers.document import read_customers
from card_api.customers.erasure.person import Person
from card_api.customers.erasure.service import group_of
from card_api.transaction import transaction

# Documents in memory at once.
_AT_ONCE = 200


def _rows(columns: str, source: str) -> TextClause:
    return text(
        f"select cast(row_to_json(x) as text) from (select {columns} from {source}) x"  # noqa: S608 - constants
    ).bindparams(
        *(
            bindparam(name, type_=ARRAY(kind))
            for name, kind in {"ids": Uuid, "call_ids": Text, "numbers": Text, "subjects": Text}.items()
            if f":{name}" in source
        )
    )


_NOTES = _rows(
    "id, customer_id, call_id, text, author_kind, author, at",
    "notes where customer_id = any(:ids) or call_id = any(:call_ids) order by at",
)
_IDENTITIES = _rows(
    "*", "call_identities where customer_id = any(:ids) or call_id = any(:call_ids) order by at"
)
_DO_NOT_CALL = _rows("*", "do_not_call where e164 = any(:numbers) order by e164")
_BLACK_LIST = _rows("*", "black_list where e164 = any(:numbers) order by e164")
_AUDIT = _rows(
    "at, actor_kind, actor, action, subject, detail", "audit_log where subject = any(:subjects) order by at"
)
_CALLS = _rows("pbx, version, agents, document", "calls where call_id = any(:call_ids) order by started_at")


class SubjectExport:
    def __init__(self, engine: AsyncEngine, now: Callable[[], datetime]) -> None:
        self._engine = engine
        self._now = now

    async def open(self, actor: Actor, id_: UUID) -> AsyncIterator[bytes]:
        """The pieces of the document. Raises `NotFound` at once; it is written down who asked before a piece is out."""
        async with transaction(self._engine) as connection:
            person, _ = await group_of(connection, id_)
            customers = await read_customers(connection, person.ids)
            entry = AuditEntry(self._now(), actor.kind, actor.audit, "customer.exported", str(id_))
            await write_audit(connection, [entry])
        head = b",".join(customer.to_json() for customer in customers)
        return self._pieces(person, head)

    async def _pieces(self, person: Person, customers: bytes) -> AsyncIterator[bytes]:
        ids, numbers, calls = list(person.ids), list(person.numbers), list(person.call_ids)
        yield b'{"customers":[' + customers + b"]"
        remarks: dict[str, list[Any]] = {"ids": ids, "call_ids": calls}
        yield b',"notes":' + await self._list(_NOTES, remarks)
        yield b',"call_identities":' + await self._list(_IDENTITIES, remarks)
        yield b',"do_not_call":' + await self._list(_DO_NOT_CALL, {"numbers": numbers})
        yield b',"black_list":' + await self._list(_BLACK_LIST, {"numbers": numbers})
        yield b',"audit":' + await self._list(_AUDIT, {"subjects": [*map(str, ids), *numbers]})
        yield b',"calls":['
        for begin in range(0, len(calls), _AT_ONCE):
            part = await self._list(_CALLS, {"call_ids": calls[begin : begin + _AT_ONCE]})
            yield (b"," if begin else b"") + part[1:-1]
        yield b"]}"

    async def _list(self, statement: TextClause, values: dict[str, list[Any]]) -> bytes:
        """A connection for this piece only: a reader may be slow."""
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(statement, values)).scalars()
            return ("[" + ",".join(rows) + "]").encode()
