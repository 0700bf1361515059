"""The one statement that finds a caller."""

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.lookup.schemas import Found

# A number at more customers than this is a switchboard, not a person; ranking more would help nobody.
_CUSTOMERS = 10
# What fits on a card. One call more, because the call that is ringing may be among them.
_HISTORY = 11
_ROWS = 10
# A customer with more numbers than this is a company; the history by its first numbers is history enough.
_NUMBERS = 20

# JSON is built in PostgreSQL: one row, one value, no joins to undo here. Every step is an exact match on an index.
FIND = text(
    f"""
    with matched as materialized (
        select customer_id, min(purpose) as purpose
        from customer_phones where e164 = :number group by customer_id order by customer_id limit {_CUSTOMERS}
    ),
    numbers as (
        select cast(:number as text) as e164
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
)


class LookupRepository:
    """Reads customers by number. Raises what SQLAlchemy raises when PostgreSQL is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        # One statement is its own transaction: BEGIN and ROLLBACK would be two more round trips.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def find(self, number: str) -> Found:
        """Everybody who has this number (E.164) and the last calls."""
        async with self._engine.connect() as connection:
            found = await connection.scalar(FIND, {"number": number})
        return Found.model_validate_json(found)
