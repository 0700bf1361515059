"""Reading recordings of any size in bounded memory, with a bar that shows how far it is."""

import contextlib
import secrets
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import BinaryIO, cast

from ami_listener.anonymize import LINE_MAX, Anonymizer, People, retimed
from ami_listener.record import TIMING_HEADER, RecordingExists, timing_path
from ami_listener.replay import Timing, timing_entries
from services.cli.output import console

# Large enough that reading costs nothing beside parsing.
_CHUNK = 1 << 20

Advance = Callable[[int], None]
"""Takes how many bytes have been read since last time."""


def chunks(file: Path, size: int = _CHUNK) -> Iterator[bytes]:
    """The bytes of a recording, at most `size` at a time; `-` is standard input. OSError if it cannot be read."""
    if str(file) == "-":
        # As it comes, not when `size` bytes are there: it may be a pipe from something that goes on.
        while chunk := cast("BufferedIOBase", sys.stdin.buffer).read1(size):
            yield chunk
        return
    with file.open("rb") as stream:
        while chunk := stream.read(size):
            yield chunk


def timing_of(file: Path) -> Iterator[Timing]:
    """The entries of the sidecar of a recording, none if there is no sidecar."""
    sidecar = timing_path(file) if str(file) != "-" else file
    if sidecar == file or not sidecar.is_file():
        return
    with sidecar.open(errors="replace") as lines:
        yield from timing_entries(lines)


@contextlib.contextmanager
def progress(file: Path) -> Iterator[Advance]:
    """A bar on stderr while inside; nothing where stderr is no terminal or the size is not known."""
    if str(file) == "-" or not sys.stderr.isatty():
        yield lambda size: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    with Progress(
        BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=console(), transient=True
    ) as bar:
        task = bar.add_task("", total=file.stat().st_size)
        yield lambda size: bar.advance(task, size)


def counted(pieces: Iterable[bytes], advance: Advance) -> Iterator[bytes]:
    """The same pieces, telling how much has been taken."""
    for piece in pieces:
        yield piece
        advance(len(piece))


def lines(file: Path, limit: int) -> Iterator[bytes]:
    """The lines of a recording with their line ends; one longer than `limit` bytes comes in pieces."""
    with file.open("rb") as stream:
        while line := stream.readline(limit):
            yield line


def anonymized(file: Path, out: Path) -> Counter[str]:
    """Write `out`, and its sidecar if `file` has one; how many of each kind were replaced.

    Nothing is left of a run that fails. Raises RecordingExists, TooMuch or OSError.
    """
    sidecar, times = timing_path(file), timing_path(out)
    timed = sidecar != file and sidecar.is_file()
    for path in (out, times) if timed else (out,):
        if path.exists():
            raise RecordingExists(f"{path} exists already. Choose another name, or remove it.")
    people = People()
    with progress(file) as advance:
        for size in people.see(lines(file, LINE_MAX)):
            advance(size)
    work = Anonymizer(people, secrets.token_bytes(32))
    try:
        with progress(file) as advance, contextlib.ExitStack() as stack:
            target = stack.enter_context(out.open("xb"))
            ends = _rewritten(file, work, target, advance)
            if not timed:
                for _ in ends:
                    pass
                return work.replaced
            text = stack.enter_context(times.open("x"))
            text.write(TIMING_HEADER)
            for ms, end in retimed(ends, timing_of(file)):
                text.write(f"{ms} {end}\n")
            for _ in ends:  # what the timing does not cover
                pass
    except BaseException:
        out.unlink(missing_ok=True)
        if timed:
            times.unlink(missing_ok=True)
        raise
    return work.replaced


def _rewritten(file: Path, work: Anonymizer, target: BinaryIO, advance: Advance) -> Iterator[tuple[int, int]]:
    """Write the lines; yields (bytes read, bytes written) at the end of each message and of the file."""
    before = after = 0
    sizes: deque[int] = deque()

    def read() -> Iterator[bytes]:
        for line in lines(file, LINE_MAX):
            sizes.append(len(line))
            yield line

    for line in work.lines(read()):
        target.write(line)
        size = sizes.popleft()
        before += size
        after += len(line)
        advance(size)
        if line in (b"\r\n", b"\n"):
            yield before, after
    yield before, after
