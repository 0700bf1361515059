"""The command `callcard`."""

import sys

import typer

from services.cli import admin, ami, demo, run
from services.cli.output import fail
from services.embedded import EmbeddedError
from shared.settings import SettingsError

app = typer.Typer(
    name="callcard",
    help="Who is calling, on the agent's screen, while the phone still rings.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    add_completion=False,
)
app.command("run", epilog=run.EXAMPLES)(run.run)
app.command("demo", epilog=demo.EXAMPLES)(demo.demo)
app.add_typer(admin.db, name="db")
app.add_typer(admin.agent, name="agent")
app.add_typer(admin.apikey, name="apikey")
app.add_typer(ami.app, name="ami")


def main() -> None:
    """Entry point: every foreseen error is a sentence on stderr and exit code 2, never a traceback."""
    try:
        app()
    except (SettingsError, EmbeddedError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
