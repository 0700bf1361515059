"""`callcard sample`: customers and calls that are nobody's."""

import asyncio
import sys
from array import array
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.cli.output import console, fail
from services.cli.which import Demo, settings_of
from services.cli.work import database, run_it
from services.migrate import upgrade
from services.synthetic.calls import calls as past_calls
from services.synthetic.people import SOURCE
from services.synthetic.people import customers as synthetic_customers
from services.synthetic.tables import (
    Connection,
    count_synthetic,
    open_connection,
    other_sources,
    put_calls,
    put_customers,
    remove,
    tidy,
)

EXAMPLES = """\
Examples:

  callcard sample --customers 1000 --calls 5000           into the database

  callcard sample --customers 100000 --to sample.ndjson   into a file, for `callcard customers import`

  callcard sample --remove                                out of the database again

The same seed gives the same customers. A million customers with 1.5 million numbers take minutes and 300 MB of memory \
at most."""

_LINES = 1000


def sample(
    customers: Annotated[int, typer.Option(help="How many customers.", min=0)] = 1000,
    calls: Annotated[int, typer.Option(help="How many past calls of theirs.", min=0)] = 0,
    seed: Annotated[int, typer.Option(help="Another number gives others.")] = 1,
    to: Annotated[
        Path | None, typer.Option(help="Write the customers to this NDJSON file, - is standard output.")
    ] = None,
    take_out: Annotated[bool, typer.Option("--remove", help="Take all of them out of the database.")] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Even if the database holds customers of other systems.")
    ] = False,
    demo: Demo = False,
) -> None:
    """Make customers and calls that are nobody's, as many as you like: to try and to measure."""
    now = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if to is not None:
        if calls:
            fail("Calls go into a database only: leave --to or --calls out.")
        _to_file(to, customers, seed, now)
        return
    with database(settings_of(demo)) as (url, _):

        async def run() -> str:
            await upgrade(url)
            connection = await open_connection(url)
            try:
                if take_out:
                    return await _take_out(connection)
                return await _fill(connection, customers, calls, seed, now, anyway)
            finally:
                await connection.close()

        print(run_it(run))


async def _fill(
    connection: Connection, customers: int, calls: int, seed: int, now: datetime, anyway: bool
) -> str:
    if (others := await other_sources(connection)) and not anyway:
        fail(
            f"This database holds customers of {', '.join(others)}: samples do not belong beside them. Use --demo or "
            "another database (CALLCARD_DATABASE__URL), or say --anyway."
        )
    if there := await count_synthetic(connection):
        fail(f"{there:,} of them are there already. callcard sample --remove takes them out first.")
    numbers = array("Q")
    with _bar() as bar:
        await _followed(
            bar,
            "customers",
            customers,
            put_customers(connection, islice(synthetic_customers(seed, now), customers), numbers),
        )
        await _followed(
            bar, "calls", calls, put_calls(connection, islice(past_calls(seed, numbers, now), calls))
        )
    with console().status("Telling PostgreSQL what is there now …"):
        await tidy(connection)
    return f"{customers:,} customers with {len(numbers):,} numbers and {calls:,} calls, source {SOURCE!r}."


async def _take_out(connection: Connection) -> str:
    gone = 0
    with console().status("Taking them out …"):
        async with aclosing(remove(connection)) as portions:
            async for done in portions:
                gone = done
    return f"{gone:,} customers and calls are gone."


async def _followed(bar: Progress, what: str, total: int, portions: AsyncGenerator[int, None]) -> None:
    if not total:
        return
    task = bar.add_task(what, total=total)
    async with aclosing(portions) as steps:
        async for done in steps:
            bar.update(task, completed=done)
            await asyncio.sleep(0)  # Ctrl-C is heard here


def _to_file(file: Path, count: int, seed: int, now: datetime) -> None:
    try:
        with _bar() as bar:
            out = sys.stdout.buffer if str(file) == "-" else file.open("wb")
            task = bar.add_task("customers", total=count)
            those = islice(synthetic_customers(seed, now), count)
            while lines := [
                orjson.dumps(one.as_json(), option=orjson.OPT_APPEND_NEWLINE) for one in islice(those, _LINES)
            ]:
                out.write(b"".join(lines))
                bar.advance(task, len(lines))
            if str(file) == "-":
                out.flush()
            else:
                out.close()
    except OSError as error:
        fail(f"{file} cannot be written: {(error.strerror or str(error)).lower()}.")
    if str(file) != "-":
        print(f"{count:,} customers are in {file}.")


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console(),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
