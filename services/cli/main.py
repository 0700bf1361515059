"""The command `callcard`.

Only the module of the command that was asked for is imported: `--help` and `ami replay` need no web framework.
"""

import importlib
import sys
from collections.abc import Sequence

import typer

from services.cli.output import fail
from services.embedded.process import EmbeddedError
from shared.settings import SettingsError

# name → (module, attribute, help). The attribute is a function (a command) or a Typer (a group of commands).
_COMMANDS = {
    "run": (
        "services.cli.run",
        "run",
        "Run pieces of Callcard: listener, api, worker, gateway, desk, simulator, or all.",
    ),
    "demo": ("services.cli.demo", "demo", "The whole product with a simulated PBX and sample customers."),
    "db": ("services.cli.admin", "db", "The database's schema."),
    "agent": ("services.cli.admin", "agent", "Agents: who signs in, and whose phone is whose."),
    "apikey": ("services.cli.apikeys", "apikey", "Keys for other systems (CRM) to call the REST API."),
    "customers": ("services.cli.customers", "app", "Customers: load them from a file, write them to one."),
    "sample": (
        "services.cli.sample",
        "sample",
        "Customers and calls that are nobody's, as many as you like: to try and to measure.",
    ),
    "sources": ("services.cli.sources", "app", "Other systems that know customers: try their settings."),
    "push": ("services.cli.push", "app", "What goes to the agents' tabs: watch it live."),
    "webhook": ("services.cli.webhooks", "app", "Web hooks: telling other systems of calls and customers."),
    "ami": ("services.cli.ami", "app", "Asterisk's manager interface: record, replay, anonymize, doctor."),
}


def application(arguments: Sequence[str]) -> typer.Typer:
    """The command line; the command that `arguments` name is whole, the others are names with a help."""
    app = typer.Typer(
        name="callcard",
        help="Who is calling, on the agent's screen, while the phone still rings.",
        epilog="Begin with:  callcard demo",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        add_completion=False,
    )
    wanted = next((word for word in arguments if not word.startswith("-")), None)
    for name, (module_name, attribute, help_text) in _COMMANDS.items():
        if name != wanted:
            app.command(name, help=help_text)(lambda: None)
            continue
        module = importlib.import_module(module_name)
        found = getattr(module, attribute)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name, help=help_text)
        else:
            app.command(name, epilog=module.EXAMPLES)(found)
    return app


def main() -> None:
    """Entry point: every foreseen error is a sentence on stderr and exit code 2, never a traceback."""
    try:
        application(sys.argv[1:])()
    except (SettingsError, EmbeddedError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
