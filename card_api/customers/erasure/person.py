"""Whom it is about: SQL that finds what belongs to this person and to nobody else."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from sqlalchemy import Text, Uuid, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import text


@dataclass(frozen=True, slots=True)
class Person:
    """A customer with all records merged into it; or somebody with a number and no record, and an id of their own.
    `numbers` (E.164) and `accounts` (contract numbers): those that no other customer has. `call_ids`: calls of these
    numbers, and those in which somebody said that it was this customer. A call of a shared number may have been the
    other's: it is not among them unless somebody said so."""

    id: UUID
    ids: tuple[UUID, ...]
    names: tuple[str, ...]
    numbers: tuple[str, ...]
    accounts: tuple[str, ...]
    call_ids: tuple[str, ...]

    @property
    def pseudonym(self) -> str:
        """What the audit log calls them afterwards: an id that leads to nobody any more."""
        return str(self.id)


Eraser = Callable[[AsyncConnection, Person], Awaitable[dict[str, int]]]
"""Takes out what one place keeps of a person, in the transaction of the connection: what → how many."""

_IDS = bindparam("ids", type_=ARRAY(Uuid))
_NAMES = text(
    """
    select name from customers where id = any(:ids) union select greet_as from customers where id = any(:ids)
    union select name from customer_names where customer_id = any(:ids)
    union select name from customer_people where customer_id = any(:ids)
    """
).bindparams(_IDS)
_NUMBERS = text(
    """
    select distinct p.e164 from customer_phones p where p.customer_id = any(:ids) and p.e164 is not null
    and not exists (select from customer_phones o where o.e164 = p.e164 and o.customer_id <> all(:ids))
    """
).bindparams(_IDS)
_ACCOUNTS = text(
    """
    select distinct a.number from accounts a where a.customer_id = any(:ids)
    and not exists (select from accounts o where o.number = a.number and o.customer_id <> all(:ids))
    """
).bindparams(_IDS)
_CALLS = text(
    """
    select call_id from calls where customer_number = any(:numbers)
    union select call_id from call_identities where customer_id = any(:ids)
    """
).bindparams(_IDS, bindparam("numbers", type_=ARRAY(Text)))

# What was told of a record before it was deleted. Others may have had the number once, and are still there: not theirs.
_DELETED = text(
    """
    select distinct cast(d.subject as uuid) from webhook_deliveries d
    where d.type in ('customer.created', 'customer.changed') and strpos(cast(d.payload as text), :quoted) > 0
    and not exists (select from customers c where cast(c.id as text) = d.subject)
    """
).bindparams(bindparam("quoted", type_=Text))
_OWNER = text("select customer_id from customer_phones where e164 = :number limit 1")

_GROUP = text(
    """
    select coalesce(c.merged_into, c.id) as survivor, g.id from customers c
    join customers g on g.id = coalesce(c.merged_into, c.id) or g.merged_into = coalesce(c.merged_into, c.id)
    where c.id = :id
    """
).bindparams(bindparam("id", type_=Uuid))


async def read_person(connection: AsyncConnection, id_: UUID) -> Person | None:
    """The person that this record is a part of, as they are now: nobody is kept from changing them."""
    rows = (await connection.execute(_GROUP, {"id": id_})).all()
    return await find_person(connection, rows[0].survivor, [row.id for row in rows]) if rows else None


async def owner_of(connection: AsyncConnection, number: str) -> UUID | None:
    """A customer who has this number (E.164)."""
    found: UUID | None = await connection.scalar(_OWNER, {"number": number})
    return found


async def find_stranger(connection: AsyncConnection, number: str) -> Person:
    """Whoever called from a number (E.164) that no customer has: they never were one, or were deleted."""
    calls = (await connection.execute(_CALLS, {"ids": [], "numbers": [number]})).scalars().all()
    deleted = (await connection.execute(_DELETED, {"quoted": f'"{number}"'})).scalars().all()
    return Person(uuid4(), tuple(sorted(deleted)), (), (number,), (), tuple(sorted(calls)))


async def find_person(connection: AsyncConnection, id_: UUID, ids: Sequence[UUID]) -> Person:
    """`ids`: the record `id_` and all that are merged into it."""
    those = {"ids": list(ids)}

    async def texts(statement: object, **more: object) -> tuple[str, ...]:
        found = await connection.execute(statement, {**those, **more})  # type: ignore[call-overload]
        return tuple(sorted(value for value in found.scalars() if value))

    numbers = await texts(_NUMBERS)
    return Person(
        id_,
        tuple(ids),
        await texts(_NAMES),
        numbers,
        await texts(_ACCOUNTS),
        await texts(_CALLS, numbers=list(numbers)),
    )
