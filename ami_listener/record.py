"""Recording a live AMI session byte for byte, so that a bug report is one file that can be replayed.

FILE holds every byte received, FILE.timing (the suffix `.ami` replaced) a line for each read: milliseconds since
connect, bytes received by then.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from ami_listener.clock import Clock, SystemClock
from ami_listener.connection import AmiAccount, LinkLost, LoginRefused
from ami_listener.wire import AmiFramer, encode_action

TIMING_HEADER = "# ms since connect, bytes received by then\n"
_CONNECT_SECONDS = 5.0
_READ_BYTES = 1 << 16


class RecordingExists(Exception):
    """The file is there already; a recording never overwrites another."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What was recorded. stopped: by us (else the PBX ended the connection)."""

    path: Path
    size: int
    seconds: float
    stopped: bool


def timing_path(path: Path) -> Path:
    """`calls.timing` beside `calls.ami`."""
    return path.with_suffix(".timing")


async def record(
    account: AmiAccount,
    path: Path,
    stop: asyncio.Event,
    *,
    events: str = "on",
    clock: Clock | None = None,
) -> Recording:
    """Log in and write what comes until `stop` is set or the PBX closes the connection.

    events: value of `Events:` at login. Only received bytes are written, so the secret is in no file. Raises
    RecordingExists, LinkLost (no connection) or LoginRefused, each with a sentence.
    """
    clock = clock or SystemClock()
    _refuse_existing(path)
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(account.host, account.port)
    except (OSError, TimeoutError) as error:
        raise LinkLost(f"No connection to {account.host}:{account.port} ({error or 'no answer'}).") from None
    began = clock.monotonic()
    size = 0
    stopping = asyncio.create_task(stop.wait())
    answer = _LoginAnswer()
    try:
        writer.write(
            encode_action(
                [
                    ("Action", "Login"),
                    ("ActionID", "login-1"),
                    ("Username", account.username),
                    ("Secret", account.secret),
                    ("Events", events),
                ]
            )
        )
        with path.open("xb") as file, timing_path(path).open("x", buffering=1) as timing:
            timing.write(TIMING_HEADER)
            while not stop.is_set():
                reading = asyncio.create_task(reader.read(_READ_BYTES))
                await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if not reading.done():
                    reading.cancel()
                    break
                data = _bytes_of(reading)
                if not data:
                    break
                size += len(data)
                file.write(data)
                file.flush()  # whoever watches the file sees it, a kill -9 loses nothing, a full disk is told at once
                timing.write(f"{(clock.monotonic() - began) * 1000:.0f} {size}\n")
                answer.look(data)
    finally:
        stopping.cancel()
        writer.transport.abort()
    if answer.refused is not None:
        raise LoginRefused(
            f"{account.host}:{account.port} refused the login as '{account.username}' ({answer.refused})."
            " Check the user name, the secret and the permit= lines in the PBX's manager.conf."
        )
    return Recording(path, size, clock.monotonic() - began, stop.is_set())


def _refuse_existing(path: Path) -> None:
    for file in (path, timing_path(path)):
        if file.exists():
            raise RecordingExists(f"{file} exists already. Choose another name, or remove it.")


class _LoginAnswer:
    """Looks at the stream until the login is answered."""

    def __init__(self) -> None:
        self.refused: str | None = None
        self._framer: AmiFramer | None = AmiFramer(frozenset())

    def look(self, data: bytes) -> None:
        if self._framer is None:
            return
        for message in self._framer.feed(data):
            self._framer = None
            if message.get("Response") == "Error":
                self.refused = message.get("Message", "no reason given")
            return


def _bytes_of(reading: "asyncio.Task[bytes]") -> bytes:
    """What was read; a connection that breaks ends the recording like one that is closed."""
    try:
        return reading.result()
    except OSError:
        return b""
