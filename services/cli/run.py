"""`callcard run`: a piece, several, or the whole product."""

import asyncio
from typing import Annotated

import typer
import uvloop

from services.runtime import Target, check, serve, servers
from shared.observability import configure_logging
from shared.settings import load_settings

EXAMPLES = """\
Examples:

  callcard run all                     the product in one process, with its own PostgreSQL and Redis

  callcard run listener                one piece, as a container does it

  callcard run api gateway desk        several in one process

Settings are CALLCARD_* variables; the README lists them."""


def run(
    targets: Annotated[list[Target], typer.Argument(help="What to run.", metavar="TARGET…")],
) -> None:
    """Run pieces of Callcard until Ctrl-C: listener, api, worker, gateway, desk, simulator, or all."""
    settings = load_settings()
    check(settings, targets)
    configure_logging(settings.log_level, settings.log_format)
    with servers(settings, targets) as at, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, targets, at))
