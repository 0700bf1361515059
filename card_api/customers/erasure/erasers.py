"""SQL that takes a person out, a function a place. What a table may hold of a person beyond these is a new one here."""

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import LargeBinary, Text, Uuid, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import TextClause, text

from card_api.customers.erasure.person import Eraser, Person
from card_api.customers.erasure.scrub import over, scrubbed
from card_api.webhooks.repository import erase as erase_deliveries
from shared.revision import LAST_VERSION

# Documents in memory at once; a company may have a hundred thousand calls of 5 kB.
_AT_ONCE = 200

_IDS = bindparam("ids", type_=ARRAY(Uuid))
_CALL_IDS = bindparam("call_ids", type_=ARRAY(Text))
_NUMBERS = bindparam("numbers", type_=ARRAY(Text))

_CALLS = text("select document from calls where call_id = any(:call_ids)").bindparams(_CALL_IDS)
# With the last version, so that no update that is still under way, or told once more, brings the caller back.
_SCRUB = text(
    f"""
    update calls c set document = r.document, did = r.document ->> 'did', version = {LAST_VERSION},
        state = 'ended', ended_at = coalesce(c.ended_at, cast(r.document ->> 'ended_at' as timestamptz)),
        end_reason = r.document ->> 'end_reason', caller_number = null, caller_name = null, customer_number = null
    from jsonb_array_elements(cast(:documents as jsonb)) as r(document) where c.call_id = r.document ->> 'call_id'
    """  # noqa: S608 - a number of ours
).bindparams(bindparam("documents", type_=Text))
_IDENTITIES = text(
    "delete from call_identities where customer_id = any(:ids) or call_id = any(:call_ids)"
).bindparams(_IDS, _CALL_IDS)
_NOTES = text("delete from notes where customer_id = any(:ids) or call_id = any(:call_ids)").bindparams(
    _IDS, _CALL_IDS
)
_LISTS = {
    table: text(f"delete from {table} where e164 = any(:numbers)").bindparams(_NUMBERS)  # noqa: S608
    for table in ("do_not_call", "black_list")
}
_CHILDREN = {
    table: text(f"delete from {table} where customer_id = any(:ids)").bindparams(_IDS)  # noqa: S608
    for table in ("customer_phones", "customer_names", "customer_people", "accounts", "orders", "tickets")
}
_CUSTOMERS = text("delete from customers where id = any(:ids)").bindparams(_IDS)
# Who looked stays, and at whom becomes an id that leads nowhere.
_AUDIT = text(
    """
    update audit_log set
        subject = case when subject = any(:subjects) then :pseudonym else subject end,
        detail = '{}'
    where subject = any(:subjects)
        or detail ->> 'account' = any(:accounts)
        or exists (select from unnest(:quoted) as q(needle) where strpos(cast(detail as text), q.needle) > 0)
    """
).bindparams(
    bindparam("subjects", type_=ARRAY(Text)),
    bindparam("accounts", type_=ARRAY(Text)),
    bindparam("quoted", type_=ARRAY(Text)),
    bindparam("pseudonym", type_=Text),
)
_ANSWERS = text(
    """
    delete from idempotency_keys where exists (
        select from unnest(:needles) as n(needle)
        where position(n.needle in body) > 0 or position(n.needle in convert_to(cast(headers as text), 'UTF8')) > 0)
    """
).bindparams(bindparam("needles", type_=ARRAY(LargeBinary)))


async def calls(connection: AsyncConnection, person: Person) -> dict[str, int]:
    """The rows stay, for statistics."""
    for begin in range(0, len(person.call_ids), _AT_ONCE):
        part = list(person.call_ids[begin : begin + _AT_ONCE])
        found = (await connection.execute(_CALLS, {"call_ids": part})).scalars()
        documents: list[Any] = [scrubbed(over(document)) for document in found]
        await connection.execute(_SCRUB, {"documents": orjson.dumps(documents).decode()})
    return {"calls": len(person.call_ids)}


async def remarks(connection: AsyncConnection, person: Person) -> dict[str, int]:
    """What people wrote down: notes, who it was in which call."""
    those = {"ids": list(person.ids), "call_ids": list(person.call_ids)}
    return {
        "notes": await _count(connection, _NOTES, those),
        "call_identities": await _count(connection, _IDENTITIES, those),
    }


async def lists(connection: AsyncConnection, person: Person) -> dict[str, int]:
    """A number that another customer has, too, stays on them."""
    those = {"numbers": list(person.numbers)}
    return {table: await _count(connection, statement, those) for table, statement in _LISTS.items()}


async def audit(connection: AsyncConnection, person: Person) -> dict[str, int]:
    values = {
        "subjects": [*person.numbers, *person.accounts],
        "accounts": list(person.accounts),
        "quoted": [_quoted(word) for word in (*person.numbers, *person.names)],
        "pseudonym": person.pseudonym,
    }
    return {"audit_entries_pseudonymised": await _count(connection, _AUDIT, values)}


async def answers(connection: AsyncConnection, person: Person) -> dict[str, int]:
    """Answers kept for those who ask again with the same Idempotency-Key."""
    words = [*map(str, person.ids), *map(_quoted, (*person.numbers, *person.names, *person.call_ids))]
    return {"answers": await _count(connection, _ANSWERS, {"needles": [word.encode() for word in words]})}


async def deliveries(connection: AsyncConnection, person: Person) -> dict[str, int]:
    """What web hooks have said of them, or would have."""
    subjects = [*map(str, person.ids), *person.call_ids]
    return {"webhook_deliveries": await erase_deliveries(connection, person.numbers, subjects)}


async def records(connection: AsyncConnection, person: Person) -> dict[str, int]:
    """Last: what the others look for is in these."""
    those = {"ids": list(person.ids)}
    counts = {table: await _count(connection, statement, those) for table, statement in _CHILDREN.items()}
    return {**counts, "customers": await _count(connection, _CUSTOMERS, those)}


ERASERS: Sequence[Eraser] = (calls, remarks, lists, audit, answers, deliveries, records)


async def _count(connection: AsyncConnection, statement: TextClause, values: dict[str, Any]) -> int:
    return (await connection.execute(statement, values)).rowcount


def _quoted(word: str) -> str:
    """As a whole value in JSON: a name of two letters is in many words."""
    return orjson.dumps(word).decode()
