"""`callcard ami`: record what a PBX says, replay it offline, and find out why cards do not show."""

import asyncio
import signal
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ami_listener.connection import AmiAccount, AmiError
from ami_listener.doctor import Finding, Level, examine, judge
from ami_listener.follower import endpoint_rules
from ami_listener.record import Recording, RecordingExists, record, timing_path
from ami_listener.replay import Timing, final_calls, read_timing, replay
from ami_listener.tracker.endpoints import EndpointRules
from services.cli.output import console, fail
from shared.observability import configure_logging
from shared.settings import PbxSettings, Settings, SettingsError, load_settings

app = typer.Typer(help="Asterisk's manager interface: record, replay, doctor.", no_args_is_help=True)

_CHUNK = 1 << 20
_MARKS = {Level.OK: "[green]✓[/]", Level.WARN: "[yellow]![/]", Level.ERROR: "[red]✗[/]"}
_HINT_PBX = "CALLCARD_PBX__MAIN__HOST, …__USERNAME and …__SECRET, or --host, --username and --secret-file"

Host = Annotated[str | None, typer.Option(help="The PBX, if it is not in the settings.")]
Port = Annotated[int, typer.Option(help="Its AMI port.", min=1, max=65535)]
Username = Annotated[str | None, typer.Option(help="AMI user.")]
SecretFile = Annotated[
    Path | None, typer.Option(help="File with the AMI secret.", exists=True, dir_okay=False)
]
PbxName = Annotated[
    str | None, typer.Option("--pbx", help="Which PBX of the settings, if there are several.")
]


class ReplayFormat(StrEnum):
    UPDATES = "updates"
    CALLS = "calls"


@app.command(
    "record",
    epilog="Examples:\n\n  callcard ami record calls.ami                until Ctrl-C\n\n"
    "  callcard ami record calls.ami --seconds 600  ten minutes",
)
def record_command(
    file: Annotated[Path, typer.Argument(help="Gets every byte; FILE.timing beside it gets their times.")],
    seconds: Annotated[float | None, typer.Option(help="Stop after this long.", min=0.1)] = None,
    host: Host = None,
    port: Port = 5038,
    username: Username = None,
    secret_file: SecretFile = None,
    pbx: PbxName = None,
) -> None:
    """Record a live AMI session byte for byte: the one file a bug report needs.

    It holds the callers' numbers and names. It does not hold the AMI secret.
    """
    account, _ = _account(load_settings(), host, port, username, secret_file, pbx)
    out = console()
    out.print(f"Recording {account.host}:{account.port} into {file}. Ctrl-C ends it.")
    try:
        made = asyncio.run(_record(account, file, seconds))
    except (AmiError, RecordingExists) as error:
        fail(str(error), 1)
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}.", 1)
    how = "" if made.stopped else " The PBX ended the connection."
    out.print(f"{made.size} bytes in {made.seconds:.0f} s: {made.path}, {timing_path(made.path).name}.{how}")


async def _record(account: AmiAccount, file: Path, seconds: float | None) -> Recording:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sig in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sig, stop.set)
    if seconds is not None:
        loop.call_later(seconds, stop.set)
    return await record(account, file, stop)


@app.command(
    "replay",
    epilog="Examples:\n\n  callcard ami replay calls.ami --format calls | jq .end_reason\n\n"
    "  cat calls.ami | callcard ami replay - --format updates",
)
def replay_command(
    file: Annotated[Path, typer.Argument(help="A recording, or - for standard input.", allow_dash=True)],
    output: Annotated[
        ReplayFormat,
        typer.Option("--format", help="updates: each call update. calls: the last state of each call."),
    ] = ReplayFormat.CALLS,
    pbx: Annotated[
        str, typer.Option(help="Name of the PBX in the output; its settings, if it has some, apply.")
    ] = "pbx",
) -> None:
    """Run a recording through the call tracker, offline; one JSON a line on stdout, problems on stderr.

    Any byte stream is accepted: what cannot be used is skipped and said. FILE.timing, if it is there, gives the pace.
    """
    settings = load_settings()
    known = settings.pbx.get(pbx)
    rules = endpoint_rules(known or PbxSettings(), settings.country)
    problems: list[str] = []
    try:
        updates = replay(_recorded(file), pbx=pbx, rules=rules, timing=_timing(file), problems=problems)
        write = sys.stdout.buffer.write
        if output is ReplayFormat.UPDATES:
            for update in updates:
                write(update.to_json() + b"\n")
        else:
            for call in final_calls(updates):
                write(call.to_json() + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # `| head` has seen enough
        sys.stderr.close()
        return
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}.")
    for problem in problems:
        sys.stderr.write(f"callcard: {problem}\n")


def _recorded(file: Path) -> bytes | Iterator[bytes]:
    if _timing(file):
        return file.read_bytes()
    return _chunks(file)


def _chunks(file: Path) -> Iterator[bytes]:
    """A recording of any size, in bounded memory."""
    if str(file) == "-":
        while chunk := sys.stdin.buffer.read(_CHUNK):
            yield chunk
        return
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def _timing(file: Path) -> list[Timing]:
    sidecar = timing_path(file)
    if str(file) == "-" or sidecar == file or not sidecar.is_file():
        return []
    return read_timing(sidecar.read_text(errors="replace"))


@app.command(
    "doctor",
    epilog="Examples:\n\n  callcard ami doctor\n\n"
    "  callcard ami doctor --host 10.0.0.5 --username callcard --secret-file ami-secret",
)
def doctor_command(
    host: Host = None,
    port: Port = 5038,
    username: Username = None,
    secret_file: SecretFile = None,
    pbx: PbxName = None,
    seconds: Annotated[float, typer.Option(help="How long to listen for events.", min=0.0, max=600.0)] = 3.0,
) -> None:
    """Why do cards not show? Connects, says version and privileges, what is missing and what to do.

    Exit code 0: cards can show. 1: something stands in the way.
    """
    account, rules = _account(load_settings(), host, port, username, secret_file, pbx)
    configure_logging("error", "console")  # the findings say it all
    out = console()
    with out.status(f"Asking {account.host}:{account.port} …"):
        facts = asyncio.run(examine(account, listen=seconds))
    findings = judge(facts, rules)
    for finding in findings:
        _print(finding)
    wrong = [f for f in findings if f.level is Level.ERROR]
    if wrong:
        out.print("\nCards cannot show until this is put right.")
        raise typer.Exit(1)


def _print(finding: Finding) -> None:
    from rich.console import Console

    out = Console(highlight=False, soft_wrap=True)
    out.print(f"{_MARKS[finding.level]} {finding.sentence}")
    if finding.advice:
        out.print(f"  → {finding.advice}")


def _account(
    settings: Settings,
    host: str | None,
    port: int,
    username: str | None,
    secret_file: Path | None,
    name: str | None,
) -> tuple[AmiAccount, EndpointRules]:
    """The PBX that was meant, and which of its ends are ours. Raises SettingsError if that is not clear."""
    if host is not None:
        if username is None or secret_file is None:
            raise SettingsError("--host needs --username and --secret-file as well.")
        account = AmiAccount(host, port, username, secret_file.read_text().strip())
        return account, endpoint_rules(PbxSettings(), settings.country)
    if not settings.pbx:
        raise SettingsError(f"No PBX is configured: give {_HINT_PBX}.")
    if name is None:
        if len(settings.pbx) > 1:
            raise SettingsError(f"There are several PBXs: choose one with --pbx ({', '.join(settings.pbx)}).")
        name = next(iter(settings.pbx))
    if name not in settings.pbx:
        raise SettingsError(f"No PBX is called {name!r}. There are: {', '.join(settings.pbx)}.")
    known = settings.pbx[name]
    account = AmiAccount(known.host, known.port, known.username, known.secret.get_secret_value())
    return account, endpoint_rules(known, settings.country)
