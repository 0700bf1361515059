"""The connections that look-ups share, on a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.lookup.connections import Connections
from shared.db import connect
from tests.card_api.conftest import until

# For what must not happen; what is asked takes milliseconds.
_PATIENCE = 10.0
_MINE = "select pg_backend_pid()"
# Says what it was asked, so that nobody's answer is taken for another's; waits for a lock that the test holds.
_WAIT = "select $1::text from pg_advisory_xact_lock_shared(4711)"
_WAITS = """
    select count(*) from pg_locks join pg_database d on d.oid = database
    where datname = current_database() and locktype = 'advisory' and not granted
"""
_GONE = "select not exists (select from pg_stat_activity where pid = $1)"
_ENDED = "select pg_terminate_backend($1, 5000)"


@pytest.fixture
async def connections(engine: AsyncEngine) -> AsyncIterator[Connections]:
    made = Connections(partial(connect, engine), 2, _PATIENCE)
    yield made
    made.close()


async def test_one_is_enough_for_who_ask_one_after_the_other(connections: Connections) -> None:
    assert len({await connections.fetchval(_MINE) for _ in range(5)}) == 1


async def test_no_more_than_allowed_at_once(engine: AsyncEngine, connections: Connections) -> None:
    asked = "select pg_backend_pid() from pg_sleep(0.01)"
    assert len(set(await asyncio.gather(*(connections.fetchval(asked) for _ in range(6))))) == 2


async def test_who_gave_up_leaves_no_answer_to_others(engine: AsyncEngine, connections: Connections) -> None:
    lock = await connect(engine)
    try:
        await lock.execute("select pg_advisory_lock(4711)")
        first = await connections.fetchval(_MINE)
        given_up = asyncio.create_task(connections.fetchval(_WAIT, "given up"))
        await until(lambda: lock.fetchval(_WAITS))
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        await lock.execute("select pg_advisory_unlock(4711)")
    finally:
        await lock.close()
    assert await connections.fetchval(_WAIT, "asked") == "asked"
    assert await connections.fetchval(_MINE) != first


async def test_a_dead_one_costs_one_question_at_most(engine: AsyncEngine, connections: Connections) -> None:
    """`LookupService` asks once more."""
    dead = await connections.fetchval(_MINE)
    other = await connect(engine)
    try:
        assert await other.fetchval(_ENDED, dead)
    finally:
        await other.close()
    try:
        alive = await connections.fetchval(_MINE)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        alive = await connections.fetchval(_MINE)
    assert alive != dead


async def test_refused_ones_do_not_use_up_the_turns(connections: Connections) -> None:
    for _ in range(3):
        with pytest.raises(asyncpg.DivisionByZeroError):
            await connections.fetchval("select 1 / 0")
    assert await connections.fetchval("select 1") == 1


async def test_given_back(engine: AsyncEngine, connections: Connections) -> None:
    mine = await connections.fetchval(_MINE)
    connections.close()
    other = await connect(engine)
    try:
        await until(lambda: other.fetchval(_GONE, mine))
    finally:
        await other.close()
