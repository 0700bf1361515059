"""`callcard db` and `agent`: what ops do now and then."""

import asyncio
import sys
from typing import Annotated

import typer
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.agents.directory import Agent
from card_api.agents.repository import AgentRepository
from card_api.agents.service import AgentService, Done
from card_api.database import DATABASE_ERRORS
from services.cli.output import console, fail
from services.cli.passwords import new_password
from services.cli.which import Demo, settings_of
from services.cli.work import database, run_it, with_database
from services.migrate import upgrade

db = typer.Typer(help="The database's schema.", no_args_is_help=True)
agent = typer.Typer(help="Agents: who signs in, and whose phone is whose.", no_args_is_help=True)


Login = Annotated[str, typer.Argument(help="What the agent signs in as.")]


# --- db -------------------------------------------------------------------------------------------------------


@db.command("upgrade", epilog="Examples:\n\n  callcard db upgrade\n\n  callcard db upgrade --wait 60")
def db_upgrade(
    wait: Annotated[float, typer.Option(help="Wait this many seconds for PostgreSQL to answer.", min=0)] = 0,
    demo: Demo = False,
) -> None:
    """Bring the database to this version's schema. Safe to run again, and from several at once."""
    with database(settings_of(demo)) as (url, _):
        before, now = run_it(lambda: _upgrade(url, wait))
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
    """Add an agent, or change one, who is switched on by it. Prints a new password unless one is given or kept.

    Another password or role ends the agent's sessions."""
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

    async def save(engine: AsyncEngine, redis: Redis) -> Done:
        return await AgentService(AgentRepository(engine), redis).save(who, password)

    done = with_database(demo, save)
    print(f"Agent {who.login} ({who.name}) {'added' if done.new else 'changed'}.")
    _say_of_tabs(done)
    if made:
        print(f"Password: {password}")
    if not who.endpoints:
        console().print("No phone was given (--endpoint): no card will ring for this agent.")


@agent.command("off", epilog="Example:\n\n  callcard agent off 101")
def agent_off(login: Login, demo: Demo = False) -> None:
    """Switch an agent off: open tabs close, nobody signs in as that agent, no card rings for them."""

    async def off(engine: AsyncEngine, redis: Redis) -> Done:
        return await AgentService(AgentRepository(engine), redis).switch(login, active=False)

    done = with_database(demo, off)
    print(f"Agent {login} is switched off.")
    _say_of_tabs(done)


@agent.command("on", epilog="Example:\n\n  callcard agent on 101")
def agent_on(login: Login, demo: Demo = False) -> None:
    """Switch an agent on again; the password is the old one."""

    async def on(engine: AsyncEngine, redis: Redis) -> Done:
        return await AgentService(AgentRepository(engine), redis).switch(login, active=True)

    with_database(demo, on)
    print(f"Agent {login} is switched on.")


@agent.command("sign-out", epilog="Example:\n\n  callcard agent sign-out 101")
def agent_sign_out(login: Login, demo: Demo = False) -> None:
    """End an agent's sessions in every tab and program: a lost laptop, a shared machine."""

    async def sign_out(engine: AsyncEngine, redis: Redis) -> Done:
        return await AgentService(AgentRepository(engine), redis).sign_out(login)

    done = with_database(demo, sign_out)
    print(f"Agent {login} is signed out everywhere.")
    _say_of_tabs(done)


@agent.command("list")
def agent_list(demo: Demo = False) -> None:
    """Everybody who can sign in, and their phones."""

    async def read(engine: AsyncEngine, _: Redis) -> list[Agent]:
        return await AgentRepository(engine).all()

    everybody = with_database(demo, read)
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


def _say_of_tabs(done: Done) -> None:
    if done.ended and not done.told:
        console().print(
            "Redis cannot be reached from here (CALLCARD_REDIS__URL), so open tabs stay for now: a card API that runs "
            "closes them within half a minute; if none does, they stay until their token ends."
        )


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
