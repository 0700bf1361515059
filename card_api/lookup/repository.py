"""The one statement that finds a caller."""

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.lookup.schemas import Found
from shared.db import create_ring_pool

# Look-ups at the same moment; each takes a third of a millisecond, so this is a thousand callers a second.
_CONNECTIONS = 4
# Above this PostgreSQL is not slow but gone.
_STATEMENT_SECONDS = 5.0

# A number at more customers than this is a switchboard, not a person; ranking more would help nobody.
_CUSTOMERS = 10
# What fits on a card. One call more, because the call that is ringing may be among them.
_HISTORY = 11
_ROWS = 10
# A customer with more numbers than this is a company; the history by its first numbers is history enough.
_NUMBERS = 20

# JSON is built in PostgreSQL: one row, one value, no joins to undo here. Every step is an exact match on an index.
FIND = f"""
    with matched as materialized (
        select customer_id, min(purpose) as purpose
        from customer_phones where e164 = $1 group by customer_id order by customer_id limit {_CUSTOMERS}
    ),
    numbers as (
        select cast($1 as text) as e164
        union
        (select p.e164 from customer_phones p join matched m on m.customer_id = p.customer_id
         where (select count(*) from matched) = 1 limit {_NUMBERS})
    )
    select cast(json_build_object(
        'customers', (
            select coalesce(json_agg(json_build_object(
                'id', c.id, 'source', c.source, 'external_id', c.external_id, 'kind', c.kind, 'name', c.name,
                'greet_as', c.greet_as, 'manager', c.manager, 'tags', c.tags, 'url', c.url, 'purpose', m.purpose,
                'category', (select json_build_object(
                    'code', k.code, 'label', k.label, 'colour', k.colour, 'priority', k.priority)
                    from categories k where k.code = c.category),
                'names', (select coalesce(json_agg(json_build_object(
                    'name', n.name, 'source', n.source) order by n.said_at desc, n.id desc), '[]')
                    from customer_names n where n.customer_id = c.id),
                'people', (select coalesce(json_agg(json_build_object(
                    'name', h.name, 'source', h.source) order by h.id), '[]')
                    from customer_people h where h.customer_id = c.id),
                'accounts', (select coalesce(json_agg(json_build_object(
                    'number', a.number, 'status', a.status, 'product', a.product, 'source', a.source)
                    order by a.id), '[]')
                    from (select * from accounts where customer_id = c.id order by id limit {_ROWS}) a),
                'tickets', (select coalesce(json_agg(json_build_object(
                    'number', t.number, 'subject', t.subject, 'status', t.status, 'opened_at', t.opened_at,
                    'url', t.url, 'source', t.source) order by t.opened_at desc nulls last, t.id desc), '[]')
                    from (select * from tickets where customer_id = c.id and closed_at is null
                          order by opened_at desc nulls last, id desc limit {_ROWS}) t),
                'orders', (select coalesce(json_agg(json_build_object(
                    'number', o.number, 'title', o.title, 'status', o.status,
                    'amount', o.amount || coalesce(' ' || o.currency, ''), 'ordered_at', o.ordered_at,
                    'url', o.url, 'source', o.source) order by o.ordered_at desc nulls last, o.id desc), '[]')
                    from (select * from orders where customer_id = c.id
                          order by ordered_at desc nulls last, id desc limit {_ROWS}) o)
            )), '[]')
            from matched m join customers c on c.id = m.customer_id
        ),
        'history', (
            select coalesce(json_agg(json_build_object(
                'call_id', h.call_id, 'at', h.started_at, 'direction', h.direction, 'end_reason', h.end_reason,
                'agent', h.agents[array_upper(h.agents, 1)], 'queue', h.queue, 'talk_seconds', h.talk_seconds)
                order by h.started_at desc), '[]')
            from (
                select k.* from numbers n cross join lateral (
                    select call_id, started_at, direction, end_reason, agents, queue, talk_seconds
                    from calls where customer_number = n.e164 order by started_at desc limit {_HISTORY}
                ) k order by k.started_at desc limit {_HISTORY}
            ) h
        )
    ) as text)
"""  # noqa: S608 - only the limits above are put in; the number is bound


class LookupRepository:
    """Reads customers by number, over connections of its own. Raises one of `DATABASE_ERRORS` when PostgreSQL is away.

    The one statement on the way of a ring goes to asyncpg directly, through a pool that runs nothing when a connection
    is given back: SQLAlchemy's checkout, compilation and check-in cost three times the look-up (`make bench`).
    """

    def __init__(self, engine: AsyncEngine, connections: int = _CONNECTIONS) -> None:
        self._engine = engine
        self.connections = connections
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def find(self, number: str) -> Found:
        """Everybody who has this number (E.164) and the last calls."""
        if self._pool is None:
            self._pool = await create_ring_pool(self._engine, self.connections)
        return Found.model_validate_json(await self._pool.fetchval(FIND, number, timeout=_STATEMENT_SECONDS))

    async def close(self) -> None:
        """Give the connections back to PostgreSQL."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None
