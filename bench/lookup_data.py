"""Customers for the look-up's benchmarks: as many as asked for, all alike."""

import asyncpg

from services.migrate import upgrade

# One phone each and a second one for every other; accounts, tickets, orders and calls as a small provider has them.
_FILL = (
    "insert into categories values ('vip', 'VIP', '#b8860b', 10)",
    """insert into customers (source, external_id, name, category)
       select 'bench', n::text, 'Иванов Пётр ' || n, case when n % 20 = 0 then 'vip' end
       from generate_series(1, $1::int) n""",
    """insert into customer_phones (customer_id, e164, as_typed, purpose)
       select id, '+79' || lpad(external_id, 9, '0'), external_id, 'mobile' from customers""",
    """insert into customer_phones (customer_id, e164, as_typed, purpose)
       select id, '+74' || lpad(external_id, 9, '0'), external_id, 'contact' from customers
       where external_id::int % 2 = 0""",
    """insert into accounts (customer_id, source, external_id, number, status)
       select id, 'bench', external_id, 'D-' || external_id, 'active' from customers""",
    """insert into tickets (customer_id, source, external_id, number, subject, status, opened_at)
       select id, 'bench', external_id, 'T-' || external_id, 'No internet', 'open', now() from customers
       where external_id::int % 3 = 0""",
    """insert into orders (customer_id, source, external_id, number, title, amount, currency, ordered_at)
       select id, 'bench', external_id || '-' || k, k::text, 'Router', 3990, 'RUB', now() - k * interval '1 day'
       from customers, generate_series(1, 2) k""",
    """insert into calls (call_id, pbx, version, direction, state, customer_number, agents, started_at, document)
       select 'b-' || id || '-' || k, 'bench', 1, 'inbound', 'ended', e164, '{101}',
              now() - k * interval '3 days', '{}'
       from customer_phones, generate_series(1, 4) k""",
    "analyze",
)


async def fill(url: str, customers: int) -> None:
    """Make the schema and so many customers in an empty database."""
    await upgrade(url)
    connection = await asyncpg.connect(url)
    for statement in _FILL:
        await connection.execute(statement, *([customers] if "$1" in statement else []))
    await connection.execute("vacuum")
    await connection.close()


async def some_numbers(url: str, count: int) -> list[str]:
    """E.164 numbers of customers, from all over the table."""
    connection = await asyncpg.connect(url)
    try:
        of = await connection.fetchval(
            "select greatest(1, reltuples) from pg_class where relname = 'customer_phones'"
        )
        rows = await connection.fetch(
            f"select e164 from customer_phones tablesample bernoulli ({min(100.0, 300 * count / of)}) "
            "where e164 is not null order by random() limit $1",
            count,
        )
        return [row["e164"] for row in rows]
    finally:
        await connection.close()


async def sizes(url: str) -> tuple[int, int]:
    """(customers, numbers)."""
    connection = await asyncpg.connect(url)
    try:
        customers = await connection.fetchval("select count(*) from customers")
        return customers, await connection.fetchval("select count(*) from customer_phones")
    finally:
        await connection.close()
