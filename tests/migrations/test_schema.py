"""The migrations make exactly the tables the code declares."""

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from pgqueuer.adapters.persistence.queries import Queries
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.agents import models as _agents
from card_api.api_keys import models as _api_keys
from card_api.audit import models as _audit
from card_api.calls import models as _calls
from card_api.customers import models as _customers
from card_api.idempotency import models as _idempotency
from card_api.identities import models as _identities
from card_api.metadata import metadata
from card_api.receipts import models as _receipts
from card_api.scripts import models as _scripts
from card_api.webhooks import models as _webhooks
from services.migrate import upgrade

DECLARED = (
    *(_agents, _api_keys, _audit, _calls, _customers, _idempotency, _identities, _receipts, _scripts),
    _webhooks,
)


async def test_migrations_and_models_agree(engine: AsyncEngine) -> None:
    def ours(_: object, name: str | None, kind: str, *__: object) -> bool:
        return not (kind == "table" and (name or "").startswith("pgqueuer"))

    def differences(connection: Connection) -> list[object]:
        options = {"compare_type": True, "include_object": ours}
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, metadata))

    async with engine.connect() as connection:
        found = await connection.run_sync(differences)
    assert found == []


async def test_pgqueuer_is_content_with_the_tables_our_migrations_made_for_it(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        plan = await Queries.from_asyncpg_connection(connection).plan_upgrade()
    finally:
        await connection.close()
    assert (plan.statements, plan.notes) == ((), ())


async def test_a_second_upgrade_changes_nothing(database_url: str) -> None:
    before, head = await upgrade(database_url)
    assert before == head


async def test_an_endpoint_belongs_to_one_agent_on_any_pbx(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        agent = await connection.scalar(
            text("insert into agents (login, name) values ('a', 'A') returning id")
        )
        add = text("insert into agent_endpoints (agent_id, endpoint) values (:agent, 'PJSIP/a')")
        await connection.execute(add, {"agent": agent})
        with pytest.raises(IntegrityError):
            await connection.execute(add, {"agent": agent})
