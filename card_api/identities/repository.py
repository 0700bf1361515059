"""All SQL about who was identified, in the transaction of whoever calls."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Uuid, bindparam
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import TextClause
from sqlalchemy.sql.expression import text

from card_api.identities.models import VERSION


def _statement(sql: str) -> TextClause:
    # Whose type PostgreSQL cannot tell from the place it stands in.
    known = [name for name in ("customer", "before") if f":{name}" in sql]
    return text(sql).bindparams(*(bindparam(name, type_=Uuid) for name in known))


class Said(NamedTuple):
    """What holds of a call, as somebody said. `version`: another one each time it is said otherwise; 0: nobody has said
    anything. `name`: the customer's; `by`: login, with `by_name` as people know them."""

    version: int = 0
    customer: UUID | None = None
    name: str | None = None
    person: str | None = None
    account: str | None = None
    by: str | None = None
    by_name: str | None = None


_LOCK = text("select pg_advisory_xact_lock(hashtextextended(:name, 0))")
# The lock is taken by a statement of its own: this one must see what was committed while it waited.
_SAID = text(
    f"""
    select {VERSION} as version, i.customer_id as customer, c.name, i.person, i.account, i.by,
        coalesce(a.name, i.by) as by_name
    from call_identities i left join customers c on c.id = i.customer_id left join agents a on a.login = i.by
    where i.call_id = :call_id
    """  # noqa: S608 - our own words
)
# Another customer speaks with another voice: the person stays only with the customer.
_IDENTIFY = _statement(
    """
    insert into call_identities as i (call_id, customer_id, account, by_kind, by)
    values (:call_id, :customer, :account, 'agent', :by)
    on conflict (call_id) do update set
        person = case when i.customer_id is not distinct from excluded.customer_id then i.person end,
        customer_id = excluded.customer_id, account = excluded.account,
        by_kind = excluded.by_kind, by = excluded.by, at = now()
    """
)
_NAME = _statement(
    """
    insert into call_identities as i (call_id, customer_id, person, by_kind, by)
    values (:call_id, :customer, :person, 'agent', :by)
    on conflict (call_id) do update set
        person = excluded.person, customer_id = coalesce(i.customer_id, excluded.customer_id),
        by_kind = excluded.by_kind, by = excluded.by, at = now()
    """
)
_FORGET = text("delete from call_identities where call_id = :call_id")
_ADD_NOTE = _statement(
    """
    insert into notes (customer_id, call_id, text, author_kind, author)
    values (:customer, :call_id, :text, 'agent', :author)
    """
)
_MOVE_NOTES = _statement(
    """
    update notes set customer_id = :customer
    where call_id = :call_id and (customer_id is null or customer_id = :before)
    """
)
_GROUP = "select id from customers where id = :customer or merged_into = :customer"
_ADD_PERSON = _statement(
    f"""
    insert into customer_people (customer_id, name, role, source)
    select :customer, cast(:name as text), :role, :source
    where not exists (
        select from customer_people where customer_id in ({_GROUP}) and lower(name) = lower(cast(:name as text))
    )
    on conflict do nothing
    """  # noqa: S608 - our own words; what agents say is bound
)
_ADD_NUMBER = _statement(
    f"""
    insert into customer_phones (customer_id, e164, as_typed, purpose, source)
    select :customer, cast(:e164 as text), :e164, :purpose, 'callcard'
    where not exists (
        select from customer_phones where customer_id in ({_GROUP}) and e164 = cast(:e164 as text)
    )
    on conflict do nothing
    """  # noqa: S608
)


async def said_of(connection: AsyncConnection, call_id: str) -> Said:
    """What holds now. Until the transaction ends nobody else says anything of this call."""
    await connection.execute(_LOCK, {"name": f"callcard identity {call_id}"})
    row = (await connection.execute(_SAID, {"call_id": call_id})).one_or_none()
    return Said() if row is None else Said(*row)


async def identify(
    connection: AsyncConnection, call_id: str, customer: UUID | None, account: str | None, by: str
) -> None:
    """In this call it was this customer, or whoever has the account."""
    values = {"call_id": call_id, "customer": customer, "account": account, "by": by}
    await connection.execute(_IDENTIFY, values)


async def forget(connection: AsyncConnection, call_id: str) -> None:
    """Nothing was said about who it was."""
    await connection.execute(_FORGET, {"call_id": call_id})


async def name_person(
    connection: AsyncConnection, call_id: str, customer: UUID | None, person: str, by: str
) -> None:
    """In this call this person spoke, for the customer if one is known; whom somebody picked stays picked."""
    values = {"call_id": call_id, "customer": customer, "person": person, "by": by}
    await connection.execute(_NAME, values)


async def add_note(
    connection: AsyncConnection, call_id: str, customer: UUID | None, written: str, author: str
) -> None:
    values = {"call_id": call_id, "customer": customer, "text": written, "author": author}
    await connection.execute(_ADD_NOTE, values)


async def move_notes(
    connection: AsyncConnection, call_id: str, before: UUID | None, customer: UUID | None
) -> None:
    """What was written in this call is about whoever it was: not about `before`."""
    await connection.execute(_MOVE_NOTES, {"call_id": call_id, "before": before, "customer": customer})


async def add_person(
    connection: AsyncConnection, customer: UUID, name: str, role: str | None, source: str
) -> bool:
    """False if the customer has somebody of this name."""
    values = {"customer": customer, "name": name, "role": role, "source": source}
    return (await connection.execute(_ADD_PERSON, values)).rowcount > 0


async def add_number(connection: AsyncConnection, customer: UUID, e164: str, purpose: str) -> bool:
    """False if the customer has the number."""
    values = {"customer": customer, "e164": e164, "purpose": purpose}
    return (await connection.execute(_ADD_NUMBER, values)).rowcount > 0
