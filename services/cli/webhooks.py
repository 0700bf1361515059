"""`callcard webhook`: telling other systems of calls and customers."""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.events.outbox import EventType
from card_api.webhooks.hooks import HookRepository, HookRow
from card_api.webhooks.repository import DeliveryRepository
from card_api.webhooks.schemas import WebhookWrite
from card_api.webhooks.sender import Sender
from card_api.webhooks.service import WebhookService
from services.cli.output import console, fail
from services.cli.webhook_listen import listen
from services.cli.which import Demo, settings_of
from services.cli.work import Answer, with_database
from services.runtime import kept_secret
from shared.errors import Problem
from shared.settings import Settings

app = typer.Typer(help="Web hooks: telling other systems of calls and customers.", no_args_is_help=True)

Hook = Annotated[
    str, typer.Argument(help="Its name, or the beginning of its id, as `webhook list` shows them.")
]
Work = Callable[[WebhookService], Awaitable[Answer]]

# As many of the dead as a terminal shows.
_SHOWN = 50

app.command(
    "listen",
    epilog="Examples:\n\n  callcard webhook listen 9000\n\n  callcard webhook listen 9000 --secret whsec_…",
)(listen)


@app.command(
    "add",
    epilog="Examples:\n\n  callcard webhook add https://crm.example/callcard --name CRM\n\n"
    "  callcard webhook add https://crm.example/callcard --name CRM --event call.missed --event call.ended\n\n"
    "  callcard webhook add https://zammad.example/api/v1/cti/TOKEN --name Zammad --format zammad",
)
def add(
    url: Annotated[str, typer.Argument(help="Where it goes.")],
    name: Annotated[str, typer.Option(help="Which system it is.")],
    event: Annotated[
        list[str] | None,
        typer.Option(
            help=f"What to tell of: {', '.join(EventType)}; repeat it for several.  [default: everything]"
        ),
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="callcard or zammad.")] = "callcard",
    demo: Demo = False,
) -> None:
    """Tell a system from now on. Its secret is printed, once."""
    try:
        write = WebhookWrite.model_validate({"name": name, "url": url, "format": format_, "events": event})
    except ValidationError as error:
        fail("\n".join(_sentence(e) for e in error.errors()))

    async def work(hooks: WebhookService) -> tuple[HookRow, str]:
        row = await hooks.create(write)
        return row, hooks.secret(row.id)

    made, secret = _with(demo, work)
    print(secret)
    console().print(
        f"{made.name} ({str(made.id)[:8]}) is told of {', '.join(made.events)}.\n"
        "Its secret, which proves that a request is from Callcard, is not shown again."
    )


@app.command("list", epilog="Examples:\n\n  callcard webhook list")
def list_(demo: Demo = False) -> None:
    """Every web hook, and how it fares."""
    hooks = _with(demo, lambda hooks: hooks.all())
    if not hooks:
        console().print("There are no web hooks yet. callcard webhook add --help says how to add one.")
        return
    table = Table("id", "name", "address", "format", "told of", "last success", "")
    for hook in hooks:
        table.add_row(
            str(hook.id)[:8],
            hook.name,
            hook.url,
            hook.format,
            ", ".join(hook.events),
            f"{hook.last_success_at:%Y-%m-%d %H:%M}" if hook.last_success_at else "never",
            _standing(hook),
        )
    Console().print(table)


@app.command("test", epilog="Examples:\n\n  callcard webhook test CRM")
def try_out(hook: Hook, demo: Demo = False) -> None:
    """Send a ping now, and say what came of it."""

    async def work(hooks: WebhookService) -> Any:
        return await hooks.try_out((await _find(hooks, hook)).id)

    outcome = _with(demo, work)
    if not outcome.delivered:
        fail(outcome.error, 1)
    print(f"Delivered: it answered {outcome.status_code} in {outcome.ms:g} ms.")


@app.command("dead", epilog="Examples:\n\n  callcard webhook dead CRM")
def dead(hook: Hook, demo: Demo = False) -> None:
    """What was given up, newest first, and why."""

    async def work(hooks: WebhookService) -> Sequence[Any]:
        return await hooks.deliveries((await _find(hooks, hook)).id, "dead", None, _SHOWN + 1)

    rows = _with(demo, work)
    if not rows:
        console().print("Nothing was given up.")
        return
    table = Table("delivery", "event", "of", "given up", "tries", "why")
    for row in rows[:_SHOWN]:
        why = row.error or ""
        when = f"{row.finished_at:%Y-%m-%d %H:%M}"
        table.add_row(str(row.id), row.type, row.subject or "", when, str(row.attempts), why)
    Console().print(table)
    if len(rows) > _SHOWN:
        console().print(f"There are more; these are the newest {_SHOWN}.")


@app.command(
    "replay",
    epilog="Examples:\n\n  callcard webhook replay CRM --all\n\n  callcard webhook replay CRM 4711",
)
def replay(
    hook: Hook,
    delivery: Annotated[
        int | None, typer.Argument(help="One delivery, as `webhook dead` shows it.", min=1, max=2**63 - 1)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that was given up.")] = False,
    demo: Demo = False,
) -> None:
    """Send once more what was given up."""
    if (delivery is None) is not everything:
        fail("Say which delivery, or --all.")

    async def work(hooks: WebhookService) -> int:
        found = await _find(hooks, hook)
        if delivery is None:
            return await hooks.replay_dead(found.id)
        await hooks.replay(found.id, delivery)
        return 1

    print(f"{_with(demo, work)} sent once more.")


async def _find(hooks: WebhookService, said: str) -> HookRow:
    everything = await hooks.all()
    found = [row for row in everything if row.name == said or (said and str(row.id).startswith(said.lower()))]
    if len(found) != 1:
        which = "No web hook is" if not found else "Several web hooks are"
        fail(f"{which} named {said!r} or have an id that begins so. callcard webhook list shows them.")
    return found[0]


def _with(demo: bool, work: Work[Answer]) -> Answer:
    settings = settings_of(demo)
    secret = _site_secret(settings)

    def now() -> datetime:
        return datetime.now(UTC)

    async def run(engine: AsyncEngine, _: object) -> Answer:
        sender = Sender(secret, settings.webhooks.allow_private, now)
        hooks = WebhookService(HookRepository(engine), DeliveryRepository(engine), sender, secret, now)
        try:
            return await work(hooks)
        except Problem as problem:
            fail(problem.detail)
        finally:
            await sender.close()

    return with_database(demo, run)


def _site_secret(settings: Settings) -> str:
    """What the processes that send sign with."""
    if settings.auth.secret is not None:
        return settings.auth.secret.get_secret_value()
    if settings.database.url is not None:
        fail("CALLCARD_AUTH__SECRET is missing: set the one that the API and the worker have.")
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    return kept_secret(settings.data_dir / "auth-secret", lambda: secrets.token_hex(32))


def _standing(hook: HookRow) -> str:
    if not hook.active:
        return hook.switched_off or "switched off"
    return f"failing since {hook.failing_since:%Y-%m-%d %H:%M}" if hook.failing_since else "fine"


def _sentence(error: Any) -> str:
    what = "--" + str(error["loc"][0]).removesuffix("s") if error["loc"] else ""
    message = error["msg"].removeprefix("Value error, ")
    what = {"--url": "The address", "--event": "--event"}.get(what, what)
    return f"{what}: {message}." if what else f"{message}."
