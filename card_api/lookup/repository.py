"""The one statement that finds a caller."""

from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.customers.notes import AUTHOR, LOGIN
from card_api.identities.models import VERSION
from card_api.lookup.connections import Connections
from card_api.lookup.merging import with_merged_records
from card_api.lookup.schemas import PURPOSES, Found, Question
from shared.db import connect

# Look-ups at the same moment; each takes a third of a millisecond, so this is a thousand callers a second.
_CONNECTIONS = 4
# Above this PostgreSQL is not slow but gone.
_STATEMENT_SECONDS = 5.0

# A number at more customers than this is a switchboard, not a person; ranking more would help nobody.
_CUSTOMERS = 10
# More records than this of one customer are a mistake of a script that merges.
_RECORDS = 20
# What fits on a card. One call more, because the call that is ringing may be among them.
_HISTORY = 11
_ROWS = 10
# Nobody writes more notes in one call.
_NOTES_OF_CALL = 50
# A customer with more numbers than this is a company; the history by its first numbers is history enough.
_NUMBERS = 20

_PURPOSES = "array[" + ", ".join(f"'{purpose}'" for purpose in PURPOSES) + "]"

# A record as one source says it, without what hangs on it.
_RECORD = """
    'id', {0}.id, 'source', {0}.source, 'external_id', {0}.external_id, 'kind', {0}.kind, 'name', {0}.name,
    'greet_as', {0}.greet_as, 'manager', {0}.manager, 'tags', {0}.tags, 'url', {0}.url,
    'preferences', {0}.preferences, 'attributes', {0}.attributes,
    'category', (select json_build_object(
        'code', k.code, 'label', k.label, 'colour', k.colour, 'priority', k.priority)
        from categories k where k.code = {0}.category)
"""

_NOTE = f"""
    'id', n.id, 'text', n.text, 'author', {AUTHOR}, 'login', {LOGIN}, 'at', n.at, 'call_id', n.call_id
"""

# JSON is built in PostgreSQL: one row, one value, no joins to undo here. Every step is an exact match on an index.
# $1 number, $2 account, $3 call.
# said: what somebody said in this call.
# hits: who it may be, how we know (the places of MatchedBy), and all records of each; the survivor (merged_into) stands
# for them.
# one: the customer, if what is known best names just one (as `ranking.the_one` decides); only then other numbers' calls
# are history.
# The lists are sorted in subqueries: json_agg keeps their order, and a sort of its own would cost as much as reading
# its rows.
FIND = f"""
    with said as materialized (
        select i.customer_id, i.person, i.account, {VERSION} as version from call_identities i where i.call_id = $3
    ),
    hits as materialized (
        select h.id, h.how, h.purpose,
            h.id || array(select m.id from customers m where m.merged_into = h.id limit {_RECORDS}) as ids
        from (
            select coalesce(c.merged_into, c.id) as id, max(h.how) as how, min(h.purpose) as purpose
            from (
                (select customer_id, 1 as how, coalesce(array_position({_PURPOSES}, purpose), 2) as purpose
                 from customer_phones where e164 = $1 order by customer_id limit {_CUSTOMERS})
                union all
                (select customer_id, 2, null from accounts
                 where number = coalesce((select account from said), $2) limit {_CUSTOMERS})
                union all
                select customer_id, 3, null from said where customer_id is not null
            ) h join customers c on c.id = h.customer_id
            group by 1
        ) h
    ),
    one as materialized (
        select ids from hits h where not exists (
            select from hits o
            where o.id <> h.id and (o.how, o.purpose is not null) >= (h.how, h.purpose is not null))
    ),
    numbers as (
        select cast($1 as text) as e164
        union
        (select p.e164 from one join customer_phones p on p.customer_id = any(one.ids)
         where p.e164 is not null limit {_NUMBERS})
    )
    select cast(json_build_object(
        'customers', (
            select coalesce(json_agg(json_build_object(
                {_RECORD.format("c")},
                'matched_by', (array['number', 'account', 'agent'])[g.how],
                'purpose', ({_PURPOSES})[g.purpose],
                'also', case when cardinality(g.ids) > 1 then
                    (select coalesce(json_agg(json_build_object({_RECORD.format("m")})), '[]')
                    from (select * from customers where merged_into = c.id and id = any(g.ids)
                          order by source, external_id) m)
                    else '[]' end,
                'last_talk', case when (select count(*) from hits) > 1 then
                    (select json_build_object('at', k.started_at, 'agent', k.agents[array_upper(k.agents, 1)])
                    from call_identities i join calls k on k.call_id = i.call_id
                    where i.customer_id = any(g.ids) and k.answered_at is not null
                        and i.call_id is distinct from $3
                    order by i.at desc limit 1) end,
                'names', (select coalesce(json_agg(json_build_object('name', n.name, 'source', n.source)), '[]')
                    from (select * from customer_names where customer_id = any(g.ids)
                          order by said_at desc, id desc limit {_ROWS}) n),
                'people', (select coalesce(json_agg(json_build_object(
                    'name', h.name, 'role', h.role, 'source', h.source)), '[]')
                    from (select * from customer_people where customer_id = any(g.ids)
                          order by id limit {_ROWS}) h),
                'accounts', (select coalesce(json_agg(json_build_object(
                    'number', a.number, 'status', a.status, 'product', a.product, 'source', a.source)), '[]')
                    from (select * from accounts where customer_id = any(g.ids) order by id limit {_ROWS}) a),
                'tickets', (select coalesce(json_agg(json_build_object(
                    'number', t.number, 'subject', t.subject, 'status', t.status, 'opened_at', t.opened_at,
                    'url', t.url, 'source', t.source)), '[]')
                    from (select * from tickets where customer_id = any(g.ids) and closed_at is null
                          order by opened_at desc nulls last, id desc limit {_ROWS}) t),
                'orders', (select coalesce(json_agg(json_build_object(
                    'number', o.number, 'title', o.title, 'status', o.status,
                    'amount', o.amount || coalesce(' ' || o.currency, ''), 'ordered_at', o.ordered_at,
                    'url', o.url, 'source', o.source)), '[]')
                    from (select * from orders where customer_id = any(g.ids)
                          order by ordered_at desc nulls last, id desc limit {_ROWS}) o),
                'notes', (select coalesce(json_agg(json_build_object({_NOTE})), '[]')
                    from (select * from notes where customer_id = any(g.ids)
                          order by at desc, id limit {_ROWS}) n)
            )), '[]')
            from hits g join customers c on c.id = g.id
        ),
        'history', (
            select coalesce(json_agg(json_build_object(
                'call_id', h.call_id, 'at', h.started_at, 'direction', h.direction, 'end_reason', h.end_reason,
                'agent', h.agents[array_upper(h.agents, 1)], 'queue', h.queue, 'talk_seconds', h.talk_seconds)), '[]')
            from (
                select k.* from numbers n cross join lateral (
                    select call_id, started_at, direction, end_reason, agents, queue, talk_seconds
                    from calls where customer_number = n.e164 order by started_at desc limit {_HISTORY}
                ) k
                union all
                select k.* from one cross join lateral (
                    select k.call_id, k.started_at, k.direction, k.end_reason, k.agents, k.queue, k.talk_seconds
                    from call_identities i join calls k on k.call_id = i.call_id
                    where i.customer_id = any(one.ids)
                        and not exists (select from numbers n where n.e164 = k.customer_number)
                    order by i.at desc limit {_HISTORY}
                ) k
                order by started_at desc limit {_HISTORY}
            ) h
        ),
        'notes', (
            select coalesce(json_agg(json_build_object({_NOTE})), '[]')
            from (select * from notes where call_id = $3 order by at desc, id limit {_NOTES_OF_CALL}) n
        ),
        'person', (select person from said),
        'identity', coalesce((select version from said), 0),
        'do_not_call', (select json_build_object('reason', reason, 'comment', comment, 'by', by, 'at', at)
            from do_not_call where e164 = $1),
        'black_listed', (select json_build_object('reason', reason, 'until', until, 'by', by, 'at', at)
            from black_list where e164 = $1 and (until is null or until > now()))
    ) as text)
"""  # noqa: S608 - only the limits and words above are put in; what is asked for is bound


class LookupRepository:
    """Reads customers by number, over connections of its own. Raises one of `DATABASE_ERRORS` when PostgreSQL is away.

    The one statement on the way of a ring goes to asyncpg directly: SQLAlchemy's checkout, compilation and check-in
    cost three times the look-up (`make bench`).
    """

    def __init__(self, engine: AsyncEngine, connections: int = _CONNECTIONS) -> None:
        self.connections = connections
        self._connections = Connections(partial(connect, engine), connections, _STATEMENT_SECONDS)

    async def find(self, question: Question) -> Found:
        """Everybody who has this number or account, or was named in this call, and the last calls."""
        answer = await self._connections.fetchval(FIND, *map(_bindable, question))
        return with_merged_records(Found.model_validate_json(answer))

    async def close(self) -> None:
        """Give the connections back to PostgreSQL."""
        self._connections.close()


def _bindable(text: str | None) -> str | None:
    """PostgreSQL refuses texts with NUL or half characters; no number, account or call has one, so none is found."""
    if text is None or (text.isprintable() and text.isascii()):
        return text
    return None if "\0" in text or any("\ud800" <= sign <= "\udfff" for sign in text) else text
