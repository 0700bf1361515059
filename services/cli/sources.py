"""`callcard sources`: the other systems that know customers, tried by whoever writes their settings."""

import asyncio
from collections.abc import Sequence
from time import perf_counter
from typing import Annotated, NamedTuple

import orjson
import typer
from rich.console import Console
from rich.table import Table

from card_api.lookup.schemas import FoundCustomer, Question
from card_api.metrics import Metrics
from card_api.sources.build import build_sources
from card_api.sources.source import SourceFailed
from card_api.sources.watch import WatchedSource
from services.cli.output import console, fail
from shared.observability import configure_logging
from shared.phone import normalise
from shared.settings import load_settings

app = typer.Typer(help="Other systems that know customers.", no_args_is_help=True)

# What says something about a customer, in the order a card has it; empty fields are left out.
_SHOWN = {"name", "kind", "greet_as", "category", "manager", "tags", "url", "preferences", "attributes"}
_SHOWN |= {"names", "people", "accounts", "tickets", "orders", "external_id", "matched_by"}


class Answer(NamedTuple):
    """What a source said. `failed`: why it said nothing."""

    source: WatchedSource
    ms: float
    customers: list[FoundCustomer]
    failed: str | None = None


@app.callback()
def _sources() -> None:
    """Other systems that know customers."""


@app.command(
    "test",
    epilog="Examples:\n\n  callcard sources test '8 (900) 111-22-33'\n\n"
    "  callcard sources test +79001112233 --account 77-123 --source crm\n\n"
    "  callcard sources test +79001112233 --json | jq .",
)
def sources_test(
    number: Annotated[str, typer.Argument(help="A caller's number, as people write it.")],
    account: Annotated[
        str | None, typer.Option(help="A contract number, as if the caller had typed it.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Ask this one only.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON for each source.")] = False,
) -> None:
    """Ask every source of the settings who has this number, and show what came, how fast, or why nothing did.

    Each is asked as in a call, with its checks but without its cache. Exit code 1 if one of them failed.
    """
    settings = load_settings()
    # What is wrong is said below; the log would say it twice.
    configure_logging("critical", "console")
    sources = build_sources(settings, Metrics())
    if not sources:
        fail("No source is set up: CALLCARD_SOURCES__CRM__URL names the first (docs/sources.md).")
    chosen = [one for one in sources if source in (None, one.name)]
    if not chosen:
        fail(f"There is no source {source!r}: use {' or '.join(one.name for one in sources)}.")
    e164 = normalise(number, settings.country)
    if e164 is None:
        fail(
            f"{number!r} is no phone number: write it like +79001112233, or as it is dialled in {settings.country}."
        )
    answers = asyncio.run(_ask(chosen, sources, Question(e164, account)))
    for answer in answers:
        if as_json:
            print(orjson.dumps(_document(answer)).decode())
        else:
            _show(answer)
    if any(answer.failed for answer in answers):
        raise typer.Exit(1)


async def _ask(
    chosen: Sequence[WatchedSource], all_: Sequence[WatchedSource], question: Question
) -> list[Answer]:
    try:
        return await asyncio.gather(*(_answer(source, question) for source in chosen))
    finally:
        for source in all_:
            await source.close()


async def _answer(source: WatchedSource, question: Question) -> Answer:
    began = perf_counter()
    try:
        customers, failed = await source.find(question), None
    except SourceFailed as error:
        customers, failed = [], str(error)
    return Answer(source, round((perf_counter() - began) * 1000, 1), customers, failed)


def _document(answer: Answer) -> dict[str, object]:
    return {
        "source": answer.source.name,
        "status": _status(answer),
        "ms": answer.ms,
        "reason": answer.failed,
        "customers": [customer.to_dict() for customer in answer.customers],
    }


def _status(answer: Answer) -> str:
    if answer.failed:
        return "failed"
    return "late" if answer.ms > answer.source.deadline * 1000 else "ok"


def _show(answer: Answer) -> None:
    name, status = answer.source.name, _status(answer)
    line = f"{name}: {status} after {answer.ms} ms"
    if status == "late":
        line += f" (its deadline is {answer.source.deadline * 1000:.0f} ms: the card shows it later)"
    if answer.failed:
        console().print(f"{line}: {answer.failed}", markup=False)
        return
    said = f"{len(answer.customers)} customers" if len(answer.customers) != 1 else "1 customer"
    print(f"{line}, {said if answer.customers else 'nobody'}")
    for customer in answer.customers:
        table = Table(show_header=False, box=None, padding=(0, 2))
        for field, value in customer.to_dict().items():
            if field in _SHOWN and value:
                table.add_row(field, _in_words(value))
        # On a pipe as wide as its contents: cut values help nobody.
        Console(width=None if Console().is_terminal else 200, markup=False, highlight=False).print(table)


def _in_words(value: object) -> str:
    if isinstance(value, list):
        return "\n".join(_in_words(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{k} {_in_words(v)}" for k, v in value.items() if v is not None and k != "source")
    return str(value)
