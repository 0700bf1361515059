"""The one engine of loading customers: rows in, batch after batch checked and stored, a report for each row out."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from card_api.customers.bulk.rows import Checked
from card_api.customers.bulk.store import Status, Store, Stored
from card_api.customers.bulk.text import RawRow

Check = Callable[[Sequence[RawRow]], Awaitable[list[Checked]]]
"""`check_rows`, here or in a worker: one answer a row."""

# Bytes of a batch, whatever its rows: a thousand customers are a megabyte.
_BATCH_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a row. `errors` of a failed one: `field: what is wrong`. `note`: why it changed nothing, if that
    is not plain."""

    line: int
    status: Status
    id: UUID | None = None
    source: str | None = None
    external_id: str | None = None
    errors: tuple[str, ...] = ()
    note: str | None = None


async def load(
    rows: AsyncIterable[Sequence[RawRow]], check: Check, store: Store, batch: int = 1000
) -> AsyncGenerator[list[Report], None]:
    """Reports of each batch, in the order of its rows, when its transaction is done. An empty sequence among `rows`
    means that nothing more comes for now: what is there is stored at once.

    Memory is that of three batches: one is gathered while the next is checked and another stored. Whoever stops
    iterating (`aclose`) stops the load behind the last batch that was reported. Raises one of `DATABASE_ERRORS` when
    PostgreSQL is away; what was reported is stored.
    """
    ahead: asyncio.Task[list[Checked]] | None = None
    try:
        async for gathered in _batches(rows, batch):
            checked = await ahead if ahead is not None else None
            ahead = asyncio.create_task(_checked(check, gathered)) if gathered else None
            if checked is not None:
                yield await _stored(store, checked)
        if ahead is not None:
            checked, ahead = await ahead, None
            yield await _stored(store, checked)
    finally:
        if ahead is not None:
            ahead.cancel()


async def _checked(check: Check, rows: Sequence[RawRow]) -> list[Checked]:
    return await check(rows)


async def _stored(store: Store, checked: Sequence[Checked]) -> list[Report]:
    good = [(row, row.rows) for row in checked if row.rows is not None]
    done = dict(
        zip((row.line for row, _ in good), await store.store([rows for _, rows in good]), strict=True)
    )
    return [_report(row, done.get(row.line)) for row in checked]


def _report(row: Checked, done: Stored | None) -> Report:
    key = (row.source, row.external_id)
    if row.later is not None:
        return Report(
            row.line, Status.UNCHANGED, None, *key, note=f"line {row.later} says this customer again"
        )
    if done is None:
        return Report(row.line, Status.FAILED, None, *key, errors=row.errors)
    return Report(row.line, done.status, done.id, *key, errors=(done.error,) if done.error else ())


async def _batches(rows: AsyncIterable[Sequence[RawRow]], most: int) -> AsyncIterator[list[RawRow]]:
    """Lists of at most `most` rows. An empty one after a pause, so that the batch before it is stored."""
    gathered: list[RawRow] = []
    size = 0
    async for some in rows:
        for row in some:
            gathered.append(row)
            size += len(row.data)
            if len(gathered) >= most or size >= _BATCH_BYTES:
                yield gathered
                gathered, size = [], 0
        if not some:
            if gathered:
                yield gathered
            yield []
            gathered, size = [], 0
    if gathered:
        yield gathered
