"""`callcard ami`: record what a PBX says, replay or anonymize it, and find out why cards do not show."""

import asyncio
import re
import signal
import sys
import tempfile
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ami_listener.agents import rules_for
from ami_listener.anonymize import TooMuch
from ami_listener.check import Check
from ami_listener.connection import AmiAccount, AmiError
from ami_listener.doctor import Finding, Level, examine, judge
from ami_listener.record import Recording, RecordingExists, record, timing_path
from ami_listener.replay import final_calls, replay
from ami_listener.tracker.endpoints import EndpointRules
from services.cli.output import console, fail
from services.cli.recordings import anonymized, chunks, counted, progress, timing_of
from shared.observability import configure_logging
from shared.settings import PbxSettings, Settings, SettingsError, load_settings

app = typer.Typer(
    help="Asterisk's manager interface: record, replay, anonymize, doctor.", no_args_is_help=True
)

# Bytes read at once while it is played at the pace of people.
_SMALL = 1 << 12
_ADDRESS = re.compile(r"([^/\s]*[^/\s:]):(\d{1,5})")
_REDIS = ("redis://", "rediss://", "redis+cluster://", "rediss+cluster://", "unix://")
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
        fail(f"{file} cannot be written: {error.strerror}. What came before that is in it.", 1)
    how = "" if made.stopped else " The PBX ended the connection."
    out.print(f"{made.size} bytes in {made.seconds:.0f} s: {made.path}, {timing_path(made.path).name}.{how}")
    out.print(f"Callers' numbers and names are in it; callcard ami anonymize {made.path} OUT takes them out.")


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
    "  cat calls.ami | callcard ami replay - --format updates\n\n"
    "  callcard ami replay calls.ami --check                    exit code 1 if something cannot be\n\n"
    "  callcard ami replay calls.ami --into demo                its cards, on the screens of the demo\n\n"
    "  callcard ami replay calls.ami --into redis://test/0 --speed 4\n\n"
    "  callcard ami replay calls.ami --into 127.0.0.1:5039      be a PBX for a listener to connect to",
)
def replay_command(
    file: Annotated[Path, typer.Argument(help="A recording, or - for standard input.", allow_dash=True)],
    output: Annotated[
        ReplayFormat,
        typer.Option("--format", help="updates: each call update. calls: the last state of each call."),
    ] = ReplayFormat.CALLS,
    check: Annotated[
        bool, typer.Option("--check", help="Say what cannot be, instead of the calls; see below.")
    ] = False,
    into: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Play it into a running Callcard: demo, here (the one of the settings), redis://… or HOST:PORT.",
        ),
    ] = None,
    speed: Annotated[
        float, typer.Option(help="With --into: 1 is the pace of the recording, 0 as fast as it goes.", min=0)
    ] = 1.0,
    pbx: Annotated[
        str, typer.Option(help="Name of the PBX in the output; its settings, if it has some, apply.")
    ] = "pbx",
) -> None:
    """Run a recording through the call tracker; one JSON a line on stdout, problems on stderr.

    Any byte stream is accepted: what cannot be used is skipped and said. FILE.timing, if it is there, gives the pace.

    --check holds every update against what must be true of calls (versions grow, an ended call stays as it is, times
    are in order, …): a line on stdout for each thing that is not, and exit code 1. Calls that go on at the end of the
    recording are named, and are no fault.

    --into plays it as a PBX of its own, called `replay`, so no real call is touched; the calls are new ones each time,
    and they happen now. They look like real ones to the CRM: meant are a demo and a test system. Ctrl-C ends what is
    open.
    """
    settings = load_settings()
    known = settings.pbx.get(pbx)
    rules = rules_for(known or PbxSettings(), settings.country, {})
    if check and into is not None:
        fail("--check and --into are two things: give one of them.")
    try:
        if into is not None:
            _play_into(file, into, speed, settings, known)
        elif check:
            _check(file, Check(pbx, rules))
        else:
            _print_calls(file, output, pbx, rules)
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # `| head` has seen enough
        sys.stderr.close()
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror or error}.")


def _print_calls(file: Path, output: ReplayFormat, pbx: str, rules: EndpointRules) -> None:
    problems: list[str] = []
    updates = replay(chunks(file), pbx=pbx, rules=rules, timing=timing_of(file), problems=problems)
    write = sys.stdout.buffer.write
    if output is ReplayFormat.UPDATES:
        for update in updates:
            write(update.to_json() + b"\n")
    else:
        for call in final_calls(updates):
            write(call.to_json() + b"\n")
    for problem in problems:
        sys.stderr.write(f"callcard: {problem}\n")


def _check(file: Path, check: Check) -> None:
    """Exit code 1 if something does not hold, or if bytes could not be used and so nobody knows."""
    wrong = 0
    with progress(file) as advance:
        for violation in check.violations(counted(chunks(file), advance), timing_of(file)):
            wrong += 1
            sys.stdout.write(f"{violation}\n")
    for problem in check.damage:
        sys.stdout.write(f"damaged: {problem}\n")
    for call in check.stream.open:
        sys.stderr.write(f"callcard: {call.call_id} goes on at the end of the recording ({call.state}).\n")
    if check.unfinished:
        sys.stderr.write(
            "callcard: The recording ends inside a message, as it does if it was stopped just then; that message was"
            " not used.\n"
        )
    sys.stderr.write(
        f"callcard: {check.events} events, {check.stream.calls} calls, {len(check.stream.open)} of them open:"
        f" {wrong or 'nothing'} wrong.\n"
    )
    sys.stdout.flush()
    if wrong or check.damage:
        raise typer.Exit(1)


def _play_into(file: Path, into: str, speed: float, settings: Settings, known: PbxSettings | None) -> None:
    from services.cli.which import demo_folder
    from services.embedded.running import running
    from services.playback import PlaybackError, Played, Recorded, play_into_redis, play_to_listener

    recorded_at = next((name for name, pbx in settings.pbx.items() if pbx is known), None)
    name = f"replay-{recorded_at}"[:31] if recorded_at else "replay"
    out = console()
    if str(file) != "-":
        file.open("rb").close()  # what cannot be read is said before anything is started
    configure_logging("error", "console")

    def waiting(host: str, port: int) -> None:
        out.print(f"Waiting at {host}:{port} for a listener (any AMI user and secret). Ctrl-C ends it.")

    async def run() -> Played:
        stop = asyncio.Event()
        for sig in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(sig, stop.set)
        with progress(file) as advance:
            recorded = Recorded(counted(chunks(file, _SMALL), advance), timing_of(file), time.time())
            if (at := _ADDRESS.fullmatch(into)) is not None:
                return await play_to_listener(recorded, at[1].strip("[]"), int(at[2]), speed, stop, waiting)
            target = demo_folder(settings) if into == "demo" else settings
            url = into
            if into in ("demo", "here"):
                found = running(target.data_dir)
                url = target.redis.url.get_secret_value() if target.redis.url else (found[1] if found else "")
                if not url:
                    command = "demo" if into == "demo" else "run all"
                    raise PlaybackError(
                        f"No Callcard runs on {target.data_dir}. Start it (callcard {command}), or give the address"
                        " of its Redis: --into redis://…"
                    )
            with tempfile.TemporaryDirectory(prefix="callcard-replay-") as folder:
                own = settings.model_copy(update={"data_dir": Path(folder)})
                return await play_into_redis(recorded, own, known or PbxSettings(), name, url, speed, stop)

    if into not in ("demo", "here") and not _ADDRESS.fullmatch(into) and not into.startswith(_REDIS):
        fail(f"--into {into}: give demo, here, redis://HOST:PORT/0 or HOST:PORT.")
    try:
        played = asyncio.run(run())
    except PlaybackError as error:
        fail(str(error), 1)
    ended = f" {played.channels} channels were still up; their calls were ended." if played.channels else ""
    sys.stderr.write(f"callcard: {played.events} events were played.{ended}\n")


@app.command(
    "anonymize",
    epilog="Examples:\n\n  callcard ami anonymize calls.ami shareable.ami\n\n"
    "  callcard ami anonymize calls.ami shareable.ami && callcard ami replay shareable.ami",
)
def anonymize_command(
    file: Annotated[Path, typer.Argument(metavar="IN", help="A recording.", exists=True, dir_okay=False)],
    out: Annotated[Path, typer.Argument(help="Gets it without the people; OUT.timing its times.")],
) -> None:
    """Rewrite a recording so that it can go into a bug report: it gives the same calls, of nobody.

    Replaced, the same always by the same: the last six digits of phone numbers (7 digits and more), people's names,
    addresses of machines, ids. Removed: secrets, values of variables and arguments that are not Asterisk's own, keys
    that a caller pressed after the third. Kept: extensions, times, and the names of channels, queues and contexts; if
    those are people's names, look at the result before you send it.
    """
    try:
        replaced = anonymized(file, out)
    except (RecordingExists, TooMuch) as error:
        fail(str(error), 1)
    except OSError as error:
        fail(f"{error.filename or out} cannot be read or written: {error.strerror or error}.", 1)
    what = ", ".join(f"{count} {kind}" for kind, count in sorted(replaced.items())) or "nothing"
    sys.stderr.write(f"callcard: {out} is written. Replaced in it: {what}.\n")


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
        return account, rules_for(PbxSettings(), settings.country, {})
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
    return account, rules_for(known, settings.country, {})
