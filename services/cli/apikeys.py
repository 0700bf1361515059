"""`callcard apikey`: keys for other systems."""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Column, Table
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.api_keys.repository import ApiKey, ApiKeyRepository
from card_api.api_keys.scopes import SCOPES
from card_api.api_keys.service import ApiKeyError, ApiKeyService, Made
from services.cli.output import console, fail
from services.cli.which import Demo
from services.cli.work import Answer, with_database

apikey = typer.Typer(help="Keys for other systems (CRM) to call the REST API.", no_args_is_help=True)

_SCOPES = "What it may do; repeat it for several. " + "; ".join(
    f"{name}: {what}" for name, what in SCOPES.items()
)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SPAN = re.compile(r"(\d{1,6})([smhdw])")

Beginning = Annotated[str, typer.Argument(help="The key, or its beginning as `apikey list` shows it.")]
Expires = Annotated[
    str | None,
    typer.Option(
        help="When it stops working: a date (2027-06-30, the beginning of it in UTC) or a time from now (90d)."
    ),
]


@apikey.command(
    "create",
    epilog="Examples:\n\n  callcard apikey create crm --scope lookup\n\n"
    "  callcard apikey create import --scope customers:read --scope customers:write --expires 90d\n\n"
    "  callcard apikey create branch-kazan --scope calls:write --per-second 20",
)
def apikey_create(
    name: Annotated[str, typer.Argument(help="Which system will use it.")],
    scope: Annotated[list[str], typer.Option(help=_SCOPES)],
    per_second: Annotated[
        int | None,
        typer.Option(help="Requests a second, if not the site's limit (CALLCARD_API__PER_SECOND).", min=1),
    ] = None,
    expires: Expires = None,
    demo: Demo = False,
) -> None:
    """Make a key. It is printed once; only its hash is kept."""
    ends = _moment(expires) if expires else None
    _show_once(_with_keys(demo, lambda keys: keys.make(name, scope, per_second, ends)))


@apikey.command("list", epilog="Examples:\n\n  callcard apikey list")
def apikey_list(demo: Demo = False) -> None:
    """Every key: what it may do, and when it was last used."""
    keys = _with_keys(demo, lambda keys: keys.all())
    if not keys:
        console().print("There are no keys yet. callcard apikey create --help says how to make one.")
        return
    # The beginning of a key names it in other commands: it is never cut.
    table = Table(
        Column("key", no_wrap=True), "name", "may", "per s", Column("made", no_wrap=True), "last used", ""
    )
    now = _now()
    for key in keys:
        table.add_row(
            key.prefix + "…",
            key.name,
            "\n".join(sorted(key.scopes)),
            str(key.per_second or ""),
            f"{key.created_at:%Y-%m-%d}",
            f"{key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never",
            _state(key, now),
        )
    Console().print(table)


@apikey.command(
    "rotate",
    epilog="Examples:\n\n  callcard apikey rotate cck_Ab12Cd\n\n"
    "  callcard apikey rotate cck_Ab12Cd --keep 7d\n\n  callcard apikey rotate cck_Ab12Cd --keep 0s --expires 365d",
)
def apikey_rotate(
    beginning: Beginning,
    keep: Annotated[str, typer.Option(help="How long the old one works on: 30m, 24h, 7d, 0s.")] = "24h",
    expires: Expires = None,
    demo: Demo = False,
) -> None:
    """Make a new key that may do the same; the old one works on for a while. The new one is printed once."""
    kept = _span(keep)
    if kept is None:
        fail(f"--keep {keep}: write a number and s, m, h, d or w, like 24h.")
    ends = _moment(expires) if expires else None

    async def rotate(keys: ApiKeyService) -> Made:
        return await keys.rotate(await _one(keys, beginning), kept, ends)

    _show_once(_with_keys(demo, rotate))
    console().print(f"The old key works until {_now() + kept:%Y-%m-%d %H:%M} UTC.")


@apikey.command("revoke", epilog="Examples:\n\n  callcard apikey revoke cck_Ab12Cd")
def apikey_revoke(beginning: Beginning, demo: Demo = False) -> None:
    """Make a key worthless. Takes effect within seconds."""

    async def revoke(keys: ApiKeyService) -> bool:
        return await keys.revoke(await _one(keys, beginning))

    _with_keys(demo, revoke)
    print("Revoked.")


def _with_keys(demo: bool, work: Callable[[ApiKeyService], Awaitable[Answer]]) -> Answer:
    async def run(engine: AsyncEngine, _: Redis) -> Answer:
        return await work(ApiKeyService(ApiKeyRepository(engine), _now))

    return with_database(demo, run)


async def _one(keys: ApiKeyService, beginning: str) -> ApiKey:
    found = [key for key in await keys.named(beginning.rstrip("…")) if key.revoked_at is None]
    if not found:
        raise ApiKeyError(f"No valid key begins with {beginning[:10]!r}. callcard apikey list shows them.")
    if len(found) > 1:
        names = ", ".join(key.name for key in found)
        raise ApiKeyError(
            f"Several keys begin with {beginning[:10]!r} ({names}): revoke them through the REST API."
        )
    return found[0]


def _show_once(made: Made) -> None:
    print(made.key)
    until = f" It works until {made.record.expires_at:%Y-%m-%d %H:%M} UTC." if made.record.expires_at else ""
    console().print(f"Keep it well: it is not shown again.{until}")


def _state(key: ApiKey, now: datetime) -> str:
    if key.revoked_at:
        return f"revoked {key.revoked_at:%Y-%m-%d}"
    if key.expires_at is None:
        return "valid"
    return f"{'expired' if key.expires_at <= now else 'valid until'} {key.expires_at:%Y-%m-%d %H:%M}"


def _span(text: str) -> timedelta | None:
    match = _SPAN.fullmatch(text.strip())
    return timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else None


def _moment(text: str) -> datetime:
    span = _span(text)
    if span is not None:
        return _now() + span
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        fail(f"--expires {text}: write a date like 2027-06-30, or a time from now like 90d.")
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def _now() -> datetime:
    return datetime.now(UTC)
