"""All that is kept about a person as one JSON document, made piece by piece: calls may be many."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Text, Uuid, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql.expression import TextClause, text

from card_api.audit.repository import AuditEntry, write_audit
from card_api.customers.actor import Actor
from card_api.customers.document import read_customers
from card_api.customers.erasure.person import Person, read_person
from card_api.transaction import transaction
from shared.errors import NotFound

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
        """The pieces of the document. Raises `NotFound` and `Unavailable` at once: all but a company's many calls is
        read before a piece is out, and who asked is written down with it."""
        async with transaction(self._engine) as connection:
            person = await read_person(connection, id_)
            if person is None:
                raise NotFound(f"No customer {id_} is known.")
            entry = AuditEntry(self._now(), actor.kind, actor.audit, "customer.exported", str(id_))
            await write_audit(connection, [entry])
            head = await _head(connection, person)
        return self._pieces(head, list(person.call_ids[_AT_ONCE:]))

    async def _pieces(self, head: bytes, further_calls: list[str]) -> AsyncIterator[bytes]:
        yield head
        comma = b"" if head.endswith(b"[") else b","
        for begin in range(0, len(further_calls), _AT_ONCE):
            # A connection for this piece only: a reader may be slow.
            async with transaction(self._engine) as connection:
                part = await _rows_of(connection, _CALLS, call_ids=further_calls[begin : begin + _AT_ONCE])
            if part:
                yield comma + part
                comma = b","
        yield b"]}"


async def _head(connection: AsyncConnection, person: Person) -> bytes:
    """Up to the first calls, whose list stays open."""
    ids, calls, numbers = list(person.ids), list(person.call_ids), list(person.numbers)
    customers = await read_customers(connection, person.ids)
    subjects = [*map(str, ids), *numbers]
    lists = {
        b"customers": b",".join(customer.to_json() for customer in customers),
        b"notes": await _rows_of(connection, _NOTES, ids=ids, call_ids=calls),
        b"call_identities": await _rows_of(connection, _IDENTITIES, ids=ids, call_ids=calls),
        b"do_not_call": await _rows_of(connection, _DO_NOT_CALL, numbers=numbers),
        b"black_list": await _rows_of(connection, _BLACK_LIST, numbers=numbers),
        b"audit": await _rows_of(connection, _AUDIT, subjects=subjects),
    }
    first = await _rows_of(connection, _CALLS, call_ids=calls[:_AT_ONCE])
    whole = b"".join(b'"%b":[%b],' % one for one in lists.items())
    return b'{%b"calls":[%b' % (whole, first)


async def _rows_of(connection: AsyncConnection, statement: TextClause, **values: list[Any]) -> bytes:
    """JSON of the rows, with commas between them."""
    return ",".join((await connection.execute(statement, values)).scalars()).encode()
