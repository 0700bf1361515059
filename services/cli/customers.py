"""`callcard customers`: load them from a file, straight into the database, and write them to one."""

import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.audit.repository import AuditEntry, AuditRepository
from card_api.customers.bulk.columns import ColumnError, columns_by_map
from card_api.customers.bulk.load import load
from card_api.customers.bulk.reading import NoHeader, Rows, csv_file, ndjson
from card_api.customers.bulk.rows import Checked, How, check_rows
from card_api.customers.bulk.store import Status, Store
from card_api.customers.bulk.text import RawRow
from card_api.customers.bulk.worker import Worker
from card_api.customers.export import Wanted, count_customers, csv_lines, export_pages, ndjson_lines
from card_api.webhooks.book import HookBook
from card_api.webhooks.outbox import HookOutbox
from services.cli.encodings import encoding_of, known, splittable
from services.cli.errors import ErrorFile, FailedRows
from services.cli.output import console, fail
from services.cli.recordings import chunks
from services.cli.which import Demo, settings_of
from services.cli.work import with_database

app = typer.Typer(help="Customers: load them from a file, write them to one.", no_args_is_help=True)

# Fewer transactions than the API's smaller batches; nobody waits for this process's loop.
_BATCH = 1500
# A smaller file is checked before another process has begun to run.
_WORTH_A_WORKER = 2_000_000
# So often a bar is drawn at most; each batch is some thousand rows.
_READ = 1 << 18


@dataclass
class Done:
    """How far a load has come."""

    rows: int = 0
    by_status: Counter[Status] = field(default_factory=Counter)
    stopped: bool = False
    seconds: float = 0.0


@app.command(
    "import",
    epilog="Examples:\n\n"
    "  callcard customers import customers.ndjson\n\n"
    "  callcard customers import база.csv --source crm --map external_id=Код --map name=Фамилия,Имя "
    "--map phones=Телефон,Моб --dry-run\n\n"
    "  callcard customers import база.csv --source crm --map … --errors failed.csv\n\n"
    "A row is the customer whole, as its source knows them; the same row again changes nothing. CSV: the first line "
    "names the columns; those named like a field need no --map; several columns of a field come together; lists are "
    "parted by ; or JSON text; --map attributes.floor=Этаж makes a free field.",
)
def import_command(
    file: Annotated[Path, typer.Argument(help="CSV or NDJSON (an object a line); - is standard input.")],
    source: Annotated[
        str | None, typer.Option(help="System the rows are from, where they do not say it: crm.")
    ] = None,
    mapping: Annotated[
        list[str] | None, typer.Option("--map", help="FIELD=COLUMN,COLUMN… for CSV; repeat it.")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="Of CSV columns.  [default: ; or , or tab, as the first line has it]")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="[default: UTF-8 or UTF-16 if it is that, else windows-1251]")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, store nothing.")] = False,
    errors: Annotated[
        Path | None, typer.Option(help="Write the rows that failed to this CSV file, with the reason.")
    ] = None,
    country: Annotated[
        str | None, typer.Option(help="Of numbers without a country code, e.g. RU.  [default: the site's]")
    ] = None,
    demo: Demo = False,
) -> None:
    """Load customers from a file, straight into the database. Bad rows are reported and stop nobody."""
    if country is not None and not (len(country) == 2 and country.isalpha()):
        fail(f"{country!r} is no country: use two letters, like RU.")
    said = known(encoding) if encoding else None
    if encoding and said is None:
        fail(f"There is no encoding {encoding!r} to read this with: try utf-8, windows-1251 or utf-16.")
    plan = _Plan(
        file,
        source,
        _mapping(mapping or ()),
        {"tab": "\t", "\\t": "\t"}.get(delimiter or "", delimiter),
        said,
        dry_run,
        errors,
        (country or settings_of(demo).country).upper(),
    )

    async def work(engine: AsyncEngine, _: Redis) -> tuple[Done, FailedRows]:
        return await _load(plan, engine)

    _usable(file, "rb")
    if errors is not None:
        _usable(errors, "wb")
    try:
        done, failed = with_database(demo, work)
    except (ColumnError, NoHeader) as error:
        hint = " Say --source if all rows are from one system." if "column is source" in str(error) else ""
        if "No column is" in str(error) or "no column" in str(error):
            hint += " --map FIELD=COLUMN says which column is which."
        fail(f"{file}: {error}{hint}")
    failed.show(console())
    if errors is not None and failed.count:
        console().print(f"The rows that failed are in {errors}.")
    print(_sentence(done, dry_run))
    if done.stopped:
        sys.exit(130)
    if failed.count:
        sys.exit(1)


@app.command(
    "export",
    epilog="Examples:\n\n  callcard customers export customers.ndjson\n\n"
    "  callcard customers export vip.csv --source crm --category vip\n\n"
    "What is written can be imported as it is. It has what sources said; what agents have added is not in it.",
)
def export_command(
    file: Annotated[Path, typer.Argument(help="To write: .csv, else NDJSON; - is standard output.")],
    source: Annotated[str | None, typer.Option(help="Records of this system only.")] = None,
    category: Annotated[str | None, typer.Option(help="Of this category only, by its code.")] = None,
    updated_since: Annotated[
        datetime | None, typer.Option(help="Changed at this moment (UTC) or later.")
    ] = None,
    demo: Demo = False,
) -> None:
    """Write customers to a file."""
    since = updated_since.replace(tzinfo=UTC) if updated_since else None

    async def work(engine: AsyncEngine, _: Redis) -> int:
        return await _export(engine, file, Wanted(source, category, since))

    _usable(file, "wb")
    written = with_database(demo, work)
    if str(file) != "-":
        print(f"{written:,} customers are in {file}.")


# --- loading --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Plan:
    file: Path
    source: str | None
    mapping: dict[str, list[str]]
    delimiter: str | None
    encoding: str | None
    dry_run: bool
    errors: Path | None
    country: str


async def _load(plan: _Plan, engine: AsyncEngine) -> tuple[Done, FailedRows]:
    begin = next(chunks(plan.file, _READ), b"") if str(plan.file) != "-" else b""
    encoding = plan.encoding or (encoding_of(chunks(plan.file)) if str(plan.file) != "-" else "utf-8")
    text = "utf-8" if encoding.startswith("utf-16") else encoding
    header: list[str] | None = None
    delimiter = ","
    with _bar(plan.file) as bar:
        pieces = _pieces(plan.file, encoding, bar)
        if (
            plan.file.suffix.lower() in (".ndjson", ".jsonl", ".json")
            or begin.lstrip(b"\xef\xbb\xbf \r\n")[:1] == b"{"
        ):
            if plan.mapping:
                fail("--map is for CSV: the fields of NDJSON have their own names.")
            if begin.lstrip()[:1] == b"[":
                fail(
                    f"{plan.file} is one JSON list. NDJSON has an object a line: jq -c '.[]' makes one of it."
                )
            rows, how = ndjson(pieces), How(plan.country, plan.source)
        else:
            file = await csv_file(pieces, text, plan.delimiter)
            header, delimiter = file.header, file.delimiter
            columns = columns_by_map(header, plan.mapping, source_given=plan.source is not None)
            left = [
                name for name, column in zip(header, columns, strict=True) if column is None and name.strip()
            ]
            if left:
                console().print(
                    f"Not loaded: {', '.join(left)}. (--map FIELD=COLUMN loads a column.)", markup=False
                )
            rows, how = file.rows, How(plan.country, plan.source, columns, delimiter, text)
        with ErrorFile(plan.errors, header, delimiter, text) as error_file:
            return await _store(plan, engine, rows, how, bar, error_file)


async def _store(
    plan: _Plan, engine: AsyncEngine, rows: Rows, how: How, bar: "_Bar", error_file: ErrorFile
) -> tuple[Done, FailedRows]:
    book = HookBook(engine)
    await book.refresh()  # now: during a batch its transaction has the one connection
    store = Store(engine, HookOutbox(book), dry_run=plan.dry_run)
    large = str(plan.file) == "-" or plan.file.stat().st_size > _WORTH_A_WORKER
    worker = Worker() if large else None
    done, failed = Done(), FailedRows()
    on_the_way: dict[int, bytes] = {}

    async def kept() -> Rows:
        async for some in rows:
            if plan.errors is not None:
                on_the_way.update((row.line, row.data) for row in some)
            yield some

    async def check(batch: Sequence[RawRow]) -> list[Checked]:
        return await worker.check(batch, how) if worker is not None else check_rows(batch, how)

    began = time.monotonic()
    try:
        with _ctrl_c() as asked:
            async with aclosing(load(kept(), check, store, _BATCH)) as batches:
                async for reports in batches:
                    for report in reports:
                        done.by_status[report.status] += 1
                        row = on_the_way.pop(report.line, b"")
                        if report.status is Status.FAILED:
                            failed.add(report)
                            error_file.add(report, row)
                    done.rows += len(reports)
                    done.seconds = time.monotonic() - began
                    bar.say(done.rows, failed.count, done.seconds)
                    if asked():
                        done.stopped = True
                        break
    finally:
        if worker is not None:
            await worker.close()
        if not plan.dry_run and done.rows:
            await AuditRepository(engine).add([_audit(plan, done)])
    return done, failed


def _audit(plan: _Plan, done: Done) -> AuditEntry:
    detail = {"file": plan.file.name, "rows": done.rows} | {str(k): n for k, n in done.by_status.items()}
    return AuditEntry(datetime.now(UTC), "system", "command line", "customers.import", plan.source, detail)


def _mapping(said: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in said:
        name, equals, columns = one.partition("=")
        if not equals or not name.strip() or not columns.strip():
            fail(
                f"--map {one!r} is not FIELD=COLUMN: write it like --map name=ФИО or --map phones=Телефон,Моб."
            )
        found.setdefault(name.strip(), []).extend(c.strip() for c in columns.split(",") if c.strip())
    return found


def _sentence(done: Done, dry_run: bool) -> str:
    counts = ", ".join(f"{done.by_status[status]:,} {status}" for status in Status if done.by_status[status])
    pace = f" in {done.seconds:,.1f} s" if done.seconds >= 1 else ""
    what = f"{done.rows:,} rows{pace}: {counts or 'nothing'}."
    if dry_run:
        what = f"Dry run, nothing was stored. {what}"
    if done.stopped:
        what += (
            " Stopped as you asked; what is counted here is stored. Import the file again to load the rest."
        )
    return what


def _usable(file: Path, mode: str) -> None:
    """Before anything is begun."""
    if str(file) == "-":
        return
    try:
        file.open(mode).close()
    except OSError as error:
        fail(
            f"{file} cannot be {'read' if mode == 'rb' else 'written'}: {(error.strerror or str(error)).lower()}."
        )


@contextmanager
def _ctrl_c() -> Iterator[Callable[[], bool]]:
    """Inside, Ctrl-C asks to stop and does nothing else; a second one ends everything at once."""
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)


# --- reading and showing --------------------------------------------------------------------------------------


async def _pieces(file: Path, encoding: str, bar: "_Bar") -> AsyncIterator[bytes]:
    read = bar.counted(chunks(file, _READ))
    for piece in splittable(read, encoding):
        if piece:
            yield piece


class _Bar:
    """A progress bar on a terminal; nothing elsewhere."""

    def __init__(self, total: int | None) -> None:
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        self.progress = Progress(
            BarColumn(),
            DownloadColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
            console=console(),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._task = self.progress.add_task("", total=total)

    def counted(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self.progress.advance(self._task, len(piece))
            yield piece

    def say(self, rows: int, failed: int, seconds: float) -> None:
        pace = rows / seconds if seconds else 0
        wrong = f", [red]{failed:,} failed[/]" if failed else ""
        self.progress.update(self._task, description=f"{rows:,} rows, {pace:,.0f}/s{wrong}")


@contextmanager
def _bar(file: Path) -> Iterator[_Bar]:
    bar = _Bar(None if str(file) == "-" else file.stat().st_size)
    with bar.progress:
        yield bar


# --- writing --------------------------------------------------------------------------------------------------


async def _export(engine: AsyncEngine, file: Path, wanted: Wanted) -> int:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    written = 0
    with Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console(),
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as progress:
        task = progress.add_task("", total=await count_customers(engine, wanted))

        async def pages() -> AsyncIterator[list[str]]:
            nonlocal written
            async for page in export_pages(engine, wanted):
                written += len(page)
                progress.advance(task, len(page))
                yield page

        pieces = csv_lines(pages()) if file.suffix.lower() == ".csv" else ndjson_lines(pages())
        if str(file) == "-":
            async for piece in pieces:
                sys.stdout.write(piece)
        else:
            with file.open("w", encoding="utf-8", newline="") as out:
                async for piece in pieces:
                    out.write(piece)
    entry = AuditEntry(
        datetime.now(UTC), "system", "command line", "customers.export", wanted.source, {"rows": written}
    )
    await AuditRepository(engine).add([entry])
    return written
