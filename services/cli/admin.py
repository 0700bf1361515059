"""`callcard db`, `agent`, `apikey`: what ops do now and then.

They work on the configured database, on the embedded one of a running Callcard, or on an embedded one that is started
for the moment.
"""

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.agents.directory import Agent
from card_api.agents.repository import AgentRepository
from card_api.agents.service import AgentError, AgentService
from card_api.api_keys.repository import ApiKeyRepository
from card_api.api_keys.service import SCOPES, ApiKeyError, ApiKeyService
from card_api.database import DATABASE_ERRORS, sentence
from services.cli.demo import demo_folder
from services.cli.output import console, fail
from services.cli.passwords import new_password
from services.embedded import EmbeddedPostgres
from services.embedded.running import running
from services.migrate import upgrade
from shared.bus import connect_redis
from shared.db import create_engine
from shared.observability import configure_logging
from shared.settings import Settings, load_settings

db = typer.Typer(help="The database's schema.", no_args_is_help=True)
agent = typer.Typer(help="Agents: who signs in, and whose phone is whose.", no_args_is_help=True)
apikey = typer.Typer(help="Keys for other systems (CRM) to call the REST API.", no_args_is_help=True)

Demo = Annotated[bool, typer.Option("--demo", help="Meant is the demo, not the product.")]
Answer = TypeVar("Answer")


# --- db -------------------------------------------------------------------------------------------------------


@db.command("upgrade", epilog="Examples:\n\n  callcard db upgrade\n\n  callcard db upgrade --wait 60")
def db_upgrade(
    wait: Annotated[float, typer.Option(help="Wait this many seconds for PostgreSQL to answer.", min=0)] = 0,
    demo: Demo = False,
) -> None:
    """Bring the database to this version's schema. Safe to run again, and from several at once."""
    with _database(_settings(demo)) as (url, _):
        before, now = _run(lambda: _upgrade(url, wait))
    if before == now:
        print(f"The schema is up to date ({now}).")
    else:
        print(f"The schema was brought from {before or 'nothing'} to {now}.")


async def _upgrade(url: str, wait: float) -> tuple[str | None, str | None]:
    loop = asyncio.get_running_loop()
    end = loop.time() + wait
    while True:
        try:
            return await upgrade(url)
        except DATABASE_ERRORS:
            if loop.time() >= end:
                raise
            await asyncio.sleep(0.5)


# --- agents ---------------------------------------------------------------------------------------------------


@agent.command(
    "add",
    epilog='Examples:\n\n  callcard agent add 101 --name "Anna Ivanova" --endpoint PJSIP/101\n\n'
    '  callcard agent add boss --name "Olga Serova" --role supervisor\n\n'
    "  echo -n secret-word | callcard agent add 101 --name Anna --endpoint PJSIP/101 --password-stdin",
)
def agent_add(
    login: Annotated[str, typer.Argument(help="What the agent signs in as; often the extension.")],
    name: Annotated[str, typer.Option(help="What colleagues call the agent.")],
    endpoint: Annotated[
        list[str] | None,
        typer.Option(
            help="A phone of the agent: PJSIP/101, or MAIN=PJSIP/101 if it is so on the PBX 'main' only."
        ),
    ] = None,
    extension: Annotated[
        str | None, typer.Option(help="Short number.  [default: the login, if it is a number]")
    ] = None,
    role: Annotated[str, typer.Option(help="agent, supervisor or admin.")] = "agent",
    language: Annotated[str | None, typer.Option(help="ru or en.  [default: the general one]")] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    keep_password: Annotated[
        bool, typer.Option("--keep-password", help="Change other things of an agent who is there.")
    ] = False,
    demo: Demo = False,
) -> None:
    """Add an agent, or change one. Prints a new password unless one is given or kept."""
    if language not in (None, "ru", "en"):
        fail(f"There is no language {language!r}: use ru or en.")
    password, made = _password(password_stdin, keep_password)
    who = Agent(
        login=login,
        name=name,
        extension=extension or (login if login.isdigit() else None),
        role=role,
        language=language,
        endpoints=tuple(_endpoint(text) for text in endpoint or ()),
    )

    async def save(engine: AsyncEngine, redis: Redis) -> bool:
        return await AgentService(AgentRepository(engine), redis).save(who, password)

    new = _with(demo, save)
    print(f"Agent {who.login} ({who.name}) {'added' if new else 'changed'}.")
    if made:
        print(f"Password: {password}")
    if not who.endpoints:
        console().print("No phone was given (--endpoint): no card will ring for this agent.")


@agent.command("list")
def agent_list(demo: Demo = False) -> None:
    """Everybody who can sign in, and their phones."""

    async def read(engine: AsyncEngine, _: Redis) -> list[Agent]:
        return await AgentRepository(engine).all()

    everybody = _with(demo, read)
    if not everybody:
        console().print("There are no agents yet. callcard agent add --help says how to add one.")
        return
    table = Table("login", "name", "extension", "role", "phones", "active")
    for one in everybody:
        phones = ", ".join(f"{pbx}={endpoint}" if pbx else endpoint for endpoint, pbx in one.endpoints)
        table.add_row(
            one.login, one.name, one.extension or "", one.role, phones, "yes" if one.active else "no"
        )
    Console().print(table)


def _endpoint(text: str) -> tuple[str, str | None]:
    pbx, separator, endpoint = text.partition("=")
    return (endpoint, pbx.lower()) if separator else (text, None)


def _password(from_stdin: bool, keep: bool) -> tuple[str | None, bool]:
    """(the password, was it made here). None keeps the one there is."""
    if keep:
        return None, False
    if from_stdin:
        return sys.stdin.read().rstrip("\r\n"), False
    return new_password(), True


# --- API keys -------------------------------------------------------------------------------------------------


@apikey.command("create", epilog="Examples:\n\n  callcard apikey create crm --scope lookup")
def apikey_create(
    name: Annotated[str, typer.Argument(help="Which system will use it.")],
    scope: Annotated[list[str], typer.Option(help=f"What it may do: {', '.join(sorted(SCOPES))}.")],
    demo: Demo = False,
) -> None:
    """Make a key. It is printed once; only its hash is kept."""

    async def create(engine: AsyncEngine, _: Redis) -> str:
        return await _keys(engine).create(name, scope)

    print(_with(demo, create))
    console().print("Keep it well: it is not shown again.")


@apikey.command("list")
def apikey_list(demo: Demo = False) -> None:
    """Every key: what it may do, and when it was last used."""

    async def read(engine: AsyncEngine, _: Redis) -> list[tuple[str, ...]]:
        return [
            (
                key.prefix + "…",
                key.name,
                ", ".join(sorted(key.scopes)),
                f"{key.created_at:%Y-%m-%d}",
                f"{key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never",
                f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else "valid",
            )
            for key in await ApiKeyRepository(engine).all()
        ]

    rows = _with(demo, read)
    if not rows:
        console().print("There are no keys yet. callcard apikey create --help says how to make one.")
        return
    table = Table("key", "name", "may", "made", "last used", "")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


@apikey.command("revoke", epilog="Examples:\n\n  callcard apikey revoke cck_Ab12Cd")
def apikey_revoke(
    prefix: Annotated[str, typer.Argument(help="The key, or its beginning as `apikey list` shows it.")],
    demo: Demo = False,
) -> None:
    """Make a key worthless. Takes effect within seconds."""

    async def revoke(engine: AsyncEngine, _: Redis) -> int:
        return await _keys(engine).revoke(prefix.rstrip("…"))

    if _with(demo, revoke) == 0:
        fail(f"No valid key begins with {prefix[:10]!r}. callcard apikey list shows them.")
    print("Revoked.")


def _keys(engine: AsyncEngine) -> ApiKeyService:
    return ApiKeyService(ApiKeyRepository(engine), lambda: datetime.now(UTC))


# --- where they work ------------------------------------------------------------------------------------------


def _settings(demo: bool) -> Settings:
    settings = load_settings()
    configure_logging("warning", "console")
    return demo_folder(settings) if demo else settings


@contextlib.contextmanager
def _database(settings: Settings) -> Iterator[tuple[str, str]]:
    """(database URL, Redis URL or '') that the settings mean."""
    redis = settings.redis.url.get_secret_value() if settings.redis.url else ""
    if settings.database.url is not None:
        yield settings.database.url.get_secret_value(), redis
        return
    found = running(settings.data_dir)
    if found is not None:
        yield found[0], redis or found[1]
        return
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    postgres = EmbeddedPostgres(Path(settings.data_dir)).start()
    try:
        yield postgres.url, redis
    finally:
        postgres.stop()


def _with(demo: bool, work: Callable[[AsyncEngine, Redis], Awaitable[Answer]]) -> Answer:
    with _database(_settings(demo)) as (url, redis_url):

        async def run() -> Answer:
            await upgrade(url)
            engine = create_engine(url, pool_size=1)
            # Port 9 (discard) refuses at once: without a Redis nobody is running who had to be told.
            redis = connect_redis(redis_url or "redis://127.0.0.1:9/0")
            try:
                return await work(engine, redis)
            finally:
                await redis.aclose()
                await engine.dispose()

        return _run(run)


def _run(work: Callable[[], Awaitable[Answer]]) -> Answer:
    async def run() -> Answer:
        return await work()

    try:
        return asyncio.run(run())
    except (AgentError, ApiKeyError) as error:
        fail(str(error))
    except DATABASE_ERRORS as error:
        fail(f"The database cannot be used: {sentence(error)}", 1)
