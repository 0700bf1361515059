"""Ended calls on disk while Redis is away: the one thing that must not be lost with this process."""

import errno
import fcntl
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

# A week without Redis at 10,000 calls a day; some 5 kB each.
MAX_CALLS = 100_000
# Beyond this a full disk would stop other things of the machine.
MAX_BYTES = 1 << 30


class Spool:
    """Lines in one file, bounded in number and bytes. What is in the file when a process starts is still to deliver.

    count, size: lines and bytes in it. refused: calls that found it full since the start.
    A line is flushed to the operating system at once, so it survives kill -9; it is not fsynced, because that would
    block the reader of the PBX for milliseconds and only a power cut at that very moment asks for it.
    """

    def __init__(self, path: Path, *, max_calls: int = MAX_CALLS, max_bytes: int = MAX_BYTES) -> None:
        self._path = path
        self._max_calls = max_calls
        self._max_bytes = max_bytes
        self.lock: int | None = None
        self.refused = 0
        self.count = 0
        self.size = 0
        if path.exists():
            self.size = path.stat().st_size
            with path.open("rb") as file:
                self.count = sum(1 for _ in file)
            if self.size and not self._ends_with_newline():
                self._append(b"\n")  # a line torn by a crash; alone on its line it harms nobody

    def add(self, line: bytes) -> bool:
        """Keep one ended call (JSON without a line break). False if it is full or the disk does not take it."""
        if self.count >= self._max_calls or self.size + len(line) + 1 > self._max_bytes:
            self.refused += 1
            return False
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._append(line + b"\n")
        except OSError:
            self.refused += 1
            return False
        self.count += 1
        return True

    def batches(self, size: int, skip: int = 0) -> Iterator[list[bytes]]:
        """Its lines after the first `skip`, oldest first, at most `size` at a time."""
        if self.count <= skip:
            return
        with self._path.open("rb") as file:
            lines = (line.rstrip(b"\n") for line in islice(file, skip, None))
            while batch := list(islice(lines, size)):
                yield batch

    def clear(self) -> None:
        """Everything in it has been delivered."""
        self._path.unlink(missing_ok=True)
        self.count = self.size = 0

    def _append(self, data: bytes) -> None:
        with self._path.open("ab", buffering=0) as file:
            try:
                written = file.write(data)
                if written != len(data):
                    raise OSError(errno.ENOSPC, "the disk took a part of a call only")
            except OSError:
                # A full disk takes what still fits: half a line, which the next one must not be glued to.
                os.ftruncate(file.fileno(), self.size)
                raise
        self.size += len(data)

    def take_in(self, other: "Spool") -> None:
        """Its lines are ours now. What does not fit stays there, for the next start."""
        taken = 0
        for (line,) in other.batches(1):
            if line and not self.add(line):
                break
            taken += 1
        if taken == other.count:
            other.clear()

    def close(self) -> None:
        """Let another process have it."""
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None

    def _ends_with_newline(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(-1, 2)
            return file.read(1) == b"\n"


# More listeners than this never share a folder.
_MAX_SHARING = 16


def claim_spool(folder: Path) -> Spool:
    """A spool in `folder` that no other living process has; what a dead one left there is taken into it.

    Two listeners may share a data folder (a volume of two containers): each has a file of its own, held by a lock that
    ends with its process. A folder that cannot be written is no reason not to start; the spool then refuses.
    """
    claimed: Spool | None = None
    for number in range(_MAX_SHARING):
        path = folder / (f"ended-calls-{number}.jsonl" if number else "ended-calls.jsonl")
        if claimed is not None and not path.exists():
            continue
        lock = _locked(path.with_suffix(".lock"))
        if lock is None:
            continue
        if claimed is None:
            claimed = Spool(path)
            claimed.lock = lock
            continue
        claimed.take_in(Spool(path))
        os.close(lock)
    return claimed or Spool(folder / f"ended-calls-{os.getpid()}.jsonl")


def _locked(path: Path) -> int | None:
    """A descriptor that holds the lock until it is closed; None if another process has it or the disk says no."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
