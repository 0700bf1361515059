"""PgQueuer's jobs: one a delivery, enqueued in the transaction of what caused it."""

from collections.abc import Sequence
from uuid import UUID

from pgqueuer.adapters.persistence.queries import Queries
from sqlalchemy.ext.asyncio import AsyncConnection

_PREFIX = "webhook:"


def entrypoint(webhook_id: UUID) -> str:
    """PgQueuer's name of a hook's jobs: one a hook, so that its limit of jobs at a time holds for each by itself."""
    return f"{_PREFIX}{webhook_id}"


def payload(delivery_id: int) -> bytes:
    return str(delivery_id).encode()


def delivery_of(payload: bytes | None) -> int:
    """The delivery that a job is about."""
    return int(payload or b"")


async def enqueue(connection: AsyncConnection, deliveries: Sequence[tuple[int, UUID]]) -> None:
    """A job for each (delivery id, webhook id), due now, as a part of the transaction that `connection` is in.

    A delivery that has a job already keeps that one.
    """
    if not deliveries:
        return
    driver = (await connection.get_raw_connection()).driver_connection
    # SQLAlchemy begins a transaction with its first statement; before that, or in autocommit, a job would be there
    # whatever becomes of its delivery.
    if driver is None or not driver.is_in_transaction():
        raise RuntimeError(
            "jobs are enqueued in the transaction that writes their deliveries, not outside one"
        )
    await Queries.from_asyncpg_connection(driver).enqueue(
        [entrypoint(hook) for _, hook in deliveries],
        [payload(delivery) for delivery, _ in deliveries],
        [0] * len(deliveries),
        dedupe_key=[f"{_PREFIX}{delivery}" for delivery, _ in deliveries],
        on_conflict="skip",
    )


def dedupe_key_sql(column: str) -> str:
    """SQL: the key of the job of the delivery in `column`."""
    return f"'{_PREFIX}' || {column}"
