"""Synthetic customers and calls into PostgreSQL, by COPY: a million in minutes, in the memory of a portion."""

from array import array
from collections.abc import AsyncGenerator, Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any

import asyncpg
import orjson

from services.synthetic import words
from services.synthetic.calls import COLUMNS as CALL_COLUMNS
from services.synthetic.calls import PBX, PastCall
from services.synthetic.people import SOURCE, Synthetic

# A transaction's worth: large enough that its end costs nothing, small enough to hold.
_PORTION = 10_000
# A portion's indexes are written on a slow disk too; what takes longer is a lock.
_TIMEOUT = 300.0

_TABLES = {
    "customers": (
        *(
            "id",
            "source",
            "external_id",
            "kind",
            "name",
            "greet_as",
            "category",
            "manager",
            "tags",
            "attributes",
        ),
        "preferences",
    ),
    "customer_phones": (
        "customer_id",
        "e164",
        "as_typed",
        "purpose",
        "kind",
        "extension",
        "remark",
        "source",
    ),
    "customer_names": ("customer_id", "name", "source"),
    "customer_people": ("customer_id", "name", "role", "source"),
    "accounts": ("customer_id", "source", "external_id", "number", "status", "product"),
    "orders": (
        *("customer_id", "source", "external_id", "number", "title", "status", "amount", "currency"),
        "ordered_at",
    ),
    "tickets": (
        *("customer_id", "source", "external_id", "number", "subject", "status", "opened_at", "closed_at"),
    ),
}
Connection = Any
"""asyncpg's, of its own or out of a pool."""


async def other_sources(connection: Connection) -> list[str]:
    """Systems that have customers here beside the samples: up to three."""
    rows = await connection.fetch(
        "select distinct source from customers where source not in ('sample', $1) limit 3", SOURCE
    )
    return [row["source"] for row in rows]


async def count_synthetic(connection: Connection) -> int:
    found: int = await connection.fetchval("select count(*) from customers where source = $1", SOURCE)
    return found


async def put_customers(
    connection: Connection, some: Iterable[Synthetic], numbers: "array[int]"
) -> AsyncGenerator[int, None]:
    """Store them; yields how many are there after each portion, a transaction each. Their numbers join `numbers`, as
    digits. Raises asyncpg.UniqueViolationError if they are there already."""
    await connection.executemany(
        "insert into categories (code, label, colour, priority) values ($1, $2, $3, $4) on conflict do nothing",
        words.CATEGORIES,
    )
    done = 0
    for portion in _portions(some):
        rows: dict[str, list[tuple[Any, ...]]] = {table: [] for table in _TABLES}
        for one in portion:
            _take(one, rows)
            numbers.extend(int(phone.e164[1:]) for phone in one.phones)
        async with connection.transaction():
            for table, columns in _TABLES.items():
                await connection.copy_records_to_table(
                    table, records=rows[table], columns=columns, timeout=_TIMEOUT
                )
        done += len(portion)
        yield done


async def put_calls(connection: Connection, some: Iterable[PastCall]) -> AsyncGenerator[int, None]:
    """The same for calls."""
    done = 0
    for portion in _portions(some):
        await connection.copy_records_to_table(
            "calls", records=portion, columns=CALL_COLUMNS, timeout=_TIMEOUT
        )
        done += len(portion)
        yield done


async def tidy(connection: Connection) -> None:
    """Tell the planner what is there now, and the indexes what all may see."""
    for table in (*_TABLES, "calls"):
        await connection.execute(f"vacuum (analyze) {table}", timeout=_TIMEOUT)


async def remove(connection: Connection) -> AsyncGenerator[int, None]:
    """Take all of it out again, portion by portion; yields how many customers and calls are gone."""
    gone = 0
    for statement in (
        "delete from customers where id in (select id from customers where source = $1 limit $2)",
        "delete from calls where call_id in (select call_id from calls where pbx = $1 limit $2)",
    ):
        # The name of the source and that of the PBX are the same word.
        assert SOURCE == PBX
        while (tag := await connection.execute(statement, SOURCE, _PORTION, timeout=_TIMEOUT)) != "DELETE 0":
            gone += int(tag.split()[1])
            yield gone


def _portions(some: Iterable[Any]) -> Iterator[list[Any]]:
    those = iter(some)
    while portion := list(islice(those, _PORTION)):
        yield portion


def _take(one: Synthetic, rows: dict[str, list[tuple[Any, ...]]]) -> None:
    said, id_ = one.fields, one.id
    rows["customers"].append(
        (
            id_,
            SOURCE,
            said["external_id"],
            said["kind"],
            said["name"],
            said.get("greet_as"),
            said.get("category"),
            said.get("manager"),
            said.get("tags", []),
            orjson.dumps(said.get("attributes", {})).decode(),
            orjson.dumps(said.get("preferences", {})).decode(),
        )
    )
    rows["customer_phones"] += [
        (id_, p.e164, p.typed, p.purpose, "phone", p.extension, p.remark, SOURCE) for p in one.phones
    ]
    rows["customer_names"] += [(id_, name, SOURCE) for name in said.get("names", ())]
    rows["customer_people"] += [(id_, p["name"], p["role"], SOURCE) for p in said.get("people", ())]
    rows["accounts"] += [
        (id_, SOURCE, a["number"], a["number"], a["status"], a["product"]) for a in said["accounts"]
    ]
    rows["orders"] += [
        (
            *(id_, SOURCE, o["number"], o["number"], o["title"], o["status"]),
            *(Decimal(o["amount"]), o["currency"], datetime.fromisoformat(o["ordered_at"])),
        )
        for o in said["orders"]
    ]
    rows["tickets"] += [
        (
            *(id_, SOURCE, t["number"], t["number"], t["subject"], t["status"]),
            datetime.fromisoformat(t["opened_at"]),
            datetime.fromisoformat(t["closed_at"]) if t["closed_at"] else None,
        )
        for t in said["tickets"]
    ]


async def open_connection(url: str) -> Connection:
    """A connection of its own, without the limit on a statement's time that the product's have."""
    return await asyncpg.connect(url, server_settings={"application_name": "callcard sample", "jit": "off"})
