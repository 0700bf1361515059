"""A stream of customers goes on when PostgreSQL was away for a moment."""

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.customers import export
from card_api.customers.export import Wanted, export_pages
from card_api.database import DATABASE_ERRORS


async def test_a_page_is_read_again_but_not_the_first(
    engine: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_AGAIN", (0.0, 0.0))
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "insert into customers (source, external_id, kind, name) "
                "select 'crm', n, 'person', 'Иванов' from generate_series(1, 3) n"
            )
        )

    async def break_connections() -> None:
        other = await asyncpg.connect(database_url)
        ends = "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
        await other.execute(f"{ends} where datname = current_database() and pid <> pg_backend_pid()")
        await other.close()

    pages = export_pages(engine, Wanted(), page=2)
    assert len(await anext(pages)) == 2
    await break_connections()
    assert [len(page) async for page in pages] == [1]
    await break_connections()
    with pytest.raises(DATABASE_ERRORS):
        await anext(export_pages(engine, Wanted()))
