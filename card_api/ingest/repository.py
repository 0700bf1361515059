"""What the record says of calls whose events come in: all its SQL."""

from collections.abc import Collection

from sqlalchemy import Text, bindparam, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import any_

from card_api.calls.models import calls
from card_api.calls.repository import StoredCall
from shared.contracts.call import Call


class RecordedCalls:
    """Raises one of `DATABASE_ERRORS` when PostgreSQL is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def find(self, call_ids: Collection[str]) -> dict[str, StoredCall]:
        """Those of these calls that are there."""
        if not call_ids:
            return {}
        wanted = bindparam("ids", list(call_ids), type_=ARRAY(Text))
        statement = select(calls.c.call_id, calls.c.document, calls.c.version).where(
            calls.c.call_id == any_(wanted)
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(statement)).all()
        return {row.call_id: StoredCall(Call.model_validate(row.document), row.version) for row in rows}
