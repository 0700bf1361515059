"""`callcard push`: what goes to the agents' tabs."""

import asyncio
import contextlib
import json
import os
import sys
from datetime import datetime
from importlib.metadata import version
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import typer
from redis.exceptions import RedisError

from services.cli.output import console, fail
from services.cli.which import Demo, settings_of
from services.embedded.running import running
from shared.push import agent_channel
from shared.settings import Settings

app = typer.Typer(
    help="What goes to the agents' tabs: watch it live, and its description.", no_args_is_help=True
)

_EXAMPLES = """\
Examples:

  callcard push tail --agent 101                    the cards of one agent, as their tabs get them

  callcard push tail --agent 101 --line support     several channels at once

  callcard push tail --channel notices --json       one JSON document a line, for jq

  callcard push tail --agent 101 --show-personal    with names and numbers"""


@app.command("tail", epilog=_EXAMPLES)
def tail_(
    agent: Annotated[list[str] | None, typer.Option(help="Login of an agent; repeat it for several.")] = None,
    line: Annotated[list[str] | None, typer.Option(help="Name of a line (queue).")] = None,
    channel: Annotated[list[str] | None, typer.Option(help="Any channel by its name, e.g. notices.")] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="What the tabs get, one JSON document a line.")
    ] = False,
    show_personal: Annotated[
        bool, typer.Option("--show-personal", help="Names, numbers and texts are not masked.")
    ] = False,
    demo: Demo = False,
) -> None:
    """Show live channels until Ctrl-C: one line for each thing that is pushed to the tabs."""
    from services.cli.push_lines import json_line
    from services.cli.push_lines import line as text_line
    from services.cli.push_tail import Printer, tail

    names = [*map(agent_channel, agent or ()), *(f"line:{name}" for name in line or ()), *(channel or ())]
    if not names:
        fail("Say which channel: --agent LOGIN, --line NAME or --channel NAME.")
    if wrong := [name for name in names if set(name) & set("{} \n") or name.endswith(":")]:
        fail(f"{wrong[0]!r} is no name of a channel.")
    settings = settings_of(demo)
    url = _redis_url(settings)
    zone = ZoneInfo(settings.timezone)

    def push(pushed: dict[str, Any], at: datetime) -> None:
        text = json_line(pushed, at, show_personal) if json_ else text_line(pushed, at, zone, show_personal)
        print(text, flush=True)

    def say(text: str) -> None:
        console().print(text, markup=False, soft_wrap=True)

    try:
        asyncio.run(tail(url, list(dict.fromkeys(names)), Printer(push, say)))
    except KeyboardInterrupt:
        pass
    except BaseExceptionGroup as errors:
        if errors.subgroup(BrokenPipeError) is None:
            raise
        _stdout_is_gone()
    except (RedisError, OSError) as error:
        fail(f"Redis at {urlsplit(url).netloc.rpartition('@')[2]} cannot be used: {error}", 1)


@app.command("asyncapi", epilog="Examples:\n\n  callcard push asyncapi > asyncapi.json")
def asyncapi() -> None:
    """Print the AsyncAPI document of the push gateway: its channels, messages, commands, errors and close codes."""
    from push_gateway.asyncapi import document

    print(json.dumps(document(version("callcard")), indent=2, ensure_ascii=False))


def _redis_url(settings: Settings) -> str:
    """The Redis that the settings mean, or that of a running Callcard."""
    if settings.push.backend == "centrifugo":
        fail(
            "Cards go through Centrifugo here (CALLCARD_PUSH__BACKEND=centrifugo): watch the channel in its "
            "administration, or subscribe to it with an SDK."
        )
    if settings.redis.url is not None:
        return settings.redis.url.get_secret_value()
    found = running(settings.data_dir)
    if found is None:
        fail(
            f"No Callcard is running on {settings.data_dir}, and CALLCARD_REDIS__URL is not set. Start "
            "`callcard run all`, say --demo if you mean the demo, or set the address of the Redis it uses."
        )
    return found[1]


def _stdout_is_gone() -> None:
    """`| head` has seen enough. Python would complain once more when it flushes at the end."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
