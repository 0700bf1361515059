"""`callcard demo`: everything, with a simulated PBX and sample customers, to look at."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer
import uvloop

from card_api.api_keys.repository import ApiKeyRepository
from card_api.api_keys.scopes import SCOPES
from card_api.api_keys.service import ApiKeyService
from services.cli.output import console
from services.cli.passwords import new_password
from services.cli.which import demo_folder
from services.embedded.process import free_port
from services.front import PortTaken, listen
from services.migrate import upgrade
from services.runtime import Servers, Target, kept_secret, serve, servers
from services.samples import load_samples
from shared.db import create_engine
from shared.observability import configure_logging
from shared.settings import PbxSettings, Settings, load_settings

EXAMPLES = """\
Examples:

  callcard demo                        open the printed address, sign in as 101

  callcard demo --port 9000            another port

  callcard demo --calls-per-minute 30  a busy day"""

# All that a CRM does; nobody administers a demo over REST.
_SCOPES = tuple(name for name in SCOPES if name != "admin")
# Ports to try when the wanted one is taken: a demo should start, not explain.
_OTHER_PORTS = 20
_PORTS = 65536


def demo(
    port: Annotated[
        int | None, typer.Option(help="Port of the desk.  [default: 8080, or the next free one]")
    ] = None,
    calls_per_minute: Annotated[
        float | None, typer.Option(min=0.1, max=600, help="How busy the line is.")
    ] = None,
) -> None:
    """Start the whole product with a simulated PBX and sample customers."""
    out = console()
    settings = _settings(port, calls_per_minute)
    # The demo's log would scroll the address away; it goes where it can be read.
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    log_path = settings.data_dir / "demo.log"
    targets = [Target.SIMULATOR, Target.ALL]
    with (
        log_path.open("a") as log,
        out.status("Starting PostgreSQL and Valkey …") as status,
        servers(settings, targets) as at,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        configure_logging(settings.log_level, "json", log)
        password = kept_secret(settings.data_dir / "demo-password", new_password)
        status.update("Preparing the database and the sample customers …")
        key_file = settings.data_dir / "api-key"
        known = key_file.read_text().strip() if key_file.exists() else ""
        key = runner.run(_prepare(at, password, known))
        if key != known:
            key_file.unlink(missing_ok=True)
            kept_secret(key_file, lambda: key)
        status.update("Starting the simulated PBX and Callcard …")

        async def ready(address: str) -> None:
            status.stop()
            out.print(f"\n  [bold]Callcard is running:[/]  [bold cyan]{address}/[/]\n")
            out.print(f"  Sign in as [bold]101[/] (or 102, 103, 104), password [bold]{password}[/]")
            out.print("  The phone rings in a few seconds, and again and again.\n")
            out.print(f"  REST API   {address}/docs, its key in {key_file}", soft_wrap=True)
            out.print(f"  Log        {log_path}", soft_wrap=True)
            out.print(
                f"  Data       {settings.data_dir}, for --demo of the other commands too", soft_wrap=True
            )
            out.print("\n  Ctrl-C ends everything; the data is here next time.\n")

        runner.run(serve(settings, targets, at, ready))
        out.print("  Stopped.")


def _settings(port: int | None, calls_per_minute: float | None) -> Settings:
    base = load_settings()
    wanted = port if port is not None else base.http.port
    http = base.http.model_copy(
        update={"port": wanted if port is not None else _free(base.http.host, wanted)}
    )
    simulator = base.simulator.model_copy(update={"port": _free(base.simulator.host, base.simulator.port)})
    if calls_per_minute is not None:
        simulator = simulator.model_copy(update={"calls_per_minute": calls_per_minute})
    pbx = PbxSettings(
        host=simulator.host, port=simulator.port, username=simulator.username, secret=simulator.secret
    )
    return demo_folder(base).model_copy(update={"http": http, "simulator": simulator, "pbx": {"demo": pbx}})


def _free(host: str, wanted: int) -> int:
    """The port that is wanted (0: any), or one of the next."""
    if wanted == 0:
        return free_port(host)
    for candidate in range(wanted, min(wanted + _OTHER_PORTS, _PORTS)):
        try:
            listen(host, candidate).close()
        except PortTaken:
            continue
        return candidate
    listen(host, wanted).close()  # raises with the sentence
    return wanted


async def _prepare(at: Servers, password: str, known_key: str) -> str:
    """Returns the API key for trying the README's commands: the known one as long as the demo's data are there."""
    await upgrade(at.database_url)
    engine = create_engine(at.database_url)
    try:
        await load_samples(engine, password)
        keys = ApiKeyService(ApiKeyRepository(engine), lambda: datetime.now(UTC))
        known = known_key and await keys.verify(known_key) is not None
        return known_key if known else await keys.create("demo", _SCOPES)
    finally:
        await engine.dispose()
