"""SQL of the notes that people write down about customers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, literal_column, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from card_api.customers.models import customers, notes
from shared.contracts.card import Note

LOGIN = "case when n.author_kind = 'agent' then n.author end"
AUTHOR = f"coalesce((select a.name from agents a where a.login = {LOGIN}), n.author)"  # noqa: S608 - constants
"""SQL, of a row `n`: the login if an agent wrote it, and who wrote it as people know them. Names change, so a note
keeps the login."""

_N = notes.alias("n")
_NOTES = select(
    _N.c.id,
    _N.c.text,
    literal_column(AUTHOR).label("author"),
    literal_column(LOGIN).label("login"),
    _N.c.at,
    _N.c.call_id,
)


@dataclass(frozen=True, slots=True)
class NewNote:
    text: str
    author_kind: str
    author: str
    call_id: str | None = None


async def add_note(connection: AsyncConnection, customer_id: UUID, new: NewNote) -> Note:
    statement = insert(notes).values(
        customer_id=customer_id,
        call_id=new.call_id,
        text=new.text,
        author_kind=new.author_kind,
        author=new.author,
    )
    id_ = await connection.scalar(statement.returning(notes.c.id))
    return _note((await connection.execute(_NOTES.where(_N.c.id == id_))).one())


async def read_notes(
    connection: AsyncConnection, customer_id: UUID, after: tuple[datetime, UUID] | None, limit: int
) -> Sequence[Note]:
    """Of the record and of those merged into it, newest first."""
    same = select(customers.c.id).where(
        or_(customers.c.id == customer_id, customers.c.merged_into == customer_id)
    )
    statement = _NOTES.where(_N.c.customer_id.in_(same)).order_by(_N.c.at.desc(), _N.c.id.desc()).limit(limit)
    if after is not None:
        statement = statement.where(tuple_(_N.c.at, _N.c.id) < tuple_(*after))
    return [_note(row) for row in await connection.execute(statement)]


async def delete_note(connection: AsyncConnection, customer_id: UUID, note_id: UUID) -> bool:
    """False if this customer has no such note."""
    statement = delete(notes).where(notes.c.id == note_id, notes.c.customer_id == customer_id)
    return (await connection.execute(statement)).rowcount > 0


def _note(row: Any) -> Note:
    return Note(
        id=str(row.id), text=row.text, author=row.author, login=row.login, at=row.at, call_id=row.call_id
    )
