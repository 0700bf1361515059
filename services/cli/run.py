"""`callcard run`: a piece, several, or the whole product."""

import asyncio
from typing import Annotated

import structlog
import typer
import uvloop

from services.runtime import Target, check, serve, servers
from services.sibling import Sibling
from services.workers import MOST_WORKERS, run_workers
from shared.observability import configure_logging
from shared.settings import SettingsError, load_settings

EXAMPLES = """\
Examples:

  callcard run all                     the product in one process, with its own PostgreSQL and Redis

  callcard run listener                one piece, as a container does it

  callcard run api gateway desk        several in one process

  callcard run gateway --workers 4     four gateways behind one port, for thousands of tabs

Settings are CALLCARD_* variables; the README lists them."""


def run(
    targets: Annotated[list[Target], typer.Argument(help="What to run.", metavar="TARGET…")],
    workers: Annotated[
        int,
        typer.Option(
            min=1, max=MOST_WORKERS, help="Processes of the gateway; one for each core it shall use."
        ),
    ] = 1,
    sibling: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Run pieces of Callcard until Ctrl-C: listener, api, worker, gateway, desk, simulator, or all."""
    if workers > 1 and targets != [Target.GATEWAY]:
        raise SettingsError(
            "--workers is for the gateway alone: callcard run gateway --workers 4. Run the other pieces in "
            "processes of their own, as often as you like."
        )
    settings = load_settings()
    check(settings, targets)
    configure_logging(settings.log_level, settings.log_format)
    place = Sibling.of(sibling) if sibling else None
    if place is not None:
        structlog.contextvars.bind_contextvars(process=place.number)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if workers > 1:
            raise typer.Exit(runner.run(run_workers(settings, workers)))
        with servers(settings, targets) as at:
            runner.run(serve(settings, targets, at, sibling=place))
