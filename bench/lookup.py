"""Finding a caller: beside the ORM way, raw asyncpg, and a bare end point over HTTP; and from few customers to many.

Same rows, same run, in turns, so that what else the machine does meets both. Raw asyncpg sends our statement and does
nothing with the answer: the floor. The bare end point is FastAPI + asyncpg with our statement, no key, no audit, no
validation.

    python -m bench.lookup --customers 1000000
    python -m bench.lookup --database postgresql://…   one that is full already (callcard sample)
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import asyncpg
import uvloop
from sqlalchemy.ext.asyncio import AsyncEngine

from bench import lookup_http
from bench.lookup_data import fill, sizes, some_numbers
from bench.lookup_orm import Find, orm_way
from bench.table import Row, percentile, show
from card_api.api_keys.repository import ApiKeyRepository
from card_api.api_keys.service import ApiKeyService
from card_api.lookup.repository import FIND, LookupRepository
from card_api.lookup.schemas import Question
from card_api.lookup.service import LookupService
from card_api.metrics import Metrics
from services.embedded import EmbeddedPostgres, EmbeddedValkey
from services.migrate import upgrade
from shared.db import create_engine, server_settings

_CUSTOMERS = 50_000
_FEW = 10_000
# Each way runs for as long: the first look-ups warm its connection and are not counted.
_WARM = 100
_LOOKUPS = 1000
# A tail needs more of them.
_FOR_THE_TAIL = 5000
# In turns of so long; the middle one of so many counts.
_TURN_SECONDS = 2.0
_TURNS = 5
_TARGET_ORM = 2.0
_TARGET_HTTP = 0.6
_TARGET_TAIL = 3.0
# An index over a hundred times as much is one level deeper.
_TARGET_FLAT = 1.5


def our_way(engine: AsyncEngine) -> Find:
    repository = LookupRepository(engine)

    async def find(number: str) -> int:
        found = await repository.find(Question(number))
        return len(found.history) + sum(
            len(c.accounts) + len(c.tickets) + len(c.orders) for c in found.customers
        )

    return find


def ring_way(engine: AsyncEngine) -> Find:
    """As a ring does it."""
    service = LookupService(LookupRepository(engine), Metrics())

    async def find(number: str) -> int:
        return len((await service.find(Question(number))).customers)

    return find


def raw_way(pool: "asyncpg.Pool[asyncpg.Record]") -> Find:
    statement = FIND

    async def find(number: str) -> int:
        await pool.fetchval(statement, *Question(number))
        return 0

    return find


async def _per_second(find: Find, numbers: Sequence[str]) -> tuple[float, int]:
    for number in numbers[:_WARM]:
        await find(number)
    began = time.perf_counter()
    found = 0
    for number in numbers[_WARM:]:
        found += await find(number)
    return (len(numbers) - _WARM) / (time.perf_counter() - began), found


async def _times(ways: Sequence[Find], numbers: Sequence[Sequence[str]]) -> list[list[float]]:
    """Milliseconds of each look-up of each way with its numbers, one of each in turn."""
    times: list[list[float]] = [[] for _ in ways]
    for n in range(min(len(own) for own in numbers)):
        for way, own, mine in zip(ways, numbers, times, strict=True):
            began = time.perf_counter()
            await way(own[n])
            mine.append((time.perf_counter() - began) * 1000)
    return [mine[_WARM:] for mine in times]


async def _raw_pool(url: str) -> "asyncpg.Pool[asyncpg.Record]":
    return await asyncpg.create_pool(url, min_size=1, max_size=1, server_settings=server_settings())


async def _beside_the_orm(url: str) -> list[Row]:
    customers, phones = await sizes(url)
    numbers = [f"+79{1 + (n * 7919) % customers:09}" for n in range(_WARM + _LOOKUPS)]
    engine, pool = create_engine(url), await _raw_pool(url)
    try:
        ours, things = await _per_second(our_way(engine), numbers)
        orm, same = await _per_second(orm_way(engine), numbers)
        raw, _ = await _per_second(raw_way(pool), numbers)
    finally:
        await pool.close()
        await engine.dispose()
    if things != same:
        raise RuntimeError(f"ours found {things} things, the ORM way {same}: not comparable")
    return [
        Row(
            what=f"look-up of a caller, {_k(customers)} customers, {_k(phones)} numbers",
            ours=f"{ours:.0f}/s ({1000 / ours:.2f} ms)",
            beside=f"ORM {orm:.0f}/s ({1000 / orm:.2f} ms)",
            ratio=ours / orm,
            target=f"at least {_TARGET_ORM:g}×",
            good=ours / orm >= _TARGET_ORM,
        ),
        Row(
            what="the same, beside raw asyncpg without reading the answer",
            ours=f"{ours:.0f}/s",
            beside=f"raw {raw:.0f}/s ({1000 / raw:.2f} ms)",
            ratio=ours / raw,
            target="the floor",
            good=True,
        ),
    ]


async def _tail(url: str) -> Row:
    customers, _ = await sizes(url)
    numbers = await some_numbers(url, _WARM + _FOR_THE_TAIL)
    engine, pool = create_engine(url), await _raw_pool(url)
    try:
        ours, raw = await _times([ring_way(engine), raw_way(pool)], [numbers, numbers])
    finally:
        await pool.close()
        await engine.dispose()
    mine, floor = percentile(ours, 0.99), percentile(raw, 0.99)
    return Row(
        what=f"look-up of a ring, p99, {_k(customers)} customers",
        ours=f"{mine:.2f} ms (p50 {median(ours):.2f})",
        beside=f"raw {floor:.2f} ms (p50 {median(raw):.2f})",
        ratio=mine / floor,
        target=f"at most {_TARGET_TAIL:g}×",
        good=mine / floor <= _TARGET_TAIL,
    )


async def _flat(few_url: str, many_url: str) -> Row:
    (few, _), (many, _) = await sizes(few_url), await sizes(many_url)
    count = _WARM + _FOR_THE_TAIL
    numbers = [await some_numbers(many_url, count), await some_numbers(few_url, count)]
    engines = [create_engine(many_url), create_engine(few_url)]
    try:
        large, small = await _times([ring_way(engine) for engine in engines], numbers)
    finally:
        for engine in engines:
            await engine.dispose()
    ratio = median(large) / median(small)
    return Row(
        what=f"look-up of a ring, p50, {_k(many)} customers beside {_k(few)}",
        ours=f"{median(large):.2f} ms (p99 {percentile(large, 0.99):.2f})",
        beside=f"{median(small):.2f} ms (p99 {percentile(small, 0.99):.2f})",
        ratio=ratio,
        target=f"at most {_TARGET_FLAT:g}×",
        good=ratio <= _TARGET_FLAT,
    )


async def _over_http(url: str, redis_url: str) -> Row:
    customers, _ = await sizes(url)
    numbers = await some_numbers(url, _LOOKUPS)
    engine = create_engine(url)
    try:
        keys = ApiKeyService(ApiKeyRepository(engine), lambda: datetime.now(UTC))
        made = await keys.make(
            "bench", ["lookup"], per_second=1_000_000
        )  # no limit: the limit is not what is measured
    finally:
        await engine.dispose()
    with (
        lookup_http.server("ours", url, redis_url) as ours,
        lookup_http.server("bare", url, redis_url) as bare,
    ):
        turns: list[tuple[float, float]] = []
        for _ in range(_TURNS + 1):
            turns.append(
                (
                    await lookup_http.per_second(ours, numbers, made.key, _TURN_SECONDS),
                    await lookup_http.per_second(bare, numbers, made.key, _TURN_SECONDS),
                )
            )
    _, *counted = turns  # the first one warms both
    mine, theirs = median(t[0] for t in counted), median(t[1] for t in counted)
    ratio = median(a / b for a, b in counted)
    return Row(
        what=f"GET /api/v1/lookup: key, limit, audit, validation, {_k(customers)} customers",
        ours=f"{mine:.0f}/s",
        beside=f"bare FastAPI + asyncpg {theirs:.0f}/s",
        ratio=ratio,
        target=f"at least {_TARGET_HTTP:g}×",
        good=ratio >= _TARGET_HTTP,
    )


async def _database(server_url: str, name: str) -> str:
    connection = await asyncpg.connect(server_url)
    await connection.execute(f'create database "{name}"')
    await connection.close()
    return server_url.rsplit("/", 1)[0] + "/" + name


async def _all(server_url: str, redis_url: str, customers: int, full: str | None) -> list[Row]:
    few = await _database(server_url, "few")
    await fill(few, _FEW)
    rows: list[Row] = []
    if full is None:
        full = await _database(server_url, "many")
        await fill(full, customers)
        rows += await _beside_the_orm(full)
    else:
        await upgrade(full)
    rows.append(await _tail(full))
    rows.append(await _flat(few, full))
    rows.append(await _over_http(full, redis_url))
    return rows


def _k(count: int) -> str:
    return f"{count / 1_000_000:.1f}M" if count >= 1_000_000 else f"{count // 1000}k"


@contextlib.contextmanager
def _servers() -> Iterator[tuple[str, str]]:
    with tempfile.TemporaryDirectory(prefix="callcard-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        postgres = EmbeddedPostgres(folder, durable=False).start()
        stack.callback(postgres.stop)
        valkey = EmbeddedValkey(folder, durable=False).start()
        stack.callback(valkey.stop)
        yield postgres.url, valkey.url


def run(customers: int = _CUSTOMERS, full: str | None = None) -> list[Row]:
    """Raises RuntimeError if the ways did not find the same."""
    with _servers() as (postgres, redis):
        return uvloop.run(_all(postgres, redis, customers, full))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--customers", type=int, default=_CUSTOMERS)
    parser.add_argument("--database", help="one that is full already; an API key named bench is left in it")
    arguments = parser.parse_args()
    sys.exit(0 if show(run(arguments.customers, arguments.database)) else 1)
